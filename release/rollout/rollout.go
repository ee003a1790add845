// Package rollout brings a cluster to a payload: it applies the payload's
// manifests by run level and waits until what they describe really runs, and it
// upgrades a cluster from one payload to the next, node by node.
//
// It does not build, verify or choose payloads, and it does not create clusters:
// it is handed a verified payload and a cluster that answers. Objects that an
// earlier payload brought and the new one lacks are reported, not deleted.
package rollout

import (
	"fmt"
	"sync"
	"time"
)

// Names under which a cluster remembers what was rolled out to it.
const (
	// FieldManager owns the fields that manifests set (server-side apply).
	FieldManager = "slipway"
	// VersionAnnotation on an object is the version of the payload that applied it last.
	VersionAnnotation = "slipway.dev/payload-version"
	// PayloadAnnotation is a payload's digest; on an object that of the payload
	// that applied it last, on a node that of the payload it runs entirely.
	PayloadAnnotation = "slipway.dev/payload"
	// ComponentLabel on an object is the component whose manifest it is.
	ComponentLabel = "slipway.dev/component"
	// UpgradeAnnotation on a node is the digest of the payload it is being
	// brought to, from its first change to its last; while it is reconfigured, "+"
	// and the reconfiguration's ID follow. A cordoned worker without it was cordoned
	// by somebody else and stays cordoned.
	UpgradeAnnotation = "slipway.dev/upgrade-state"
	// ReconfigurationAnnotation on a control plane is the ID of the reconfiguration
	// that it was brought to beside its payload.
	ReconfigurationAnnotation = "slipway.dev/reconfiguration"
)

// Annotations of manifests that the rollout obeys, as the cluster-version
// operator does.
const (
	createOnlyAnnotation = "release.openshift.io/create-only"
	deleteAnnotation     = "release.openshift.io/delete"
)

// Options say how to roll out. The zero value is good.
type Options struct {
	// StallTimeout ends the rollout when an object makes no progress for so
	// long; default 5 minutes.
	StallTimeout time.Duration
	// RetryTimeout bounds how long one request is repeated on transient errors;
	// default 2 minutes.
	RetryTimeout time.Duration
	// DrainTimeout bounds the eviction of one node's pods; default 10 minutes.
	DrainTimeout time.Duration
	// StepTimeout bounds what an upgrade does to one machine in one step;
	// default 15 minutes.
	StepTimeout time.Duration
	// Interval between two looks at an object; default 500 ms.
	Interval time.Duration
	// Jobs bounds what is done side by side; default 8.
	Jobs int
	// AbortAt ends an upgrade, between two steps, when that share of its steps is
	// done: 0.5 in the middle. 0, the default, never does.
	AbortAt float64
	// Progress is told every event, one at a time; nil for none.
	Progress func(Event)
}

func (o Options) withDefaults() Options {
	for _, d := range []struct {
		value *time.Duration
		unset time.Duration
	}{
		{&o.StallTimeout, 5 * time.Minute},
		{&o.RetryTimeout, 2 * time.Minute},
		{&o.DrainTimeout, 10 * time.Minute},
		{&o.StepTimeout, 15 * time.Minute},
		{&o.Interval, 500 * time.Millisecond},
	} {
		if *d.value <= 0 {
			*d.value = d.unset
		}
	}
	if o.Jobs <= 0 {
		o.Jobs = 8
	}
	report := o.Progress
	if report == nil {
		report = func(Event) {}
	}
	var mu sync.Mutex
	o.Progress = func(e Event) {
		mu.Lock()
		defer mu.Unlock()
		if e.Time.IsZero() {
			e.Time = time.Now().UTC()
		}
		report(e)
	}
	return o
}

// State is what became of an object or a step.
type State string

// The states of an Event, in the order in which they can come.
const (
	Started  State = "started"  // a run level, component or step begins
	Applied  State = "applied"  // the API server took the object
	Skipped  State = "skipped"  // nothing to do: create-only and present, or done before
	Retrying State = "retrying" // a transient error; Message is the error
	Waiting  State = "waiting"  // not ready; Message says what is missing
	Ready    State = "ready"    // an object is what its manifest says
	Done     State = "done"     // a run level, component or step ended well
	Failed   State = "failed"   // Message is the error
)

// Event is one thing that happened during a rollout. Fields that do not apply
// are empty.
type Event struct {
	Time time.Time `json:"time"`
	// Step of an upgrade, e.g. "control-plane/skiff-control-plane/upgrade"; empty outside of upgrades.
	Step string `json:"step,omitempty"`
	Node string `json:"node,omitempty"`
	// RunLevel is the manifest's, e.g. 10; -1 outside of manifests.
	RunLevel  int    `json:"runLevel"`
	Component string `json:"component,omitempty"`
	Object    string `json:"object,omitempty"` // e.g. DaemonSet kube-system/kube-proxy
	State     State  `json:"state"`
	Message   string `json:"message,omitempty"`
}

// String is one line for a log, without the time.
func (e Event) String() string {
	var s string
	switch {
	case e.Object != "":
		s = fmt.Sprintf("%02d %s: %s: %s", e.RunLevel, e.Component, e.Object, e.State)
	case e.Component != "":
		s = fmt.Sprintf("%02d %s: %s", e.RunLevel, e.Component, e.State)
	case e.RunLevel >= 0:
		s = fmt.Sprintf("run level %02d: %s", e.RunLevel, e.State)
	case e.Step != "":
		s = fmt.Sprintf("%s: %s", e.Step, e.State)
	default:
		s = string(e.State)
	}
	if e.Message != "" {
		s += ": " + e.Message
	}
	return s
}
