package upgradetest

import "time"

// The lanes of events. In the lanes of nodes, API servers, etcd and operators an event is a
// state that lasts until the next one of its object; in the others it is a moment.
const (
	LaneNode      = "node"      // Ready, NotReady; fact cordoned
	LaneAPIServer = "apiserver" // ready, terminating, not-ready, down; a new identity: started
	LaneEtcd      = "etcd"      // leader, follower, no-leader; slow-fsync
	LanePod       = "pod"       // started, restarted, evicted, deleted, killed
	LaneWorkload  = "workload"  // changed, unavailable, available
	LaneOperator  = "operator"  // available, progressing, degraded, unavailable
	LaneEvent     = "event"     // repeated
	LanePoller    = "poller"    // started, stopped, lost
	LaneSkipped   = "skipped"   // what cannot be watched, and why
)

// MaxEvents bounds the events of a Result; a recording holds all.
const MaxEvents = 5000

// Event is something that was seen in the cluster.
type Event struct {
	At     time.Time `json:"at"`
	Lane   string    `json:"lane"`
	Object string    `json:"object"` // e.g. "worker1" or "kube-system/coredns-5d"
	State  string    `json:"state"`
	Detail string    `json:"detail,omitempty"`
	// Facts are what rules ask about, e.g. exitCode of a container.
	Facts map[string]string `json:"facts,omitempty"`
}

// Event records what was seen. A zero At is now.
func (m *Monitor) Event(e Event) {
	at := time.Since(m.start)
	if !e.At.IsZero() {
		at = e.At.Sub(m.start)
	}
	m.recorder.event(eventFrame{At: max(at, 0), Lane: e.Lane, Object: e.Object, State: e.State, Detail: e.Detail, Facts: e.Facts})
}

// skip records that something cannot be watched, and why.
func (m *Monitor) skip(what string) {
	m.Event(Event{Lane: LaneSkipped, Object: what, State: "skipped"})
}

func (e *evaluation) event(v eventFrame) error {
	if v.Lane == LaneSkipped {
		e.skipped = append(e.skipped, v.Object)
		return nil
	}
	e.events = append(e.events, v)
	e.last = max(e.last, v.At)
	return nil
}
