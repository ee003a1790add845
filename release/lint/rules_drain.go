package lint

import (
	"fmt"
	"slices"
	"strings"

	"github.com/slipway-release/slipway/release/manifests"
)

// How updates and drains of nodes treat workloads: kubernetes.io/docs/concepts/workloads/pods/disruptions,
// kubernetes.io/docs/tasks/run-application/configure-pdb and the Deployment controller's rounding.
var drainRules = []*Rule{
	{
		ID: "SLW401", Name: "single-replica-served", Level: Error,
		Title: "A workload with a single replica answers requests that come through a service.",
		Why:   "Every node is drained during an update of the nodes. From the eviction of the only pod until its successor is ready, nobody answers.",
		Fix:   "Run two replicas or more, on different nodes, with a PodDisruptionBudget of maxUnavailable 1.",
		check: func(p *payload, report func(place, string)) {
			for _, w := range p.workloads {
				if w.evicted() && w.replicas == 1 && w.served {
					report(at(w.Object, "spec", "replicas"), fmt.Sprintf("%s has a single replica, and a service sends requests to it", w))
				}
			}
		},
	},
	{
		ID: "SLW402", Name: "single-replica", Level: Warning,
		Title: "A workload has a single replica.",
		Why:   "While its node is drained, nobody does its work. For a controller that nobody waits for this may be meant; then an exception says so.",
		Fix:   "Run two replicas with leader election, or except the workload with the reason why a gap does no harm.",
		check: func(p *payload, report func(place, string)) {
			for _, w := range p.workloads {
				if w.evicted() && w.replicas == 1 && !w.served {
					report(at(w.Object, "spec", "replicas"), fmt.Sprintf("%s has a single replica", w))
				}
			}
		},
	},
	{
		ID: "SLW403", Name: "budget-blocks-drain", Level: Error,
		Title: "A PodDisruptionBudget lets no pod go.",
		Why:   "Every eviction is refused, so that the node is never drained and the update of the nodes never ends.",
		Fix:   "Use maxUnavailable: 1, or a minAvailable below the number of replicas.",
		check: checkBlockingBudgets,
	},
	{
		ID: "SLW404", Name: "overlapping-budgets", Level: Error,
		Title: "Two PodDisruptionBudgets select the same pods.",
		Why:   "The eviction API refuses to evict a pod of more than one budget, whatever they allow, and the drain never ends.",
		Fix:   "Remove one of them, or make their selectors disjoint.",
		check: checkOverlappingBudgets,
	},
	{
		ID: "SLW405", Name: "budget-selects-nothing", Level: Warning,
		Title: "A PodDisruptionBudget selects none of the workloads that the payload has in its namespace.",
		Why:   "What it was written to protect is not protected: all its pods may be evicted at once.",
		Fix:   "Make the selector that of the workload's pods.",
		check: func(p *payload, report func(place, string)) {
			for _, b := range p.budgets {
				if len(b.selects) == 0 && p.worksIn(b.Namespace) {
					report(at(b.Object, "spec", "selector"), fmt.Sprintf("%s selects none of the payload's pods", b))
				}
			}
		},
	},
	{
		ID: "SLW406", Name: "budget-guards-broken-pods", Level: Note,
		Title: "A PodDisruptionBudget does not say that pods which are not ready may be evicted.",
		Why:   "By default a pod that never became ready counts against the budget: a broken workload then keeps its node from being drained, and the update that would mend it from going on.",
		Fix:   "Set unhealthyPodEvictionPolicy: AlwaysAllow.",
		check: func(p *payload, report func(place, string)) {
			for _, b := range p.budgets {
				if b.spec.Unhealthy != "AlwaysAllow" {
					report(at(b.Object, "spec"), fmt.Sprintf("%s lets pods that are not ready hold up a drain", b))
				}
			}
		},
	},
	{
		ID: "SLW407", Name: "no-readiness-probe", Level: Error,
		Title: "No container of a pod behind a service has a readiness probe.",
		Why:   "The pod gets requests from the moment its process starts until after it has ended, and an update goes on to the next pod before this one can answer. Services for metrics alone do not count.",
		Fix:   "Give the container that serves the requests a readinessProbe which succeeds once it can answer.",
		check: func(p *payload, report func(place, string)) {
			for _, w := range p.workloads {
				probed := slices.ContainsFunc(w.pod.Containers, func(c container) bool { return c.ReadinessProbe != nil })
				if w.served && !probed && len(w.pod.Containers) > 0 && w.Kind != "Job" && w.Kind != "CronJob" {
					report(w.in("containers"), fmt.Sprintf("%s is behind a service, and none of its containers has a readiness probe", w))
				}
			}
		},
	},
	{
		ID: "SLW408", Name: "update-takes-all", Level: Error,
		Title: "The update strategy of a workload lets all of its pods go at once.",
		Why:   "With every new release the workload is gone until its new pods are ready.",
		Fix:   "Use RollingUpdate with a maxUnavailable below the number of replicas; 0 with a maxSurge of 1 keeps them all.",
		check: checkStrategies,
	},
	{
		ID: "SLW409", Name: "update-on-delete", Level: Warning,
		Title: "A workload with the update strategy OnDelete changes only when somebody deletes its pods.",
		Why:   "After an update its pods still run the images of the release before, until their nodes happen to be drained.",
		Fix:   "Use RollingUpdate.",
		check: func(p *payload, report func(place, string)) {
			for _, w := range p.workloads {
				if w.spec.UpdateStrategy.Type == "OnDelete" {
					report(at(w.Object, "spec", "updateStrategy", "type"), fmt.Sprintf("%s is not replaced by an update, since its strategy is OnDelete", w))
				}
			}
		},
	},
	{
		ID: "SLW410", Name: "update-needs-spare-node", Level: Warning,
		Title: "A Deployment keeps all of its pods while it is updated, but no two of them fit on one node.",
		Why:   "The new pod needs a node without an old one: the host port is taken there, or the anti-affinity forbids it. On a cluster with as many nodes as replicas the update waits for ever.",
		Fix:   "Allow maxUnavailable: 1, or make the anti-affinity preferred and give up the host port.",
		check: checkSpareNode,
	},
	{
		ID: "SLW411", Name: "prestop-outlives-grace", Level: Error,
		Title: "A preStop hook sleeps as long as the pod's termination grace period, or longer.",
		Why:   "The grace period runs while the hook sleeps. The process is then killed at once, with all requests it still has.",
		Fix:   "Make terminationGracePeriodSeconds (30 when it is not set) longer than the sleep by what the process needs to end.",
		check: func(p *payload, report func(place, string)) {
			for _, w := range p.workloads {
				grace := w.grace()
				for i, c := range w.pod.Containers {
					if slept := c.sleeps(); slept > 0 && slept >= float64(grace) {
						report(w.in("containers", i, "lifecycle", "preStop"),
							fmt.Sprintf("%s: the preStop hook of container %q sleeps %g s, and the pod is killed after %d s", w, c.Name, slept, grace))
					}
				}
			}
		},
	},
	{
		ID: "SLW412", Name: "bare-pod", Level: Error,
		Title: "A pod has no controller.",
		Why:   "A drain stops at it, since nothing would make it anew; and an update cannot change it.",
		Fix:   "Make it a Deployment, a DaemonSet or a Job.",
		check: func(p *payload, report func(place, string)) {
			for _, w := range p.workloads {
				if w.Kind == "Pod" {
					report(at(w.Object, "kind"), fmt.Sprintf("%s has no controller that would make it anew", w))
				}
			}
		},
	},
}

