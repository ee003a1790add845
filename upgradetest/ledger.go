package upgradetest

import (
	"context"
	"fmt"
	"time"
)

// Ledger is what became of numbers that were written, or were to be shown, one
// after the other.
type Ledger struct {
	Name string `json:"name"` // of the backend
	// Acknowledged were reported as done and must be there; Unacknowledged failed, and
	// may be there or not.
	Acknowledged   int `json:"acknowledged"`
	Unacknowledged int `json:"unacknowledged"`
	// Missing are acknowledged and not there; Numbers are the first of them.
	Missing    int     `json:"missing"`
	Numbers    []int64 `json:"numbers,omitempty"`
	Duplicates int     `json:"duplicates,omitempty"` // shown more than once
	// Relists is how often a watch could not be resumed, and the state was listed anew.
	Relists int `json:"relists,omitempty"`
	// Unverified says why it could not be looked whether they are there.
	Unverified string `json:"unverified,omitempty"`
}

// lost notes a missing number.
func (l *Ledger) lost(n int64) {
	l.Missing++
	if len(l.Numbers) < 20 {
		l.Numbers = append(l.Numbers, n)
	}
}

func (l Ledger) String() string {
	if l.Unverified != "" {
		return fmt.Sprintf("%s: %d acknowledged, not verified: %s", l.Name, l.Acknowledged, l.Unverified)
	}
	return fmt.Sprintf("%s: %d acknowledged, %d of them missing, %d shown twice; %d unacknowledged", l.Name, l.Acknowledged, l.Missing, l.Duplicates, l.Unacknowledged)
}

// keeper is a prober that keeps a ledger. settle looks for what is missing, when
// no probe is sent any more.
type keeper interface {
	settle(ctx context.Context) Ledger
}

// settleWithin bounds the look for what is missing: a cluster that was away may
// take a while to answer again.
const settleWithin = time.Minute

func (m *Monitor) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	for _, b := range m.backends {
		if k, ok := b.Prober.(keeper); ok {
			l := k.settle(ctx)
			l.Name = b.Name
			if b.Connection == New {
				l.Name += " (new connections)"
			}
			m.recorder.ledger(l)
		}
	}
}
