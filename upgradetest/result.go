package upgradetest

import "time"

// Result is what a recording shows: the "upgrade" object of the run report. From,
// To, Nodes are the caller's to fill in.
type Result struct {
	From Release `json:"from"`
	To   Release `json:"to"`
	// Via are the payloads between From and To, when there were several upgrades.
	Via []Release `json:"via,omitempty"`
	// Aborted says that the upgrade was given up on purpose, and RolledBack that the
	// cluster was brought back to From; both are part of what was measured.
	Aborted    bool            `json:"aborted,omitempty"`
	RolledBack bool            `json:"rolledBack,omitempty"`
	Seconds    float64         `json:"seconds"` // from the end of the baseline to the end of the recording
	Nodes      int             `json:"nodes"`
	Backends   []BackendResult `json:"backends"`
	// TesterHealthy is false when nothing may be concluded from the rest.
	TesterHealthy bool `json:"testerHealthy"`
	// Failure says why the upgrade did not come to its end; empty when it did. It
	// is the caller's to fill in.
	Failure string `json:"failure,omitempty"`
	// DowntimeMs is the time during which at least one backend did not answer.
	DowntimeMs Bounds `json:"downtimeMs"`

	// Informing are backends that must be away at times, see Backend.
	Informing []BackendResult `json:"informing,omitempty"`
	// Ledgers say what became of writes and of the numbers of a watch.
	Ledgers []Ledger `json:"ledgers,omitempty"`
	// Findings are what the rules say about the cluster; Skipped, what could not be
	// watched, and why.
	Findings []Finding `json:"findings,omitempty"`
	Skipped  []string  `json:"skipped,omitempty"`
	// Events are what was seen in the cluster, in the order of time, at most MaxEvents.
	Events []Event `json:"events,omitempty"`

	TesterReasons []string `json:"testerReasons,omitempty"` // why it is not healthy
	// SelfTest is what the monitor found of injected outages before it was trusted with
	// the cluster; nil when that was not tried. It is the caller's to fill in.
	SelfTest *SelfTest `json:"selftest,omitempty"`
	Tester   Tester    `json:"tester"`
	// Baseline is the idle window before the upgrade; nil without one.
	Baseline *Window `json:"baseline,omitempty"`
	Marks    []Mark  `json:"marks,omitempty"`
	// Truncated says that the monitor did not end by itself: the recording goes
	// as far as it got.
	Truncated bool      `json:"truncated,omitempty"`
	Started   time.Time `json:"started"`
	Finished  time.Time `json:"finished"`
}

// Release names a payload.
type Release struct {
	Version string `json:"version"`
	Digest  string `json:"digest"`
}

// Bounds of a length of time, in milliseconds.
type Bounds struct {
	AtLeast float64 `json:"atLeast"`
	AtMost  float64 `json:"atMost"`
}

// BackendResult is what one backend did on one kind of connection.
type BackendResult struct {
	Name       string `json:"name"`
	Connection string `json:"connection"`
	// From is the poller inside the cluster that asked; empty for the monitor itself.
	From     string  `json:"from,omitempty"`
	Hertz    float64 `json:"hertz"`
	Intended int     `json:"intended"` // starts on the grid
	Sent     int     `json:"sent"`
	Failed   int     `json:"failed"`
	Slow     int     `json:"slow"` // answered, but late
	// Latencies of what was answered, from the intended start.
	P50Ms       float64      `json:"p50ms"`
	P99Ms       float64      `json:"p99ms"`
	MaxMs       float64      `json:"maxms"`
	Disruptions []Disruption `json:"disruptions"`
	P999Ms      float64      `json:"p999ms"`
	// Reconnects counts how often a kept connection was made anew.
	Reconnects int            `json:"reconnects,omitempty"`
	Failures   map[string]int `json:"failures,omitempty"` // by class
	Servers    map[string]int `json:"servers,omitempty"`  // answers by server
	PhasesMs   *Phases        `json:"phasesMs,omitempty"`
}

// Phases are mean times of what was answered, in milliseconds; a phase that did
// not take place counts as nothing.
type Phases struct {
	DNS       float64 `json:"dns"`
	Connect   float64 `json:"connect"`
	TLS       float64 `json:"tls"`
	FirstByte float64 `json:"firstByte"`
	Total     float64 `json:"total"`
}

// Coverage is the share of intended starts that were sent, 0 to 1.
func (b BackendResult) Coverage() float64 {
	if b.Intended == 0 {
		return 0
	}
	return float64(b.Sent) / float64(b.Intended)
}

// Disruption is an outage with the bounds of its length.
type Disruption struct {
	From      time.Time `json:"from"` // the earliest it can have begun
	To        time.Time `json:"to"`   // the latest it can have ended
	AtLeastMs float64   `json:"atLeastMs"`
	AtMostMs  float64   `json:"atMostMs"`
	Reason    string    `json:"reason"` // the most frequent class of its failures
	Server    string    `json:"server"` // the one that failed, where it is known
	During    string    `json:"during"` // what was being done to the cluster
	// Cause is what was seen in the cluster that explains it, where something was.
	Cause  string `json:"cause,omitempty"`
	Failed int    `json:"failed"` // samples
	Detail string `json:"detail,omitempty"`
	// Before and After are the servers that answered last and first.
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
	// Open says that it had not ended when the recording did.
	Open bool `json:"open,omitempty"`

	certainFrom, certainTo time.Time // the part that is certain
}

// Tester is the health of the one who measured.
type Tester struct {
	Control  []BackendResult `json:"control"` // a server in the tester itself
	Missed   int             `json:"missed"`  // starts not sent, over all backends
	Lateness Lateness        `json:"latenessMs"`
	// StealPercent is the share of CPU time the host took away, over the whole
	// recording and in its worst second.
	StealPercent    float64 `json:"stealPercent"`
	StealMaxPercent float64 `json:"stealMaxPercent"`
	// ClockStepMs is by how much the wall clock was set against the monotonic one.
	ClockStepMs float64 `json:"clockStepMs"`
}

// Lateness is actual against intended starts, in milliseconds.
type Lateness struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
	// Within5ms is the share of starts no more than 5 ms late.
	Within5ms float64 `json:"within5ms"`
}

// Window is a part of a recording.
type Window struct {
	Seconds  float64         `json:"seconds"`
	Backends []BackendResult `json:"backends"`
}

// Sent is how many samples were taken in it, over all backends.
func (w Window) Sent() int { return w.sum(func(b BackendResult) int { return b.Sent }) }

// Failed is how many of them failed.
func (w Window) Failed() int { return w.sum(func(b BackendResult) int { return b.Failed }) }

func (w Window) sum(of func(BackendResult) int) (sum int) {
	for _, b := range w.Backends {
		sum += of(b)
	}
	return sum
}

// Mark is something that was begun at a time.
type Mark struct {
	At    time.Time `json:"at"`
	Label string    `json:"label"`
}
