package catalog

import (
	"time"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/channels/graph"
	"github.com/slipway-release/slipway/release/streams"
)

// Catalog is everything that was known at one time. It is never changed.
type Catalog struct {
	// ID is the SHA-256 of the content as sha256:HEX. The same content has the same ID,
	// whenever it was read.
	ID       string
	Read     time.Time
	Streams  []*Stream  // in the order in which they are defined
	Channels []*Channel // by name
	// Problems are what could not be read, one sentence each.
	Problems []string

	streams  map[string]*Stream
	channels map[string]*Channel
	payloads map[string]*Payload // by version
	digests  map[string]*Payload // by digest
	pairs    map[Pair]*Upgrade
}

// Stream is one stream and its payloads.
type Stream struct {
	Definition
	Payloads []*Payload // the newest first, by the date they were cut
	// Left is how many older payloads are not listed.
	Left int
	// Stuck says what does not go on, and why; one sentence each.
	Stuck []string

	ordered []*Payload // by semver, the newest first
}

// Phase is how far a payload has come.
type Phase string

// Phases are those of the release controller, and Inconclusive: its checks said
// nothing about it.
const (
	Pending      Phase = "Pending" // it is being built
	Ready        Phase = "Ready"   // it exists and is being checked
	Accepted     Phase = "Accepted"
	Rejected     Phase = "Rejected"
	Failed       Phase = "Failed" // it could not be built
	Inconclusive Phase = "Inconclusive"
)

// Final reports whether a payload's phase is a verdict, or it will never have one.
func (p Phase) Final() bool { return p != Pending && p != Ready }

// Payload is one release of a stream.
type Payload struct {
	Stream  string
	Version release.Version
	// Digest and PullSpec are empty while there is no image yet.
	Digest   string
	PullSpec string // by digest
	Tagged   string // by version, for people
	Created  time.Time
	Phase    Phase
	Reason   string // why it is in this phase, one sentence, or ""
	// Previous is the payload of the stream that was cut before, or nil.
	Previous *Payload
	Checks   []Check
	Decision *Decision // the one that counts; nil without any
	// Earlier are the decisions it replaced, the newest first.
	Earlier []Decision
	// Now is what the policy as it is today makes of the evidence there is today.
	// It differs from Decision when one of them changed, or a person decided.
	Now        streams.Outcome
	Evidence   []Statement // the newest first
	Refused    []Refused
	Signatures []Signature
	UpgradesTo []*Upgrade // from older payloads to this one
	// UpgradesFrom are upgrades from this payload to newer ones.
	UpgradesFrom []*Upgrade
	Channels     []string // names
	// Architectures are those that it is offered to, where they are not the distribution's.
	Architectures []string `json:",omitempty"`
	// Report and Timeline are addresses of pages about the run, or "".
	Report, Timeline string

	tried   []tried
	results []checkResult // the newest first
}

// State is how a check stands.
type State string

const (
	Passed      State = "Passed"
	CheckFailed State = "Failed"
	Unclear     State = "Inconclusive" // it ran and says nothing about the payload
	Missing     State = "Missing"      // there is no evidence
	Running     State = "Running"
	Skipped     State = "Skipped"
)

const (
	maxDetail     = 2000 // of a text from a registry, in bytes
	maxStatements = 200  // that are kept of one payload
)

// Check is one check of a payload.
type Check struct {
	Name     string
	Blocking bool
	State    State
	Detail   string // one sentence
	URL      string // of its run, or ""
	// Retries is how often it was run again, PreviousURLs where the earlier tries are.
	Retries      int
	PreviousURLs []string
	Finished     time.Time // zero while it is not over
	// Evidence are digests of the statements that it rests on.
	Evidence []string
}

// Decision is what was decided, as somebody signed it.
type Decision struct {
	Outcome streams.Outcome
	// By is the person who decided, and Why what they gave as the reason; both are empty
	// when the stream's policy decided.
	By, Why  string
	When     time.Time
	Reasons  []streams.Reason
	Evidence string   // digest of the statement
	SignedBy []string // keys and identities
}

// Manual reports whether a person decided.
func (d Decision) Manual() bool { return d.By != "" || d.Why != "" }

