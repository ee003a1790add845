package distros

// Inputs are what a stream's payloads are made of. At most one of the fields is set;
// none means the distribution as it is, with distro.lock where there is one.
type Inputs struct {
	// Lock is a lock file, relative to distro.yaml.
	Lock string `json:"lock,omitempty"`
	// Components is a registry repository for each component, by its name, with the
	// tag to follow: {etcd: registry.example.com/ci/etcd:main}.
	Components map[string]string `json:"components,omitempty"`
	// Stream is another stream, whose newest accepted payload's components are taken.
	Stream string `json:"stream,omitempty"`
}

// The values of Cut.When.
const (
	WhenChanged  = "changed"  // a name or a digest among the inputs is another one
	WhenSchedule = "schedule" // the schedule has come round
	WhenAlways   = "always"   // nothing else forbids it
	WhenManual   = "manual"   // only when somebody asks
)

// Cut says when a payload is cut.
type Cut struct {
	// When is one of the constants above; manual when it is empty.
	When string `json:"when,omitempty"`
	// Schedule in cron's five fields, in UTC. With when: changed, inputs are looked at
	// when it comes round, and at any time without it.
	Schedule string `json:"schedule,omitempty"`
	// Cooldown is the least time between two cuts, 12h.
	Cooldown string `json:"cooldown,omitempty"`
	// MaxUnfinished is how many payloads may be without a verdict; 0 means 1.
	MaxUnfinished int `json:"maxUnfinished,omitempty"`
	// Supersede lets a cut go ahead when that many are unfinished, and ends those.
	Supersede bool `json:"supersede,omitempty"`
}

// Pipeline is a pipeline and its params.
type Pipeline struct {
	// Pipeline is its name; nightly when it is empty.
	Pipeline string            `json:"pipeline,omitempty"`
	Params   map[string]string `json:"params,omitempty"`
}

// CheckPipeline is a pipeline that checks a payload. In its params, {payload},
// {version}, {stream}, {source.payload} and {source.version} are replaced.
type CheckPipeline struct {
	Pipeline string            `json:"pipeline"`
	Params   map[string]string `json:"params,omitempty"`
	// From selects the payload to upgrade from: previous, previous-1, previous-patch,
	// previous-minor, "range: >=1.35.0 <1.36.0", "channel: NAME" or "payload: VERSION".
	From string `json:"from,omitempty"`
	// None says what it means that there is no such payload: allow, which is the
	// default, or reject.
	None string `json:"none,omitempty"`
}

// Retries are those of runs that ended because the host or a service failed.
type Retries struct {
	Limit   int    `json:"limit,omitempty"`   // 0 means 3; -1 none
	Backoff string `json:"backoff,omitempty"` // before the first; doubled each time; 1m when empty
	Max     string `json:"max,omitempty"`     // of the backoff; 15m when empty
}

// Retain says which payloads are kept. Whatever it says, the newest accepted, those
// that are unfinished or pinned, and those that a channel or an edge refers to are kept.
type Retain struct {
	// Accepted and Others are how many of the newest are kept at least. Nothing is
	// deleted of those for which neither a number nor an age is given.
	Accepted int `json:"accepted,omitempty"`
	Others   int `json:"others,omitempty"`
	// Age under which nothing is deleted, 72h.
	Age string `json:"age,omitempty"`
}