// worksIn reports whether the payload runs pods in a namespace.
func (p *payload) worksIn(namespace string) bool {
	return slices.ContainsFunc(p.workloads, func(w *workload) bool { return w.Namespace == namespace })
}

func checkBlockingBudgets(p *payload, report func(place, string)) {
	for _, b := range p.budgets {
		var total int64
		var names []string
		for _, w := range b.selects {
			if w.evicted() {
				total += w.replicas
				names = append(names, w.String())
			}
		}
		if len(b.selects) > 0 && total == 0 {
			continue // a drain leaves the pods of DaemonSets alone
		}
		whose := ""
		if total > 0 {
			whose = fmt.Sprintf(" of the %s of %s", count(int(total), "replica"), strings.Join(names, ", "))
		}
		known := max(total, 1)
		if n, ok := scaled(b.spec.MaxUnavailable, known, true); ok && n == 0 {
			report(at(b.Object, "spec", "maxUnavailable"), fmt.Sprintf("%s lets none%s be evicted: maxUnavailable is %v", b, whose, b.spec.MaxUnavailable))
		}
		n, ok := scaled(b.spec.MinAvailable, known, true)
		if _, number := b.spec.MinAvailable.(float64); number && total == 0 {
			ok = false // how many pods there are is not known
		} else if !number && total == 0 {
			ok = b.spec.MinAvailable == "100%"
		}
		if ok && n >= known {
			report(at(b.Object, "spec", "minAvailable"), fmt.Sprintf("%s lets none%s be evicted: minAvailable is %v", b, whose, b.spec.MinAvailable))
		}
	}
}

