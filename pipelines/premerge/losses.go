package premerge

import (
	"cmp"
	"slices"
	"strings"

	"github.com/slipway-release/slipway/internal/controlplane"
	"github.com/slipway-release/slipway/pipelines/report"
	"github.com/slipway-release/slipway/upgradetest"
)

// losses says what every backend lost on one way, and what the rules found there to
// be wrong, the gravest first.
func losses(way string, res upgradetest.Result) []report.Loss {
	var all []report.Loss
	for _, b := range res.Backends {
		if b.Failed == 0 && len(b.Disruptions) == 0 {
			continue
		}
		l := report.Loss{Way: way, Backend: b.Label(), Failed: b.Failed, Outages: len(b.Disruptions), Components: serving(b.Name)}
		var longest upgradetest.Disruption
		for _, d := range b.Disruptions {
			l.AtLeastMs += d.AtLeastMs
			l.AtMostMs += d.AtMostMs
			if d.AtMostMs > longest.AtMostMs {
				longest = d
			}
		}
		l.At, l.Reason, l.Server, l.During, l.Cause = longest.From, longest.Reason, longest.Server, longest.During, longest.Cause
		all = append(all, l)
	}
	slices.SortStableFunc(all, func(a, b report.Loss) int { return cmp.Compare(b.AtMostMs, a.AtMostMs) })
	for _, f := range res.Findings {
		if f.Severity == upgradetest.SeverityError {
			all = append(all, report.Loss{
				Way: way, Backend: f.Rule, Object: f.Object, AtLeastMs: 1000 * f.Seconds, AtMostMs: 1000 * f.Seconds, At: f.At, Reason: f.Message,
				Components: concerned(f.Rule),
			})
		}
	}
	return all
}

// Components of a distribution, under the names that clusters of this host need them
// under and by which their parts are known.
const (
	balancer = "haproxy"
	proxy    = "kube-proxy"
	network  = "flannel"
	dns      = "coredns"
	system   = "machine-os"
)

// serving are the components that a backend depends on, the nearest first.
func serving(backend string) []string {
	api := []string{controlplane.APIServer, controlplane.Etcd, balancer}
	switch {
	case strings.HasPrefix(backend, upgradetest.BackendExec), strings.HasPrefix(backend, upgradetest.BackendLogs):
		return append(api, system, network)
	case strings.HasPrefix(backend, upgradetest.BackendDirect):
		return api[:2]
	case strings.HasPrefix(backend, upgradetest.BackendAPI):
		return api
	case strings.HasPrefix(backend, upgradetest.BackendDNS), strings.Contains(backend, "dns"):
		return []string{dns, proxy, network, system}
	}
	return []string{proxy, network, system, dns}
}

// concerned are the components that a rule is about, where its object does not tell.
func concerned(rule string) []string {
	switch {
	case strings.HasPrefix(rule, "apiserver"), strings.HasPrefix(rule, "watch"):
		return []string{controlplane.APIServer, balancer}
	case strings.HasPrefix(rule, "etcd"), rule == "write-lost":
		return []string{controlplane.Etcd, controlplane.APIServer}
	case strings.HasPrefix(rule, "node"):
		return []string{system, network}
	}
	return nil
}
