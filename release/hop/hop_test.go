package hop_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/hop"
	"github.com/slipway-release/slipway/release/manifests"
)

// end is a release with these manifests.
func end(t testing.TB, text string) hop.End {
	t.Helper()
	objects, err := manifests.Parse([]byte(text), "0000_50_a_b.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return hop.End{Objects: objects}
}

func TestVersions(t *testing.T) {
	for name, tc := range map[string]struct {
		from, to hop.End
		want     []string
	}{
		"none known":         {hop.End{}, hop.End{Kubernetes: "1.36.0", Kubelet: "1.36.0", Etcd: "3.6.0"}, nil},
		"the same":           {hop.End{Kubernetes: "1.36.0", Kubelet: "1.36.0", Etcd: "3.6.0"}, hop.End{Kubernetes: "1.36.0", Kubelet: "1.36.0", Etcd: "3.6.0"}, nil},
		"a patch back":       {hop.End{Kubernetes: "1.36.3", Etcd: "3.6.6"}, hop.End{Kubernetes: "1.36.0", Etcd: "3.6.0"}, nil},
		"a minor":            {hop.End{Kubernetes: "v1.35.9", Kubelet: "1.35.9", Etcd: "3.5.26"}, hop.End{Kubernetes: "1.36.0", Kubelet: "1.36.0", Etcd: "3.6.0"}, nil},
		"kubernetes leaps":   {hop.End{Kubernetes: "1.34.1"}, hop.End{Kubernetes: "1.36.0"}, []string{"Kubernetes goes from 1.34.1 to 1.36.0, over 2 minor versions at once"}},
		"kubernetes back":    {hop.End{Kubernetes: "1.36.1"}, hop.End{Kubernetes: "1.35.9"}, []string{"Kubernetes goes back from 1.36.1 to 1.35.9"}},
		"to another major":   {hop.End{Kubernetes: "1.36.1"}, hop.End{Kubernetes: "2.0.0"}, []string{"Kubernetes goes from 1.36.1 to 2.0.0, over 64 minor versions at once"}},
		"etcd leaps":         {hop.End{Etcd: "3.4.1"}, hop.End{Etcd: "3.6.0"}, []string{"etcd goes from 3.4.1 to 3.6.0, over 2 minor versions at once"}},
		"etcd back":          {hop.End{Etcd: "3.6.1"}, hop.End{Etcd: "3.5.26"}, []string{"etcd goes back from 3.6.1 to 3.5.26"}},
		"kubelet far behind": {hop.End{Kubelet: "1.32.9"}, hop.End{Kubernetes: "1.36.0", Kubelet: "1.33.0"}, []string{"kubelets 1.32.9 will talk to API servers 1.36.0, which are 4 minor versions newer"}},
		"kubelet ahead":      {hop.End{}, hop.End{Kubernetes: "1.36.0", Kubelet: "1.37.0"}, []string{"the new release has kubelets 1.37.0, which are newer than its API servers 1.36.0"}},
		"no versions":        {hop.End{Kubernetes: "new", Etcd: "1"}, hop.End{Kubernetes: "1.36.0", Etcd: "3.6.0"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, messages(hop.Judge(tc.from, tc.to))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func messages(problems []hop.Problem) []string {
	var all []string
	for _, p := range problems {
		all = append(all, p.Message)
	}
	return all
}

const (
	object = "apiVersion: %s\nkind: %s\nmetadata: {name: a, namespace: b}\n"
	crd    = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: boats.example.com}\nspec: {group: example.com, scope: Cluster, names: {kind: Boat}, versions: %s}\n"
)

func of(apiVersion, kind, body string) string {
	return strings.Replace(strings.Replace(object, "%s", apiVersion, 1), "%s", kind, 1) + body + "\n"
}

func defined(versions string) string { return strings.Replace(crd, "%s", versions, 1) }

func TestObjects(t *testing.T) {
	annotated := func(annotation, text string) string {
		return strings.Replace(text, "namespace: b}", "namespace: b, annotations: {"+annotation+"}}", 1)
	}
	const boat = "---\napiVersion: example.com/v1\nkind: Boat\nmetadata: {name: dinghy}\n"
	for name, tc := range map[string]struct {
		from, to string
		want     string // part of the only message; empty when there is none
		path     string
	}{
		"selector": {of("apps/v1", "Deployment", "spec: {selector: {matchLabels: {a: b}}}"), of("apps/v1", "Deployment", "spec: {selector: {matchLabels: {a: c}}}"),
			`spec.selector of Deployment b/a becomes {"matchLabels":{"a":"c"}} and was {"matchLabels":{"a":"b"}}`, "spec.selector"},
		"selector of daemons": {of("apps/v1", "DaemonSet", "spec: {selector: {matchLabels: {a: b}}}"), of("apps/v1", "DaemonSet", "spec: {}"), "becomes unset and was", "spec.selector"},
		"another API version": {of("apps/v1beta2", "Deployment", "spec: {selector: {matchLabels: {a: b}}}"), of("apps/v1", "Deployment", "spec: {selector: {matchLabels: {a: c}}}"), "spec.selector", "spec.selector"},
		"nothing is as good":  {of("apps/v1", "Deployment", "spec: {selector: {matchLabels: {a: b}, matchExpressions: []}}"), of("apps/v1", "Deployment", "spec: {selector: {matchLabels: {a: b}}, replicas: 3}"), "", ""},
		"made once":           {of("apps/v1", "Deployment", "spec: {selector: {matchLabels: {a: b}}}"), annotated("release.openshift.io/create-only: 'true'", of("apps/v1", "Deployment", "spec: {selector: {matchLabels: {a: c}}}")), "", ""},
		"deleted":             {of("apps/v1", "Deployment", "spec: {selector: {matchLabels: {a: b}}}"), annotated("release.openshift.io/delete: 'true'", of("apps/v1", "Deployment", "")), "", ""},
		"was deleted":         {annotated("release.openshift.io/delete: 'true'", of("apps/v1", "Deployment", "")), of("apps/v1", "Deployment", "spec: {selector: {matchLabels: {a: c}}}"), "", ""},
		"deletion ends":       {annotated("release.openshift.io/delete: 'true'", of("apps/v1", "Deployment", "")), "", "", ""},
		"variants of other clusters": {annotated("release.openshift.io/feature-set: A", of("apps/v1", "Deployment", "spec: {selector: {matchLabels: {a: b}}}")),
			annotated("release.openshift.io/feature-set: B", of("apps/v1", "Deployment", "spec: {selector: {matchLabels: {a: c}}}")), "Deployment b/a is in the release before", ""},
		"claims":                    {of("apps/v1", "StatefulSet", "spec: {volumeClaimTemplates: [{metadata: {name: d}, spec: {resources: {requests: {storage: 1Gi}}}}]}"), of("apps/v1", "StatefulSet", "spec: {volumeClaimTemplates: [{metadata: {name: d}, spec: {resources: {requests: {storage: 2Gi}}}}]}"), "spec.volumeClaimTemplates of StatefulSet b/a", "spec.volumeClaimTemplates"},
		"claims with what is empty": {of("apps/v1", "StatefulSet", "spec: {volumeClaimTemplates: [{metadata: {name: d, creationTimestamp: null}, status: {}}]}"), of("apps/v1", "StatefulSet", "spec: {volumeClaimTemplates: [{metadata: {name: d}}], podManagementPolicy: OrderedReady}"), "", ""},
		"order of pods":             {of("apps/v1", "StatefulSet", ""), of("apps/v1", "StatefulSet", "spec: {podManagementPolicy: Parallel}"), `becomes "Parallel" and was "OrderedReady"`, "spec.podManagementPolicy"},
		"address":                   {of("v1", "Service", "spec: {clusterIP: 10.0.0.1}"), of("v1", "Service", "spec: {clusterIP: 10.0.0.2}"), `spec.clusterIP of Service b/a becomes "10.0.0.2" and was "10.0.0.1"`, "spec.clusterIP"},
		"address is asked for":      {of("v1", "Service", "spec: {}"), of("v1", "Service", "spec: {clusterIP: None}"), `becomes "None" and was "chosen by the cluster"`, "spec.clusterIP"},
		"address is kept":           {of("v1", "Service", "spec: {clusterIP: 10.0.0.1}"), of("v1", "Service", "spec: {}"), "", ""},
		"from outside to inside":    {of("v1", "Service", "spec: {type: ExternalName}"), of("v1", "Service", "spec: {clusterIP: 10.0.0.2}"), "", ""},
		"storage":                   {of("storage.k8s.io/v1", "StorageClass", "parameters: {type: slow}"), of("storage.k8s.io/v1", "StorageClass", "parameters: {type: fast}"), "parameters of StorageClass", "parameters"},
		"defaults of storage":       {of("storage.k8s.io/v1", "StorageClass", ""), of("storage.k8s.io/v1", "StorageClass", "reclaimPolicy: Delete\nvolumeBindingMode: Immediate\nallowVolumeExpansion: true"), "", ""},
		"role":                      {of("rbac.authorization.k8s.io/v1", "RoleBinding", "roleRef: {name: a}"), of("rbac.authorization.k8s.io/v1", "RoleBinding", "roleRef: {name: b}"), "roleRef of RoleBinding b/a", "roleRef"},
		"priority":                  {of("scheduling.k8s.io/v1", "PriorityClass", "value: 1"), of("scheduling.k8s.io/v1", "PriorityClass", "value: 2"), "becomes 2 and was 1", "value"},
		"what never changes":        {of("v1", "ConfigMap", "immutable: true\ndata: {a: b}"), of("v1", "ConfigMap", "immutable: true\ndata: {a: c}"), "data of ConfigMap b/a changes, which the API server refuses", "data"},
		"secrets are not told":      {of("v1", "Secret", "immutable: true\nstringData: {a: hush}"), of("v1", "Secret", "immutable: true\nstringData: {a: quiet}"), "stringData of Secret b/a changes, which", "stringData"},
		"what may change":           {of("v1", "ConfigMap", "data: {a: b}"), of("v1", "ConfigMap", "data: {a: c}\nimmutable: true"), "", ""},
		"jobs are made anew":        {of("batch/v1", "Job", "spec: {template: {spec: {containers: [{image: a}]}}}"), of("batch/v1", "Job", "spec: {template: {spec: {containers: [{image: b}]}}}"), "", ""},
		"scope":                     {defined("[]"), strings.Replace(defined("[]"), "Cluster", "Namespaced", 1), `spec.scope of CustomResourceDefinition boats.example.com becomes "Namespaced"`, "spec.scope"},
		"stored version":            {defined("[{name: v1, served: true, storage: true}]"), defined("[{name: v2, served: true, storage: true}]"), "no longer has version v1, in which the release before stores objects", "spec.versions"},
		"served version":            {defined("[{name: v1, served: true}, {name: v2, served: true, storage: true}]") + boat, defined("[{name: v1, served: false}, {name: v2, served: true, storage: true}]") + strings.Replace(boat, "v1", "v2", 1), "no longer serves version v1, which Boat dinghy of the release before uses", "spec.versions"},
		"version of nobody":         {defined("[{name: v1, served: true}, {name: v2, served: true, storage: true}]"), defined("[{name: v2, served: true, storage: true}]"), "", ""},
		"stored in another":         {defined("[{name: v1, served: true, storage: true}]") + boat, defined("[{name: v1, served: true}, {name: v2, served: true, storage: true}]") + boat, "", ""},
		"dropped":                   {of("v1", "ConfigMap", ""), "", "ConfigMap b/a is in the release before and not in this one", ""},
		"new":                       {"", of("v1", "ConfigMap", ""), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			problems := hop.Judge(end(t, tc.from), end(t, tc.to))
			if tc.want == "" {
				if len(problems) > 0 {
					t.Errorf("got %q", messages(problems))
				}
				return
			}
			if len(problems) != 1 || !strings.Contains(problems[0].Message, tc.want) {
				t.Fatalf("got %q, want %q", messages(problems), tc.want)
			}
			var path []string
			for _, step := range problems[0].Path {
				path = append(path, step.(string))
			}
			if strings.Join(path, ".") != tc.path || problems[0].Before == nil || strings.Contains(problems[0].Message, "hush") {
				t.Errorf("got %+v", problems[0])
			}
		})
	}
}

// What components announce is what counts: the API server's own version, the node's
// for the kubelet.
func TestEndOfPayload(t *testing.T) {
	tag := func(name, versions string) release.ImageTag {
		return release.ImageTag{Name: name, Image: "r/" + name, Annotations: map[string]string{release.LabelVersions: versions}}
	}
	for name, tc := range map[string]struct {
		tags []release.ImageTag
		want hop.End
	}{
		"of Slipway":     {[]release.ImageTag{tag("etcd", "etcd=3.6.6"), tag("kube-apiserver", "kubernetes=1.36.3"), tag("machine-os", "containerd=2.3.4,kubernetes=1.35.9")}, hop.End{Name: "v", Kubernetes: "1.36.3", Kubelet: "1.35.9", Etcd: "3.6.6"}},
		"they disagree":  {[]release.ImageTag{tag("a", "kubernetes=1.36.3"), tag("b", "kubernetes=1.9.9")}, hop.End{Name: "v", Kubernetes: "1.36.3"}},
		"kubelet's own":  {[]release.ImageTag{tag("machine-os", "kubelet=1.35.0,kubernetes=1.36.3")}, hop.End{Name: "v", Kubernetes: "1.36.3", Kubelet: "1.35.0"}},
		"nobody says so": {[]release.ImageTag{tag("a", "a=1.0.0")}, hop.End{Name: "v"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := hop.Of(&release.Payload{References: release.ImageReferences{Name: "v", Tags: tc.tags}})
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(manifests.Object{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A release upgraded to itself has no problem, whatever it holds.
func FuzzJudge(f *testing.F) {
	f.Add([]byte(of("apps/v1", "StatefulSet", "spec: {selector: [a], volumeClaimTemplates: {a: [1.5, null]}}")))
	f.Add([]byte(defined("[{name: v1, served: true, storage: true}, 1]") + "---\n" + of("v1", "Secret", "immutable: true\ndata: 7")))
	f.Add([]byte(of("v1", "Service", "spec: {clusterIP: 7, type: []}")))
	f.Fuzz(func(t *testing.T, data []byte) {
		e := hop.Of(&release.Payload{Manifests: []release.File{{Name: "0000_50_a_b.yaml", Data: data}}})
		if len(manifests.Duplicates(e.Objects)) > 0 {
			return
		}
		if problems := hop.Judge(e, e); len(problems) > 0 {
			t.Errorf("%q", messages(problems))
		}
		for _, p := range append(hop.Judge(e, hop.End{}), hop.Judge(hop.End{}, e)...) {
			if p.Flaw != hop.DroppedObject || p.Message == "" || p.Before == nil {
				t.Errorf("%+v", p)
			}
		}
	})
}
