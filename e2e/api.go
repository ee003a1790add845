package e2e

import (
	"context"
	"fmt"
	"slices"

	"github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	applycore "k8s.io/client-go/applyconfigurations/core/v1"
)

func apiSpecs() []spec {
	return []spec{
		{group: "API", name: "tells its version and all that it serves", run: servesDiscovery},
		{group: "API", name: "creates, reads, changes and deletes objects", run: changesObjects},
		{group: "API", name: "sends a watch every event once and in order", run: watchesObjects},
		{group: "API", name: "merges what several appliers say about an object", run: appliesObjects},
		{group: "API", name: "serves a custom resource and checks it against its schema", run: servesCustomResource},
	}
}

func servesDiscovery(_ context.Context, e *env) {
	version, err := e.api().Discovery().ServerVersion()
	Expect(err).NotTo(HaveOccurred())
	if want := e.options.KubernetesVersion; want != "" {
		Expect(version.GitVersion).To(Equal(want), "version of the API server")
	}
	_, lists, err := e.api().Discovery().ServerGroupsAndResources()
	Expect(err).NotTo(HaveOccurred(), "a group that is announced is not served")
	served := map[string]bool{}
	for _, l := range lists {
		for _, r := range l.APIResources {
			served[l.GroupVersion+"/"+r.Name] = true
		}
	}
	for _, want := range []string{
		"v1/pods", "v1/pods/exec", "v1/services", "v1/persistentvolumeclaims", "apps/v1/deployments", "apps/v1/statefulsets",
		"apps/v1/daemonsets", "batch/v1/jobs", "batch/v1/cronjobs", "networking.k8s.io/v1/networkpolicies", "policy/v1/poddisruptionbudgets",
		"rbac.authorization.k8s.io/v1/roles", "storage.k8s.io/v1/storageclasses", "apiextensions.k8s.io/v1/customresourcedefinitions",
		"coordination.k8s.io/v1/leases", "discovery.k8s.io/v1/endpointslices",
	} {
		Expect(served).To(HaveKey(want))
	}
	paths, err := e.api().Discovery().OpenAPIV3().Paths()
	Expect(err).NotTo(HaveOccurred())
	Expect(paths).To(HaveKey("apis/apps/v1"))
}

func changesObjects(ctx context.Context, e *env) {
	maps := e.api().CoreV1().ConfigMaps(e.namespace)
	made, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: meta("crud"), Data: map[string]string{"a": "1"}}, metav1.CreateOptions{})
	Expect(err).NotTo(HaveOccurred())
	_, err = maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: meta("crud")}, metav1.CreateOptions{})
	Expect(apierrors.IsAlreadyExists(err)).To(BeTrue(), "creating it again: %v", err)

	changed := made.DeepCopy()
	changed.Data["a"] = "2"
	changed, err = maps.Update(ctx, changed, metav1.UpdateOptions{})
	Expect(err).NotTo(HaveOccurred())
	Expect(changed.ResourceVersion).NotTo(Equal(made.ResourceVersion))
	_, err = maps.Update(ctx, made, metav1.UpdateOptions{})
	Expect(apierrors.IsConflict(err)).To(BeTrue(), "changing it from a stale copy: %v", err)

	_, err = maps.Patch(ctx, "crud", types.MergePatchType, []byte(`{"data":{"b":"3"}}`), metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
	Expect(err).NotTo(HaveOccurred())
	got, err := maps.Get(ctx, "crud", metav1.GetOptions{})
	Expect(err).NotTo(HaveOccurred())
	Expect(got.Data).To(Equal(map[string]string{"a": "2"}), "after a dry run")

	list, err := maps.List(ctx, metav1.ListOptions{LabelSelector: "app=crud"})
	Expect(err).NotTo(HaveOccurred())
	Expect(list.Items).To(HaveLen(1))
	Expect(maps.Delete(ctx, "crud", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &made.UID}})).To(Succeed())
	_, err = maps.Get(ctx, "crud", metav1.GetOptions{})
	Expect(apierrors.IsNotFound(err)).To(BeTrue(), "reading what was deleted: %v", err)
}

