package upgradetest

import (
	"context"
	"fmt"
	"slices"

	"github.com/slipway-release/slipway/internal/proportion"
)

// Verdict is what a Result says when no gap is allowed.
type Verdict struct {
	// Conclusive is false when the tester was ill, or sent too few of its samples;
	// Doubts say why.
	Conclusive bool
	Doubts     []string
	// Gaps are the backends with failed samples, and what rules of severity error found.
	Gaps []string
}

// Judge allows no failed sample on any backend that is not informing, and no finding
// of severity error.
func (r Result) Judge() Verdict {
	v := Verdict{Doubts: slices.Clone(r.TesterReasons)}
	for _, b := range r.Backends {
		name := b.Label()
		if !proportion.Covered(int64(b.Sent), int64(b.Intended)) {
			v.Doubts = append(v.Doubts, fmt.Sprintf("%s: %d of %d samples were sent, under %.1f %%", name, b.Sent, b.Intended, 100*proportion.Coverage))
		}
		if b.Failed > 0 {
			v.Gaps = append(v.Gaps, fmt.Sprintf("%s: %d of %d samples failed in %d disruptions", name, b.Failed, b.Sent, len(b.Disruptions)))
		}
	}
	if len(r.Backends) == 0 {
		v.Doubts = append(v.Doubts, "nothing was probed")
	}
	for _, f := range r.Findings {
		if f.Severity == SeverityError {
			v.Gaps = append(v.Gaps, fmt.Sprintf("%s: %s: %s", f.Rule, f.Object, f.Message))
		}
	}
	if r.SelfTest != nil {
		missed, doubtful := r.SelfTest.Missed()
		for _, i := range slices.Concat(missed, doubtful) {
			v.Doubts = append(v.Doubts, fmt.Sprintf("the monitor's self-test: %s: %s%s", i.Name, i.Problem, i.Doubt))
		}
	}
	v.Conclusive = len(v.Doubts) == 0
	return v
}

// Label names a backend's result among those of a Result.
func (b BackendResult) Label() string {
	if b.From != "" {
		return b.Name + "/" + b.Connection + " from " + b.From
	}
	return b.Name + "/" + b.Connection
}

// Skip records what cannot be watched, and why.
func (m *Monitor) Skip(what ...string) {
	for _, w := range what {
		m.skip(w)
	}
}

// Wait returns when ctx ends, or the monitor was stopped.
func (m *Monitor) Wait(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-m.stop:
	}
}
