// Package driver says what upgrades clusters in an upgrade test. It drives those that
// Slipway did not make: clusters of OpenShift and OKD through their ClusterVersion,
// and any other by a program of the user's.
//
// A driver brings a cluster to a release and says what it is doing meanwhile. It
// measures nothing and judges nothing; that is done by whoever watches the
// cluster at the same time.
package driver

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Release is what a cluster is at.
type Release struct {
	Version string `json:"version"`
	Image   string `json:"image,omitempty"` // pull spec, by digest where the cluster knows it
}

// ParseRelease reads a version, or the pull spec of an image, which has a slash or a
// digest in it.
func ParseRelease(s string) (Release, error) {
	switch {
	case strings.ContainsAny(s, " \t\n") || s == "":
		return Release{}, fmt.Errorf("reading release %q: it is neither a version nor a pull spec", s)
	case strings.ContainsAny(s, "/@"):
		return Release{Image: s}, nil
	}
	return Release{Version: s}, nil
}

// Digest is that of Image, or empty.
func (r Release) Digest() string {
	_, digest, _ := strings.Cut(r.Image, "@")
	return digest
}

// Event is something that a driver does or sees. Step begins with it when it is not
// empty; Message, for people, says more.
type Event struct {
	Step    string
	Message string
}

func (e Event) String() string {
	if e.Message != "" {
		return e.Message
	}
	return e.Step
}

// Report is what an upgrade came to.
type Report struct {
	From Release `json:"from"`
	To   Release `json:"to"`
	// Via are the releases between From and To, when there were several upgrades.
	Via []Release `json:"via,omitempty"`
	// Nodes is how many machines were upgraded, where the driver knows.
	Nodes int `json:"nodes,omitempty"`
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
	// Err, of a driver whose errors tell all of this, is told instead; nil otherwise.
	Err error
}

func (e *StallError) Unwrap() error { return e.Err }

// Error is one sentence.
func (e *StallError) Error() string {
	if e.Err != nil {
		return e.Err.Error()
	}
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