func checkOverlappingBudgets(p *payload, report func(place, string)) {
	for i, b := range p.budgets {
		for _, other := range p.budgets[:i] {
			if b.Namespace != other.Namespace || manifests.Exclusive(b.Object, other.Object) {
				continue
			}
			for _, w := range b.selects {
				if slices.Contains(other.selects, w) && w.evicted() {
					report(at(b.Object, "spec", "selector"), fmt.Sprintf("%s and %s both select the pods of %s", b, other, w))
				}
			}
		}
	}
}

func checkStrategies(p *payload, report func(place, string)) {
	for _, w := range p.workloads {
		// A single pod that nobody calls is the business of single-replica.
		alone := w.replicas == 0 || w.replicas == 1 && !w.served
		switch {
		case w.Kind == "Deployment" && !alone && w.spec.Strategy.Type == "Recreate":
			report(at(w.Object, "spec", "strategy", "type"), fmt.Sprintf("%s ends all of its pods before it makes new ones, since its strategy is Recreate", w))
		case w.Kind == "Deployment" && !alone:
			if unavailable, _ := w.rolling(); unavailable >= w.replicas {
				report(at(w.Object, "spec", "strategy", "rollingUpdate", "maxUnavailable"),
					fmt.Sprintf("%s lets all of its %s go at once: maxUnavailable is %v", w, count(int(w.replicas), "pod"), w.spec.Strategy.RollingUpdate.MaxUnavailable))
			}
		case w.Kind == "DaemonSet", w.Kind == "StatefulSet" && w.replicas > 1:
			// What a percentage of the nodes is, is not known; all of them is.
			v := w.spec.UpdateStrategy.RollingUpdate.MaxUnavailable
			n, ok := scaled(v, max(w.replicas, 1), false)
			_, number := v.(float64)
			if ok && (w.Kind == "StatefulSet" && n >= w.replicas || w.Kind == "DaemonSet" && !number && n >= 1) {
				report(at(w.Object, "spec", "updateStrategy", "rollingUpdate", "maxUnavailable"), fmt.Sprintf("%s lets all of its pods go at once: maxUnavailable is %v", w, v))
			}
		}
	}
}

// rolling returns how many pods of a Deployment may be missing and how many may
// be too many during an update. Kubernetes rounds the one down and the other up; were both
// zero, one may be missing.
func (w *workload) rolling() (unavailable, surge int64) {
	resolve := func(v any, up bool) int64 {
		if v == nil {
			v = "25%"
		}
		n, _ := scaled(v, w.replicas, up)
		return n
	}
	unavailable = resolve(w.spec.Strategy.RollingUpdate.MaxUnavailable, false)
	surge = resolve(w.spec.Strategy.RollingUpdate.MaxSurge, true)
	if unavailable == 0 && surge == 0 {
		unavailable = 1
	}
	return unavailable, surge
}

func checkSpareNode(p *payload, report func(place, string)) {
	for _, w := range p.workloads {
		if w.Kind != "Deployment" || w.replicas < 1 || w.spec.Strategy.Type == "Recreate" {
			continue
		}
		if unavailable, _ := w.rolling(); unavailable > 0 {
			continue
		}
		if path, reason := w.onePerNode(); reason != "" {
			report(w.in(path...), fmt.Sprintf("%s keeps all %d pods during an update, and %s", w, w.replicas, reason))
		}
	}
}

// onePerNode says why two of the workload's pods never run on one node.
func (w *workload) onePerNode() (path []any, reason string) {
	for i, c := range w.pod.Containers {
		for j, port := range c.Ports {
			if w.pod.HostNetwork && port.ContainerPort != 0 {
				port.HostPort = port.ContainerPort
			}
			if port.HostPort != 0 {
				return []any{"containers", i, "ports", j}, fmt.Sprintf("host port %d is free on a node only without one of them", port.HostPort)
			}
		}
	}
	for i, term := range w.pod.Affinity.PodAntiAffinity.Required {
		if term.TopologyKey == "kubernetes.io/hostname" && term.LabelSelector.matches(w.labels) {
			return []any{"affinity", "podAntiAffinity", "requiredDuringSchedulingIgnoredDuringExecution", i}, "its required anti-affinity allows one on a node"
		}
	}
	return nil, ""
}
