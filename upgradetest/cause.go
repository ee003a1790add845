package upgradetest

import (
	"strings"
	"time"
)

// causeSlack is how long before an outage its cause may have been seen, and how long
// after its begin: what is asked a few times a second is seen late.
const causeSlack = time.Second

// cause names what was seen in the cluster at the begin of an outage of a backend,
// and explains it. Without such a thing it is empty.
func (e *evaluation) cause(backend, server string, from, to time.Duration) string {
	from, until := max(from-causeSlack, 0), to+causeSlack
	if strings.HasPrefix(backend, BackendAPI) {
		if c := e.serverCause(server, from, until); c != "" {
			return c
		}
		if c := e.stateCause(LaneEtcd, "etcd ", from, until, "no-leader"); c != "" {
			return c
		}
	} else if c := e.podCause(backend, from, until); c != "" {
		return c
	}
	return e.stateCause(LaneNode, "", from, until, "NotReady", "Unknown", "gone")
}

// serverCause prefers the server that is known to have failed.
func (e *evaluation) serverCause(server string, from, until time.Duration) string {
	best := ""
	for _, p := range e.states(LaneAPIServer, func(p period) bool { return p.State != "ready" && p.State != "started" }) {
		if p.At > until || p.until < from {
			continue
		}
		text := p.Object + ": kube-apiserver " + p.State
		if server != "" && p.Object == server {
			return text
		}
		if best == "" {
			best = text
		}
	}
	return best
}

func (e *evaluation) stateCause(lane, what string, from, until time.Duration, states ...string) string {
	for _, p := range e.states(lane, func(period) bool { return true }) {
		for _, state := range states {
			if p.State == state && p.At <= until && p.until >= from {
				return p.Object + ": " + what + p.State
			}
		}
	}
	return ""
}

// podCause takes the first thing that befell a pod of the backend.
func (e *evaluation) podCause(backend string, from, until time.Duration) string {
	belongs := func(object string) bool { return strings.HasPrefix(object, Namespace+"/") }
	if strings.HasPrefix(backend, BackendDNS) {
		belongs = func(object string) bool { return strings.HasPrefix(object, dnsNamespace+"/coredns") }
	}
	for _, v := range e.events {
		if v.Lane == LanePod && v.At >= from && v.At <= until && belongs(v.Object) && v.State != "started" {
			return "pod " + v.Object + " " + v.State
		}
	}
	return ""
}
