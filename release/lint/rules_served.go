package lint

import (
	"fmt"
	"strings"
	"time"

	"github.com/slipway-release/slipway/release/manifests"
)

// leastLameduck is what the proxies of all nodes need to stop sending questions to a
// pod that goes: they hear of it, and rewrite their rules, within seconds.
const leastLameduck = 5 * time.Second

// What must be so that requests are answered while the pods behind a service change places:
// coredns.io/plugins/health, coredns.io/plugins/ready and
// kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints.
var servedRules = []*Rule{
	{
		ID: "SLW413", Name: "dns-no-lameduck", Level: Error,
		Title: "A CoreDNS behind a service ends as soon as it is told to, or does not say when it is ready.",
		Why:   "Nodes send it questions for some seconds after its pod began to end, and nobody answers them: lookups in the whole cluster take five seconds longer or fail. Without the plugin ready it gets questions before it knows the cluster's names.",
		Fix:   "Give the Corefile the plugins ready, and health with lameduck 5s or more.",
		check: checkLameduck,
	},
	{
		ID: "SLW414", Name: "lameduck-outlives-grace", Level: Error,
		Title: "The lameduck time of a CoreDNS is as long as its pod's termination grace period, or longer.",
		Why:   "The grace period runs during the lameduck time. The process is then killed at once, with all questions it still has.",
		Fix:   "Make terminationGracePeriodSeconds (30 when it is not set) longer than lameduck by some seconds.",
		check: func(p *payload, report func(place, string)) {
			p.eachCorefile(func(w *workload, at place, c corefile) {
				if longest, line := c.lameduck(); longest >= time.Duration(w.grace())*time.Second && line > 0 {
					at.nth = line
					report(at, fmt.Sprintf("%s answers for %s after it was told to end, and is killed after %d s", w, longest, w.grace()))
				}
			})
		},
	},
	{
		ID: "SLW415", Name: "served-without-budget", Level: Warning,
		Title: "Several replicas answer requests that come through a service, and no PodDisruptionBudget keeps some of them.",
		Why:   "A drain evicts all pods of a node at once. Where they happen to run on one node, or two nodes are drained together, nobody answers.",
		Fix:   "Add a PodDisruptionBudget with maxUnavailable 1 and the selector of the pods.",
		check: func(p *payload, report func(place, string)) {
			for _, w := range p.workloads {
				if w.evicted() && w.served && w.replicas > 1 && !p.budgeted(w) {
					report(at(w.Object, "spec", "replicas"), fmt.Sprintf("no PodDisruptionBudget selects the %d pods of %s, and a service sends requests to them", w.replicas, w))
				}
			}
		},
	},
	{
		ID: "SLW416", Name: "served-without-spread", Level: Warning,
		Title: "Nothing says that the replicas behind a service belong on different nodes.",
		Why:   "The scheduler may put all of them on one node, and its drain, or its failure, takes them all.",
		Fix:   "Add topologySpreadConstraints or a podAntiAffinity over kubernetes.io/hostname; preferred ones let a cluster of one node run as well.",
		check: func(p *payload, report func(place, string)) {
			for _, w := range p.workloads {
				apart := w.pod.Affinity.PodAntiAffinity
				spread := len(apart.Required) > 0 || len(apart.Preferred) > 0 || len(w.pod.TopologySpreadConstraints) > 0
				if w.evicted() && w.served && w.replicas > 1 && !spread {
					report(w.in("topologySpreadConstraints"), fmt.Sprintf("nothing keeps the %d pods of %s from running on one node", w.replicas, w))
				}
			}
		},
	},
}

func (p *payload) budgeted(w *workload) bool {
	for _, b := range p.budgets {
		for _, selected := range b.selects {
			if selected == w {
				return true
			}
		}
	}
	return false
}

// eachCorefile visits the Corefiles of the payload's ConfigMaps that name servers behind
// a service run with. The place is that of the whole text.
func (p *payload) eachCorefile(visit func(w *workload, at place, c corefile)) {
	for _, w := range p.workloads {
		if !w.dns {
			continue
		}
		for _, v := range w.pod.Volumes {
			for _, o := range p.byKind[groupKind{"", "ConfigMap"}] {
				if o.Namespace != w.Namespace || o.Name != v.ConfigMap.Name || manifests.Exclusive(o, w.Object) {
					continue
				}
				key := corefileName
				for _, item := range v.ConfigMap.Items {
					if item.Path == corefileName {
						key = item.Key
					}
				}
				if source := text(o.Content, "data", key); source != "" {
					visit(w, at(o, "data", key), readCorefile(source))
				}
			}
		}
	}
}

func checkLameduck(p *payload, report func(place, string)) {
	p.eachCorefile(func(w *workload, at place, c corefile) {
		var missing []string
		if len(c.health) == 0 {
			missing = append(missing, "health")
		}
		if !c.ready {
			missing = append(missing, "ready")
		}
		// What a Corefile imports from elsewhere is not known.
		if len(missing) > 0 && !c.imports {
			at.nth = 1
			report(at, fmt.Sprintf("the Corefile of %s has no plugin %s", w, strings.Join(missing, " and no plugin ")))
		}
		longest, line := c.lameduck()
		switch {
		case line == 0:
		case longest == 0:
			at.nth = line
			report(at, fmt.Sprintf("%s ends as soon as it is told to, since health has no lameduck", w))
		case longest < leastLameduck:
			at.nth = line
			report(at, fmt.Sprintf("%s answers for only %s after it was told to end, and nodes may send it questions for %s", w, longest, leastLameduck))
		}
	})
}
