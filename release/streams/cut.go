package streams

import (
	"fmt"
	"time"

	"github.com/robfig/cron/v3"
)

// Situation is what there is to know before a cut.
type Situation struct {
	Inputs []Input
	Past   []Past // in the order they were cut
	// Frozen says why nothing may be cut; empty means that it may.
	Frozen string
	// Request is a cut that somebody asked for, or nil.
	Request *Request
}

// Past is a cut that was made.
type Past struct {
	Time   time.Time
	Inputs string // their hash
	Phase  Phase
	// HostFailed is true of a Failed cut about whose inputs nothing is known.
	HostFailed bool
}

// Request asks for a cut whatever the inputs and the schedule say.
type Request struct {
	ID  string    `json:"id"`
	By  string    `json:"by"`
	Why string    `json:"why"`
	At  time.Time `json:"at"`
}

// Next is what to do about a stream.
type Next struct {
	Cut bool `json:"cut"`
	// Until is when to look again at the latest; zero when no clock decides.
	Until  time.Time `json:"until,omitzero"`
	Reason string    `json:"reason"`
	// Supersedes says that unfinished cuts are to be ended first.
	Supersedes bool `json:"supersedes,omitempty"`
	// Request is the one that the cut is for.
	Request *Request `json:"request,omitempty"`
}

// NextCut says whether a payload is to be cut now. In this order: nothing is cut of
// a frozen stream; no more than MaxUnfinished payloads are without a verdict, unless
// newer ones supersede them; a request is heeded whatever the inputs, the schedule and
// the cooldown; then these decide. Inputs count as changed when they differ from those of
// the newest cut, or when that says nothing of them because the host failed.
func NextCut(now time.Time, d Declaration, s Situation) (Next, error) {
	if frozen := firstOf(s.Frozen, d.Frozen); frozen != "" {
		return Next{Reason: "the stream is frozen: " + frozen}, nil
	}
	unfinished := 0
	for _, p := range s.Past {
		if !p.Phase.Final() {
			unfinished++
		}
	}
	full := unfinished >= d.MaxUnfinished
	if full && !d.Supersede {
		return Next{Reason: fmt.Sprintf("%d payloads have no verdict yet, and %d may", unfinished, d.MaxUnfinished)}, nil
	}
	if s.Request != nil {
		return Next{Cut: true, Supersedes: full, Request: s.Request, Reason: fmt.Sprintf("%s asked for it: %s", s.Request.By, s.Request.Why)}, nil
	}
	if d.When == WhenManual {
		return Next{Reason: "it is cut by hand only"}, nil
	}
	var last *Past
	if len(s.Past) > 0 {
		last = &s.Past[len(s.Past)-1]
	}
	next, err := due(now, d, last, HashInputs(s.Inputs))
	next.Supersedes = next.Cut && full
	return next, err
}

// due applies schedule, inputs and cooldown.
func due(now time.Time, d Declaration, last *Past, inputs string) (Next, error) {
	if last == nil {
		return Next{Cut: true, Reason: "nothing was cut of it before"}, nil
	}
	reason := "it is always cut"
	if d.Schedule != "" {
		schedule, err := cron.ParseStandard(d.Schedule)
		if err != nil {
			return Next{}, fmt.Errorf("reading the schedule of stream %q: %w", d.Name, err)
		}
		tick := schedule.Next(last.Time.UTC())
		if tick.IsZero() {
			return Next{Reason: fmt.Sprintf("the schedule %q never comes round", d.Schedule)}, nil
		}
		if tick.After(now) {
			return Next{Until: tick, Reason: "the schedule says " + tick.Format(time.RFC3339)}, nil
		}
		reason = "the schedule said " + tick.Format(time.RFC3339)
	}
	if d.When == WhenChanged {
		switch {
		case last.Inputs != inputs:
			reason = "its inputs have changed"
		case last.Phase == PhaseFailed && last.HostFailed:
			reason = "the host failed when these inputs were cut"
		default:
			return Next{Reason: "its inputs are those of the newest cut"}, nil
		}
	}
	if ready := last.Time.Add(d.Cooldown); ready.After(now) {
		return Next{Until: ready, Reason: fmt.Sprintf("%s, and less than %s ago it was cut", reason, d.Cooldown)}, nil
	}
	return Next{Cut: true, Reason: reason}, nil
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
