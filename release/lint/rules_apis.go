package lint

import "fmt"

var apiRules = []*Rule{
	{
		ID: "SLW201", Name: "removed-api", Level: Error,
		Title: "An object uses an API version that the payload's Kubernetes no longer serves.",
		Why:   "The API server answers that it does not know the kind, and the update stops there: in the middle, with the control plane already new.",
		Fix:   "Move the object to the API version named.",
		check: func(p *payload, report func(place, string)) {
			p.eachRetired(func(at place, object string, r retired) {
				if r.removed != 0 && r.removed <= p.kubernetes.minor {
					report(at, fmt.Sprintf("%s: Kubernetes serves no %s since 1.%d, and the payload's is %s%s", object, r.api, r.removed, p.kubernetes, useInstead(r)))
				}
			})
		},
	},
	{
		ID: "SLW202", Name: "deprecated-api", Level: Warning,
		Title: "An object uses an API version that the payload's Kubernetes calls deprecated.",
		Why:   "A later Kubernetes does not serve it. Objects must have moved before the release that brings that one.",
		Fix:   "Move the object to the API version named.",
		check: func(p *payload, report func(place, string)) {
			p.eachRetired(func(at place, object string, r retired) {
				if r.deprecated > p.kubernetes.minor || r.removed != 0 && r.removed <= p.kubernetes.minor {
					return
				}
				end := "will be removed one day"
				if r.removed != 0 {
					end = fmt.Sprintf("is removed in 1.%d", r.removed)
				}
				report(at, fmt.Sprintf("%s: %s is deprecated since Kubernetes 1.%d and %s%s", object, r.api, r.deprecated, end, useInstead(r)))
			})
		},
	},
}

// eachRetired visits the objects whose API has an end, when the version of
// Kubernetes is known.
func (p *payload) eachRetired(visit func(at place, object string, r retired)) {
	if p.kubernetes == (minorVersion{}) {
		return
	}
	for _, o := range p.objects {
		if r, ok := retirementOf(o.APIVersion, o.Kind); ok && !o.Deleted() {
			visit(at(o, "apiVersion"), o.String(), r)
		}
	}
}

func useInstead(r retired) string {
	if r.instead == "" {
		return ""
	}
	return "; use " + r.instead
}
