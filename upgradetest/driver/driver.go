// Package driver upgrades clusters that Slipway did not make: those of OpenShift
// and OKD through their ClusterVersion, and any other by a program of the user's.
//
// A driver brings a cluster to a release and says what it is doing meanwhile. It
// measures nothing and judges nothing; that is done by whoever watches the
// cluster at the same time.
package driver

import (
	"context"
	"fmt"
	"time"
)

// Release is what a cluster is at.
type Release struct {
	Version string `json:"version"`
	Image   string `json:"image,omitempty"` // pull spec, by digest where the cluster knows it
}

// Event is something that a driver does or sees. Step begins with it when it is
// not empty.
type Event struct {
	Step    string
	Message string
}

// Report is what an upgrade came to.
type Report struct {
	From Release `json:"from"`
	To   Release `json:"to"`
	// Aborted says that the upgrade was given up on purpose, and RolledBack that the
	// cluster was brought back to From.
	Aborted    bool `json:"aborted,omitempty"`
	RolledBack bool `json:"rolledBack,omitempty"`
}

// Driver upgrades one cluster.
type Driver interface {
	// Upgrade returns when the cluster has arrived. An error that is a *StallError
	// says that the release did not come up; any other, that it could not be tried.
	Upgrade(ctx context.Context, say func(Event)) (Report, error)
}

// StallError says that a cluster did not get to a release.
type StallError struct {
	Release Release
	Message string        // what the cluster says about it
	Waited  time.Duration // since the last progress; 0 when waiting would have been in vain
}

// Error is one sentence.
func (e *StallError) Error() string {
	s := fmt.Sprintf("upgrading to %q: %s", e.Release.name(), e.Message)
	if e.Waited > 0 {
		s += fmt.Sprintf(", without progress for %s", e.Waited.Round(time.Second))
	}
	return s
}

func (r Release) name() string {
	if r.Version != "" {
		return r.Version
	}
	return r.Image
}
