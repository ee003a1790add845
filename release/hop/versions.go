package hop

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/version"
)

// kubeletLag is how many minor versions a kubelet may be older than an API server
// (kubernetes.io/releases/version-skew-policy).
const kubeletLag = 3

// newest returns the highest of some versions; empty when none can be read.
func newest(versions []string) string {
	best := ""
	for _, text := range versions {
		v, err := version.ParseGeneric(text)
		if err != nil {
			continue
		}
		if best == "" || version.MustParseGeneric(best).LessThan(v) {
			best = text
		}
	}
	return best
}

// minors tells two versions apart by their minor numbers. ok is false when one of
// them is not known. Another major version counts as a hundred minor ones.
func minors(from, to string) (difference int, ok bool) {
	a, err := version.ParseGeneric(from)
	if err != nil {
		return 0, false
	}
	b, err := version.ParseGeneric(to)
	if err != nil {
		return 0, false
	}
	return int(b.Major()*100+b.Minor()) - int(a.Major()*100+a.Minor()), true
}

func skews(from, to End) []Problem {
	var found []Problem
	add := func(flaw Flaw, format string, args ...any) {
		found = append(found, Problem{Flaw: flaw, Message: fmt.Sprintf(format, args...)})
	}
	switch n, ok := minors(from.Kubernetes, to.Kubernetes); {
	case ok && n > 1:
		add(KubernetesSkew, "Kubernetes goes from %s to %s, over %d minor versions at once", from.Kubernetes, to.Kubernetes, n)
	case ok && n < 0:
		add(KubernetesSkew, "Kubernetes goes back from %s to %s", from.Kubernetes, to.Kubernetes)
	}
	// Kubelets are upgraded after the API servers, so that the old ones talk to the new servers.
	if n, ok := minors(from.Kubelet, to.Kubernetes); ok && n > kubeletLag {
		add(KubeletSkew, "kubelets %s will talk to API servers %s, which are %d minor versions newer", from.Kubelet, to.Kubernetes, n)
	}
	if n, ok := minors(to.Kubelet, to.Kubernetes); ok && n < 0 {
		add(KubeletSkew, "the new release has kubelets %s, which are newer than its API servers %s", to.Kubelet, to.Kubernetes)
	}
	switch n, ok := minors(from.Etcd, to.Etcd); {
	case ok && n > 1:
		add(EtcdSkew, "etcd goes from %s to %s, over %d minor versions at once", from.Etcd, to.Etcd, n)
	case ok && n < 0:
		add(EtcdSkew, "etcd goes back from %s to %s", from.Etcd, to.Etcd)
	}
	return found
}
