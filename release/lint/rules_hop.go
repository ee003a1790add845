package lint

import (
	"fmt"
	"slices"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/hop"
	"github.com/slipway-release/slipway/release/manifests"
)

// Rules about the step from one release to the next, which options.From names.
var hopRules = []*Rule{
	{
		ID: "SLW701", Name: "kubernetes-skew", Level: Error,
		Title: "An upgrade leaps over a minor version of Kubernetes, or goes back to an earlier one.",
		Why:   "API servers of two versions serve side by side during the upgrade, and only neighbours understand what the other one stores. None reads what a later one has stored (kubernetes.io/releases/version-skew-policy).",
		Fix:   "Release one minor version after the other, and upgrade through each.",
		check: hopRule(hop.KubernetesSkew),
	},
	{
		ID: "SLW702", Name: "kubelet-skew", Level: Error,
		Title: "A kubelet is newer than the API servers it talks to, or more than three minor versions older.",
		Why:   "Nodes are upgraded after the control plane. Until then their kubelets use APIs that the new servers may no longer have.",
		Fix:   "Bring the kubelets to a later version in a release before this one.",
		check: hopRule(hop.KubeletSkew),
	},
	{
		ID: "SLW703", Name: "etcd-skew", Level: Error,
		Title: "An upgrade leaps over a minor version of etcd, or goes back to an earlier one.",
		Why:   "Members of two versions form one cluster during the upgrade, which etcd allows neighbours only. A member refuses to start on what a later version wrote (etcd.io/docs/latest/upgrades).",
		Fix:   "Release one minor version after the other, and upgrade through each.",
		check: hopRule(hop.EtcdSkew),
	},
	{
		ID: "SLW704", Name: "immutable-field", Level: Error,
		Title: "An upgrade changes a field that nobody can change once the object exists.",
		Why:   "New clusters get the object and pass every test. In a cluster that has it already the API server refuses the change, and the upgrade stops there. Jobs may change, since they are made anew.",
		Fix:   "Give the object another name and delete the old one (release.openshift.io/delete: \"true\"), or annotate it release.openshift.io/create-only: \"true\" where old clusters may keep what they have.",
		check: hopRule(hop.ImmutableField),
	},
	{
		ID: "SLW705", Name: "definition-drops-version", Level: Error,
		Title: "An upgrade takes a version out of a CustomResourceDefinition in which objects are stored, or which the release before uses.",
		Why:   "The API server refuses a definition without a version in which objects may be stored. One that is no longer served is missing for controllers of the release before, which run on until they are replaced.",
		Fix:   "Keep the version, served: true, until no release that can be upgraded from uses it; store another one first, and have all objects written anew.",
		check: hopRule(hop.DroppedVersion),
	},
	{
		ID: "SLW706", Name: "object-dropped", Level: Note,
		Title: "An object of the release before is not in this one.",
		Why:   "An upgrade deletes nothing by itself: clusters keep the object, and what it runs, for ever, and new ones do not have it.",
		Fix:   "Leave its manifest in the release with the annotation release.openshift.io/delete: \"true\", or clean up by hand.",
		check: hopRule(hop.DroppedObject),
	},
}

// hopProblem is a problem with one of the hops.
type hopProblem struct {
	hop.Problem
	name string // of the hop
	own  *manifests.Object
}

func hopRule(flaw hop.Flaw) func(*payload, func(place, string)) {
	return func(p *payload, report func(place, string)) {
		for _, problem := range p.hops {
			if problem.Flaw == flaw {
				report(problem.place(p), problem.Message)
			}
		}
	}
}

// judgeHops compares the payload with each that it can be reached from.
func (p *payload) judgeHops() {
	if len(p.options.From) == 0 {
		return
	}
	to := hop.NewEnd(p.refs, p.selected(p.objects))
	if p.options.Kubernetes != "" {
		to.Kubernetes = p.options.Kubernetes
	}
	for _, payload := range p.options.From {
		from := hop.Of(payload)
		from.Objects = p.selected(from.Objects)
		forth := hop.Judge(from, to)
		name := hopName(from, to)
		p.judged = append(p.judged, name)
		for _, problem := range forth {
			p.hops = append(p.hops, hopProblem{problem, name, problem.After})
		}
		if !p.options.BothWays {
			continue
		}
		name = hopName(to, from)
		p.judged = append(p.judged, name)
		for _, problem := range hop.Judge(to, from) {
			// What cannot be changed forth cannot be changed back, which needs no second finding.
			known := slices.ContainsFunc(forth, func(f hop.Problem) bool {
				return f.Flaw == problem.Flaw && f.Flaw == hop.ImmutableField && f.After == problem.Before && slices.Equal(f.Path, problem.Path)
			})
			if !known {
				p.hops = append(p.hops, hopProblem{problem, name, problem.Before})
			}
		}
	}
}

func hopName(from, to hop.End) string {
	name := func(e hop.End) string {
		if e.Name == "" {
			return "the manifests"
		}
		return e.Name
	}
	return fmt.Sprintf("%s to %s", name(from), name(to))
}

// selected are the objects that clusters of the profile have to do with.
func (p *payload) selected(objects []manifests.Object) []manifests.Object {
	var kept []manifests.Object
	for _, o := range objects {
		if p.included(o) {
			kept = append(kept, o)
		}
	}
	return kept
}

// place is in the payload that is judged, where it has the object, and else in the
// file that would hold it.
func (h hopProblem) place(p *payload) place {
	var where place
	switch {
	case h.own != nil:
		where = at(*h.own, h.Path...)
	case h.Before != nil:
		where = place{file: h.Before.File, object: h.Before.String()}
	case h.After != nil:
		where = place{file: h.After.File, object: h.After.String()}
	case len(p.refs.Tags) > 0:
		where = place{file: release.ReferencesFile}
	}
	where.hop = h.name
	return where
}