// Statement is a signed statement about a payload whose signature was verified.
// What it says is read by Details when it is asked for.
type Statement struct {
	Digest        string
	PredicateType string
	Kind          string // a short name such as "decision", or ""
	Time          time.Time
	TimeProven    bool // by the signer or a log
	SignedBy      []string
	Result        string // what it says came out, or ""
	URL           string // of the run, or ""
}

// Refused is a statement that nobody trusted has signed.
type Refused struct{ Digest, Reason string }

// Signature is a signature of a payload. Reason says why it is not good, "" when it is.
type Signature struct {
	Form     string
	SignedBy []string
	Version  string // that it claims
	Reason   string
}

// Pair is an upgrade from one version to another.
type Pair struct{ From, To string }

// Upgrade is what is known about upgrades from one payload to another.
type Upgrade struct {
	Pair
	// Success and Failure count the runs; those that said nothing count as neither.
	Success, Failure int
	Runs             []Run // the newest first
	// Channels are those that offer it to clusters.
	Channels []string
	// Risks are names of risks under which it is offered.
	Risks []string
	// Trials are the passes that channels count, where several are needed.
	Trials graph.Trials `json:",omitzero"`
}

// Run is one upgrade that was tried.
type Run struct {
	State    State
	Detail   string
	Profile  string
	When     time.Time
	URL      string // of its report, or ""
	Evidence string // digest of the statement
}

// Verdict is "Tested", "Failed", "Conditional", "Untested" when it is offered without
// a test that passed, or with too few, "Unclear", or "" when nothing is known and nothing offered.
func (u *Upgrade) Verdict() string {
	switch {
	case u == nil:
		return ""
	case len(u.Risks) > 0:
		return "Conditional"
	case u.Success > 0 && u.Trials.Short():
		return "Untested"
	case u.Success > 0:
		return "Tested"
	case u.Failure > 0:
		return "Failed"
	case len(u.Channels) > 0:
		return "Untested"
	case len(u.Runs) > 0:
		return "Unclear"
	}
	return ""
}

// Channel is what clusters that follow it are offered.
type Channel struct {
	Name     string
	Updated  time.Time // zero when nobody knows
	Versions []ChannelVersion
	Edges    []ChannelEdge
	// Quarantined are versions that are held back, with the reason.
	Quarantined []Quarantined
	// Blocked are edges between its versions that are not offered, with the reason.
	Blocked []BlockedEdge
}

// ChannelVersion is one version of a channel, which are in ascending order.
type ChannelVersion struct {
	Version  release.Version
	PullSpec string
	Added    time.Time // zero when nobody knows
	// Architectures are those of the payload where they are not the distribution's.
	Architectures []string `json:",omitempty"`
}

// ChannelEdge is an upgrade that a channel offers.
type ChannelEdge struct {
	Pair
	Risks    []string // names
	Evidence string   // digest of the statement that proves it, or ""
	// Trials are how many trials have passed, where several are needed for it to count as
	// tested.
	Trials graph.Trials `json:",omitzero"`
}

// BlockedEdge is an upgrade that is declared or was tried, and is not offered.
type BlockedEdge struct {
	Pair
	Reason string
}

// Quarantined is a version that is not offered.
type Quarantined struct{ Version, Reason string }

// Stream returns a stream by name, or nil.
func (c *Catalog) Stream(name string) *Stream { return c.streams[name] }

// Channel returns a channel by name, or nil.
func (c *Catalog) Channel(name string) *Channel { return c.channels[name] }

// Payload returns a payload by version, or nil.
func (c *Catalog) Payload(version string) *Payload { return c.payloads[version] }

// ByDigest returns a payload by digest, or nil.
func (c *Catalog) ByDigest(digest string) *Payload { return c.digests[digest] }

// Upgrade returns what is known about an upgrade, or nil.
func (c *Catalog) Upgrade(from, to string) *Upgrade { return c.pairs[Pair{from, to}] }

// LastAccepted returns the newest accepted payload, or nil.
func (s *Stream) LastAccepted() *Payload {
	for _, p := range s.Payloads {
		if p.Phase == Accepted {
			return p
		}
	}
	return nil
}

// Ordered returns the payloads by semver, the newest first.
func (s *Stream) Ordered() []*Payload { return s.ordered }

// Statement returns a statement about the payload by digest.
func (p *Payload) Statement(digest string) (Statement, bool) {
	for _, s := range p.Evidence {
		if s.Digest == digest {
			return s, true
		}
	}
	return Statement{}, false
}
