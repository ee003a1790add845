package upgradetest

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Kinds of connection a backend is probed on.
const (
	New    = "new"    // one connection per sample
	Reused = "reused" // one connection, kept until it breaks
)

// Backend is one thing that is probed on one kind of connection.
type Backend struct {
	Name       string // lower case letters, digits and dashes, e.g. kube-api
	Connection string // New or Reused
	// Hertz is the number of starts per second; 0 takes that of Options.
	Hertz  float64
	Prober Prober
	// Informing backends must be away at times, as a single API server or a pod that
	// can run on one node only. What they do explains the others; it is told apart and
	// counts for no downtime.
	Informing bool
}

// Prober asks a backend once per call. Calls overlap.
type Prober interface {
	// Probe sends one request, without a second try, and fills in what it
	// learned. It returns when the answer is complete, the request has failed, or
	// ctx ends, which is the sample's timeout.
	Probe(ctx context.Context, p *Probe)
	// Close gives up the connections it keeps.
	Close()
}

// Probe is what one request taught. Its times count from when it was started.
type Probe struct {
	Begin                        time.Time // when the prober was called
	DNS, Connect, TLS, FirstByte time.Duration
	Class                        Class
	Status                       int    // HTTP status or DNS response code
	Server                       string // who answered, or was to answer, where that is known
	Detail                       string // of a failure: the error, without addresses and ports
	Reconnected                  bool   // a kept connection had to be made anew for it
	Leaving                      bool   // the server said that it is shutting down
}

func (b Backend) key() string { return b.Name + "/" + b.Connection }

func (b Backend) interval() time.Duration {
	return time.Duration(float64(time.Second) / b.Hertz)
}

func (b Backend) check() error {
	var problems []error
	if !nameFormat.MatchString(b.Name) {
		problems = append(problems, fmt.Errorf("backend %q: name: lower case letters, digits and dashes are allowed", b.Name))
	}
	if b.Connection != New && b.Connection != Reused {
		problems = append(problems, fmt.Errorf("backend %q: connection %q: want new or reused", b.Name, b.Connection))
	}
	if b.Hertz < 0.1 || b.Hertz > 1000 {
		problems = append(problems, fmt.Errorf("backend %q: %v Hz: want 0.1 to 1000", b.Name, b.Hertz))
	}
	if b.Prober == nil {
		problems = append(problems, fmt.Errorf("backend %q: it has no prober", b.Name))
	}
	return errors.Join(problems...)
}
