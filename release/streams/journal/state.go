package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/streams"
)

const (
	apiVersion = "slipway.dev/v1alpha1"
	kind       = "StreamJournal"
)

// State is the journal of one stream. Times are in UTC.
type State struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Stream     string `json:"stream"`
	// Frozen is set while nothing may be cut.
	Frozen *Mark `json:"frozen,omitempty"`
	// Requests are cuts that were asked for and not made yet, the oldest first.
	Requests []streams.Request `json:"requests,omitempty"`
	// Cuts are in the order of their numbers, which have no gaps.
	Cuts []Cut `json:"cuts,omitempty"`
	// Declarations are those that cuts were made under, by digest.
	Declarations map[string]streams.Declaration `json:"declarations,omitempty"`
}

// Mark says who did something, when and why.
type Mark struct {
	By  string    `json:"by"`
	Why string    `json:"why"`
	At  time.Time `json:"at"`
}

// Cut is a payload that was, or is being, made.
type Cut struct {
	Number  int             `json:"number"` // 1 is the first
	ID      string          `json:"id"`     // of the attempt to enter this cut; random
	Version release.Version `json:"version"`
	Mark                    // who cut it, when and why
	Inputs  []streams.Input `json:"inputs,omitempty"`
	// Declaration is the digest of the one it was made under.
	Declaration string `json:"declaration"`
	Tool        string `json:"tool"` // version of the program
	// Adopted is true of a payload that was made without a controller.
	Adopted bool `json:"adopted,omitempty"`
	// Request is the id of the one it was made for, or empty.
	Request string `json:"request,omitempty"`
	// Failures are attempts that ended because the host or a service failed.
	Failures []Failure `json:"failures,omitempty"`
	Payload  string    `json:"payload,omitempty"` // digest
	End      *End      `json:"end,omitempty"`
	Override *Override `json:"override,omitempty"`
	Pin      *Mark     `json:"pin,omitempty"`
	// Published are the places outside that the payload was copied to.
	Published []Published `json:"published,omitempty"`
	// Deleted says that retention removed the payload; the cut remains on record.
	Deleted *Mark `json:"deleted,omitempty"`
}

// Failure is an attempt that says nothing about the payload.
type Failure struct {
	At     time.Time `json:"at"`
	Stage  string    `json:"stage"` // "cut", or the name of a check
	Reason string    `json:"reason"`
}

// End is how the work on a payload ended.
type End struct {
	At         time.Time     `json:"at"`
	Phase      streams.Phase `json:"phase"`
	Reason     string        `json:"reason"`
	HostFailed bool          `json:"hostFailed,omitempty"`
}

// Published says that a payload was copied to a place outside.
type Published struct {
	Mirror string `json:"mirror"` // repository
	Mark
}

// Override is a decision by hand.
type Override struct {
	Verdict streams.Outcome `json:"verdict"`
	Mark
}

// Phase is how far the payload has come, as far as the journal knows.
func (c Cut) Phase() streams.Phase {
	switch {
	case c.Override != nil && c.Payload != "" && c.Override.Verdict == streams.Accepted:
		return streams.PhaseAccepted
	case c.Override != nil && c.Payload != "" && c.Override.Verdict == streams.Rejected:
		return streams.PhaseRejected
	case c.End != nil:
		return c.End.Phase
	case c.Payload != "":
		return streams.PhaseReady
	}
	return streams.PhasePending
}

// Unfinished says that work on the payload is to go on.
func (c Cut) Unfinished() bool { return c.End == nil }

// PublishedTo says whether the payload was copied to a place outside.
func (c Cut) PublishedTo(mirror string) bool {
	return slices.ContainsFunc(c.Published, func(p Published) bool { return p.Mirror == mirror })
}

// Declared is the declaration that a cut was made under.
func (s *State) Declared(c Cut) streams.Declaration { return s.Declarations[c.Declaration] }

// Find returns a cut by version, or nil.
func (s *State) Find(v release.Version) *Cut {
	for i := range s.Cuts {
		if s.Cuts[i].Version == v {
			return &s.Cuts[i]
		}
	}
	return nil
}

// Past is the cuts as streams.NextCut wants them.
func (s *State) Past() []streams.Past {
	var past []streams.Past
	for _, c := range s.Cuts {
		if c.Adopted {
			continue // its inputs are not known
		}
		p := streams.Past{Time: c.At, Inputs: streams.HashInputs(c.Inputs), Phase: c.Phase(), HostFailed: c.End != nil && c.End.HostFailed}
		if c.Unfinished() && p.Phase.Final() {
			p.Phase = streams.PhaseReady // decided by hand while its run goes on
		}
		past = append(past, p)
	}
	return past
}

// Versions are those of all cuts.
func (s *State) Versions() []release.Version {
	var out []release.Version
	for _, c := range s.Cuts {
		out = append(out, c.Version)
	}
	return out
}

// NextRequest is the oldest request, or nil.
func (s *State) NextRequest() *streams.Request {
	if len(s.Requests) == 0 {
		return nil
	}
	return &s.Requests[0]
}

// parse reads a journal, strictly.
func parse(data []byte) (State, error) {
	var s State
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s); err != nil {
		return State{}, fmt.Errorf("parsing the journal: %w", err)
	}
	// More would take a closing bracket for the end of something.
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return State{}, errors.New("parsing the journal: something stands behind its end")
	}
	return s, s.check()
}

func (s *State) check() error {
	if s.APIVersion != apiVersion || s.Kind != kind {
		return fmt.Errorf("the journal is %q in %q, expected %q in %q", s.Kind, s.APIVersion, kind, apiVersion)
	}
	seen := make(map[release.Version]bool, len(s.Cuts))
	for i, c := range s.Cuts {
		if c.Number != i+1 || c.ID == "" || c.Version.IsZero() {
			return fmt.Errorf("cut %d of the journal has number %d, id %q and version %q", i+1, c.Number, c.ID, c.Version)
		}
		if _, ok := s.Declarations[c.Declaration]; !ok {
			return fmt.Errorf("cut %d of the journal was made under declaration %q, which it does not hold", c.Number, c.Declaration)
		}
		if seen[c.Version] {
			return fmt.Errorf("version %q was cut twice", c.Version)
		}
		seen[c.Version] = true
		if err := c.check(); err != nil {
			return err
		}
	}
	return nil
}

// check refuses an end that would leave the payload unfinished for ever, and a
// decision that decides nothing.
func (c Cut) check() error {
	ends := []streams.Phase{streams.PhaseAccepted, streams.PhaseRejected, streams.PhaseInconclusive, streams.PhaseFailed}
	if c.End != nil && !slices.Contains(ends, c.End.Phase) {
		return fmt.Errorf("cut %d of the journal ended in phase %q, expected one of %v", c.Number, c.End.Phase, ends)
	}
	if o := c.Override; o != nil && o.Verdict != streams.Accepted && o.Verdict != streams.Rejected {
		return fmt.Errorf("cut %d of the journal was decided by hand as %q, expected %q or %q", c.Number, o.Verdict, streams.Accepted, streams.Rejected)
	}
	return nil
}
