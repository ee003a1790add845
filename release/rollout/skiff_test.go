package rollout_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/slipway-release/slipway/internal/controlplane"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/manifests"
	"github.com/slipway-release/slipway/release/rollout"
)

// skiff reads the manifests of the reference distribution.
func skiff(t *testing.T) *release.Payload {
	t.Helper()
	paths, err := filepath.Glob("../../distros/skiff/components/*/manifests/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no manifests of Skiff found: %v", err)
	}
	var files []string
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, filepath.Base(path), string(data))
	}
	return payload(t, newer, files...)
}

func TestSkiffRunLevels(t *testing.T) {
	var got []string
	for _, level := range planOf(t, skiff(t)).Levels {
		for _, c := range level.Components {
			got = append(got, fmt.Sprintf("%02d %s", level.Number, c.Name))
		}
	}
	// Namespaces and rights; settings of the control plane; the network; what needs the network.
	want := []string{"00 cluster-policy", "05 etcd", "05 haproxy", "05 kube-apiserver", "10 flannel", "10 kube-proxy", "20 coredns", "20 local-path-provisioner"}
	if !slices.Equal(got, want) {
		t.Errorf("run levels: %q, want %q", got, want)
	}
}

// What a component must have so that it can be replaced while others use it.
func TestSkiffWorkloadsCanBeUpgraded(t *testing.T) {
	// It serves nobody while volumes are in use, and two of it would make every
	// volume twice.
	single := []string{"Deployment local-path-storage/local-path-provisioner"}
	workloads := 0
	for _, level := range planOf(t, skiff(t)).Levels {
		for _, c := range level.Components {
			for _, o := range c.Objects {
				template, ok := podTemplate(t, o)
				if !ok {
					continue
				}
				workloads++
				checkTemplate(t, o, template, slices.Contains(single, o.String()))
				if replicas := o.Content["spec"].(map[string]any)["replicas"]; o.Kind == "Deployment" && replicas != int64(2) && !slices.Contains(single, o.String()) {
					t.Errorf("%s has %v replicas", o, replicas)
				}
			}
		}
	}
	if workloads != 4 {
		t.Errorf("%d workloads were looked at, want 4", workloads)
	}
}

func podTemplate(t *testing.T, o manifests.Object) (corev1.PodSpec, bool) {
	t.Helper()
	var w struct {
		Spec struct {
			Template corev1.PodTemplateSpec `json:"template"`
		} `json:"spec"`
	}
	if o.Kind != "Deployment" && o.Kind != "DaemonSet" {
		return corev1.PodSpec{}, false
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Content, &w); err != nil {
		t.Fatalf("%s: %v", o, err)
	}
	return w.Spec.Template.Spec, true
}

func checkTemplate(t *testing.T, o manifests.Object, pod corev1.PodSpec, unprobed bool) {
	t.Helper()
	if pod.PriorityClassName == "" {
		t.Errorf("%s has no priority class", o)
	}
	for _, c := range pod.Containers {
		if c.ReadinessProbe == nil && !unprobed {
			t.Errorf("%s: container %s has no readiness probe", o, c.Name)
		}
		if c.Resources.Requests.Cpu().IsZero() || c.Resources.Requests.Memory().IsZero() {
			t.Errorf("%s: container %s requests no processor or memory", o, c.Name)
		}
		if c.SecurityContext == nil {
			t.Errorf("%s: container %s has no security context", o, c.Name)
		}
		if strings.ContainsAny(strings.TrimPrefix(c.Image, "registry.slipway.internal/skiff/"), ":@/") {
			t.Errorf("%s: container %s: image %q is not a component's bare name", o, c.Name, c.Image)
		}
	}
}

func TestSkiffSettings(t *testing.T) {
	s, err := rollout.Settings(skiff(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{controlplane.APIServer, controlplane.Etcd} {
		if _, ok := s.Pods[part]; !ok {
			t.Errorf("Skiff says nothing about %s", part)
		}
	}
	delay, err := s.ShutdownDelay("ha")
	if err != nil || delay <= s.Balancer.Check.Detection() || s.GracePeriod(controlplane.APIServer) <= delay {
		t.Errorf("shutdown delay %s, %v; the balancer sees a server leave after %s, and its pod has %s", delay, err, s.Balancer.Check.Detection(), s.GracePeriod(controlplane.APIServer))
	}
}

func TestSettingsOfAPayloadWithoutAny(t *testing.T) {
	s, err := rollout.Settings(payload(t, newer, "0000_10_a_x.yaml", fmt.Sprintf(configYAML, "c")))
	if err != nil || len(s.Pods) > 0 || s.Balancer != controlplane.DefaultBalancer() {
		t.Errorf("settings %+v, %v", s, err)
	}
}

func TestSettingsRefused(t *testing.T) {
	config := func(name, part, text string) string {
		return fmt.Sprintf("{apiVersion: v1, kind: ConfigMap, metadata: {name: %s, namespace: kube-system, labels: {slipway.dev/control-plane: %s}}, data: {settings.yaml: %q}}", name, part, text)
	}
	_, err := rollout.Settings(payload(t, newer,
		"0000_05_a_1.yaml", config("a", "etcd", "args: {x: '1'}"),
		"0000_05_b_1.yaml", config("b", "etcd", ""),
		"0000_05_c_1.yaml", config("c", "kubelet", ""),
		"0000_05_d_1.yaml", config("d", "kube-apiserver", "arg: {}"),
	))
	for _, want := range []string{"0000_05_b_1.yaml: it has the settings of \"etcd\", and so has 0000_05_a_1.yaml", "0000_05_c_1.yaml", "0000_05_d_1.yaml"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
}