func watchesObjects(ctx context.Context, e *env) {
	const last = 20
	maps := e.api().CoreV1().ConfigMaps(e.namespace)
	made, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: meta("counter"), Data: map[string]string{"n": "0"}}, metav1.CreateOptions{})
	Expect(err).NotTo(HaveOccurred())
	var want []string
	for n := 1; n <= last; n++ {
		patch := fmt.Sprintf(`{"data":{"n":"%d"}}`, n)
		_, err := maps.Patch(ctx, "counter", types.MergePatchType, []byte(patch), metav1.PatchOptions{})
		Expect(err).NotTo(HaveOccurred())
		want = append(want, fmt.Sprintf("%s %d", watch.Modified, n))
	}
	want = append(want, fmt.Sprintf("%s %d", watch.Deleted, last))

	// From the version of the first object on: the past is sent as well as what comes.
	events, err := maps.Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=counter", ResourceVersion: made.ResourceVersion})
	Expect(err).NotTo(HaveOccurred())
	defer events.Stop()
	Expect(maps.Delete(ctx, "counter", metav1.DeleteOptions{})).To(Succeed())
	var got []string
	for len(got) < len(want) {
		select {
		case event, ok := <-events.ResultChan():
			Expect(ok).To(BeTrue(), "the watch ended after %q", got)
			cm, ok := event.Object.(*corev1.ConfigMap)
			Expect(ok).To(BeTrue(), "the watch sent %+v", event.Object)
			got = append(got, fmt.Sprintf("%s %s", event.Type, cm.Data["n"]))
		case <-ctx.Done():
			ginkgo.Fail(fmt.Sprintf("the watch sent %q and no more", got))
		}
	}
	Expect(got).To(Equal(want))
}

func appliesObjects(ctx context.Context, e *env) {
	maps := e.api().CoreV1().ConfigMaps(e.namespace)
	apply := func(manager string, force bool, data map[string]string) (map[string]string, error) {
		cm, err := maps.Apply(ctx, applycore.ConfigMap("shared", e.namespace).WithData(data), metav1.ApplyOptions{FieldManager: manager, Force: force})
		if err != nil {
			return nil, err
		}
		return cm.Data, nil
	}
	_, err := apply("first", false, map[string]string{"a": "first", "b": "first"})
	Expect(err).NotTo(HaveOccurred())
	_, err = apply("second", false, map[string]string{"b": "second"})
	Expect(apierrors.IsConflict(err)).To(BeTrue(), "applying a field that another owns: %v", err)
	data, err := apply("second", true, map[string]string{"b": "second", "c": "second"})
	Expect(err).NotTo(HaveOccurred())
	Expect(data).To(Equal(map[string]string{"a": "first", "b": "second", "c": "second"}))
	data, err = apply("first", false, map[string]string{})
	Expect(err).NotTo(HaveOccurred())
	Expect(data).To(Equal(map[string]string{"b": "second", "c": "second"}), "after the first applier left out what it owned")
}

func servesCustomResource(ctx context.Context, e *env) {
	plural := "things" + e.cluster.run
	kind := schema.GroupVersionResource{Group: "e2e.slipway.dev", Version: "v1", Resource: plural}
	definition := customResource(kind)
	definitions := schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	e.create(ctx, definition)
	ginkgo.DeferCleanup(func(ctx ginkgo.SpecContext) {
		err := e.cluster.dynamic.Resource(definitions).Delete(ctx, definition.GetName(), metav1.DeleteOptions{})
		Expect(err).NotTo(HaveOccurred())
	}, ginkgo.NodeTimeout(soon))

	thing := func(name string, size any) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": kind.GroupVersion().String(), "kind": "Thing" + e.cluster.run,
			"metadata": map[string]any{"name": name}, "spec": map[string]any{"size": size},
		}}
	}
	things := e.cluster.dynamic.Resource(kind).Namespace(e.namespace)
	Eventually(ctx, func() error {
		_, err := things.Create(ctx, thing("good", int64(3)), metav1.CreateOptions{})
		return err
	}).Should(Succeed())
	_, err := things.Create(ctx, thing("bad", int64(30)), metav1.CreateOptions{})
	Expect(apierrors.IsInvalid(err)).To(BeTrue(), "creating what the schema forbids: %v", err)
	got, err := things.Get(ctx, "good", metav1.GetOptions{})
	Expect(err).NotTo(HaveOccurred())
	colour, _, err := unstructured.NestedString(got.Object, "spec", "colour")
	Expect(err).NotTo(HaveOccurred())
	Expect(colour).To(Equal("grey"), "the schema's default")
	_, err = things.Patch(ctx, "good", types.MergePatchType, []byte(`{"status":{"seen":true}}`), metav1.PatchOptions{}, "status")
	Expect(err).NotTo(HaveOccurred())
}

// customResource defines one with a bounded number, a default and a status.
func customResource(r schema.GroupVersionResource) *unstructured.Unstructured {
	object := func(properties map[string]any) map[string]any {
		return map[string]any{"type": "object", "properties": properties}
	}
	suffix := r.Resource[len("things"):]
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{"name": r.Resource + "." + r.Group},
		"spec": map[string]any{
			"group": r.Group, "scope": "Namespaced",
			"names": map[string]any{"plural": r.Resource, "singular": "thing" + suffix, "kind": "Thing" + suffix},
			"versions": []any{map[string]any{
				"name": r.Version, "served": true, "storage": true,
				"subresources": map[string]any{"status": map[string]any{}},
				"schema": map[string]any{"openAPIV3Schema": object(map[string]any{
					"spec": object(map[string]any{
						"size":   map[string]any{"type": "integer", "minimum": int64(1), "maximum": int64(10)},
						"colour": map[string]any{"type": "string", "default": "grey"},
					}),
					"status": object(map[string]any{"seen": map[string]any{"type": "boolean"}}),
				})},
			}},
		},
	}}
}

// imageSpecs hold what is the release's own promise, not Kubernetes'.
func imageSpecs() []spec {
	return []spec{{group: "Release", name: "every image that runs is one of the release", run: runsOnlyTheRelease,
		objects: func(e *env) []runtime.Object { return objects(e.pod("sample")) }}}
}

func runsOnlyTheRelease(ctx context.Context, e *env) {
	e.ready(ctx, "sample") // so that the tests' own image is among those looked at
	pods, err := e.api().CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	Expect(err).NotTo(HaveOccurred())
	looked := 0
	var foreign []string
	for _, pod := range pods.Items {
		for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
			if !slices.Contains(e.options.Digests, digestOf(c.Image)) {
				foreign = append(foreign, fmt.Sprintf("%s/%s asks for %q", pod.Namespace, pod.Name, c.Image))
			}
		}
		for _, s := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
			if s.ImageID == "" {
				continue // not yet started; what it asks for was looked at
			}
			looked++
			if !slices.Contains(e.options.Digests, digestOf(s.ImageID)) {
				foreign = append(foreign, fmt.Sprintf("%s/%s runs %q", pod.Namespace, pod.Name, s.ImageID))
			}
		}
	}
	Expect(foreign).To(BeEmpty(), "images that the release does not name")
	Expect(looked).To(BeNumerically(">", 0))
}

// digestOf returns the sha256:… of a reference or an image id, or "".
func digestOf(image string) string {
	const prefix = "sha256:"
	for i := len(image) - 64 - len(prefix); i >= 0; i-- {
		if image[i:i+len(prefix)] == prefix && i+len(prefix)+64 == len(image) {
			return image[i:]
		}
	}
	return ""
}
