package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"

	"github.com/slipway-release/slipway/distros"
	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/release/lint"
	"github.com/slipway-release/slipway/release/releasetest"
)

const singlePod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: default}\nspec: {containers: []}\n"

func manifestFolder(t *testing.T, text string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "web")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "pod.yaml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestReleaseLint(t *testing.T) {
	t.Parallel()
	skiff := filepath.Join(t.TempDir(), "skiff")
	if err := distros.Unpack(distros.Embedded(), skiff); err != nil {
		t.Fatal(err)
	}
	pod := manifestFolder(t, singlePod)
	warned := manifestFolder(t, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: nobodys}\n")
	exceptions := filepath.Join(t.TempDir(), "exceptions.yaml")
	if err := os.WriteFile(exceptions, []byte("apiVersion: slipway.dev/v1alpha1\nkind: LintExceptions\nexceptions:\n- {rule: bare-pod, object: Pod default/a, reason: why, until: 2999-01-01}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	state := t.TempDir()
	for name, c := range map[string]struct {
		args []string
		code int
		out  []string // in what is printed
		errs string   // in the message
	}{
		"distribution":        {[]string{skiff}, exitDone, []string{"0 errors", "1 excepted", "Kubernetes 1.36"}, ""},
		"components":          {[]string{filepath.Join(skiff, "components"), "--fail-on", "note"}, exitDone, []string{"0 errors, 0 warnings, 0 notes", "Kubernetes 1.36"}, ""},
		"one component":       {[]string{filepath.Join(skiff, "components", "coredns", "manifests")}, exitDone, []string{"0 errors", "Kubernetes 1.36"}, ""},
		"error":               {[]string{pod}, exitRejected, []string{"pod.yaml:2: error: ", "bare-pod", "fix: "}, "1 error"},
		"never":               {[]string{pod, "--fail-on", "never"}, exitDone, []string{"1 error"}, ""},
		"excepted":            {[]string{pod, "--exceptions", exceptions}, exitDone, []string{"0 errors", "excepted until 2999-01-01"}, ""},
		"warning":             {[]string{warned}, exitDone, []string{"1 warning"}, ""},
		"warning fails":       {[]string{warned, "--fail-on", "warning"}, exitRejected, []string{"1 warning"}, "1 warning"},
		"profile":             {[]string{warned, "--profile", "ha"}, exitRejected, []string{"never-applied"}, "error"},
		"names":               {[]string{pod, "-o", "name", "--fail-on", "never"}, exitDone, []string{"bare-pod "}, ""},
		"json":                {[]string{pod, "-o", "json", "--kubernetes-version", "1.30", "--fail-on", "never"}, exitDone, []string{`"rule": "bare-pod"`, `"kubernetes": "1.30"`}, ""},
		"sarif":               {[]string{pod, "-o", "sarif"}, exitRejected, []string{`"version": "2.1.0"`, `"ruleId": "SLW412"`}, ""},
		"explain":             {[]string{"--explain", "slw412"}, exitDone, []string{"bare-pod (SLW412, error)", "Fix: "}, ""},
		"rules":               {[]string{"--list-rules"}, exitDone, []string{"SLW001", "SLW903"}, ""},
		"unknown rule":        {[]string{"--explain", "nothing"}, exitUsage, nil, `"nothing"`},
		"unknown level":       {[]string{pod, "--fail-on", "sometimes"}, exitUsage, nil, `"sometimes"`},
		"no version":          {[]string{pod, "--kubernetes-version", "new"}, exitUsage, nil, `"new"`},
		"no such exceptions":  {[]string{pod, "--exceptions", "/nonexistent"}, exitUsage, nil, "/nonexistent"},
		"wrong exceptions":    {[]string{pod, "--exceptions", filepath.Join(pod, "pod.yaml")}, exitUsage, nil, "LintExceptions"},
		"empty folder":        {[]string{t.TempDir()}, exitUsage, nil, "holds none"},
		"two":                 {[]string{pod, pod}, exitUsage, nil, "accepts 1 arg"},
		"unknown form":        {[]string{pod, "-o", "xml"}, exitUsage, nil, "sarif"},
		"one end of a step":   {[]string{pod, "--both-ways"}, exitUsage, nil, "--from"},
		"rules and a payload": {[]string{pod, "--list-rules"}, exitUsage, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, errs, code := slipway(t, state, append([]string{"release", "lint"}, c.args...)...)
			if code != c.code {
				t.Errorf("exit code %d, want %d: %s%s", code, c.code, out, errs)
			}
			for _, want := range c.out {
				if !strings.Contains(out, want) {
					t.Errorf("output lacks %q:\n%s", want, out)
				}
			}
			if !strings.Contains(errs, c.errs) || c.code == exitUsage && out != "" {
				t.Errorf("message lacks %q: %s (output %q)", c.errs, errs, out)
			}
		})
	}
}

// A payload that oc wrote is judged out of a layout.
func TestReleaseLintPayload(t *testing.T) {
	t.Parallel()
	payload := releasetest.Small("4.19.0-okd-scos.1")
	payload.Manifests = append(payload.Manifests, releasetest.File{Name: "0000_99_web_pod.yaml", Data: []byte(singlePod)})
	dir := t.TempDir()
	written, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := written.AppendImage(payload.Image(t), layout.WithAnnotations(map[string]string{oci.AnnotationRefName: payload.Version})); err != nil {
		t.Fatal(err)
	}
	out, errs, code := slipway(t, t.TempDir(), "release", "lint", "oci:"+dir, "-o", "json")
	if code != exitRejected {
		t.Fatalf("exit code %d: %s%s", code, out, errs)
	}
	var report lint.Report
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatal(err)
	}
	found := false
	for _, f := range report.Findings {
		found = found || f.Rule == "bare-pod" && f.File == "0000_99_web_pod.yaml" && f.Line == 2
	}
	if !found || report.Files != len(payload.Manifests) {
		t.Errorf("got %+v", report)
	}
}

// A payload is judged with the step to it from another one, and with the step back.
func TestReleaseLintFrom(t *testing.T) {
	t.Parallel()
	const class = "apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {name: fast}\nprovisioner: example.com/disk\nparameters: {type: TYPE}\n"
	dir := t.TempDir()
	written, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	for version, kind := range map[string]string{"4.19.0-okd-scos.1": "slow", "4.19.0-okd-scos.2": "fast"} {
		payload := releasetest.Small(version)
		payload.Manifests = append(payload.Manifests, releasetest.File{Name: "0000_99_web_class.yaml", Data: []byte(strings.Replace(class, "TYPE", kind, 1))})
		if err := written.AppendImage(payload.Image(t), layout.WithAnnotations(map[string]string{oci.AnnotationRefName: version})); err != nil {
			t.Fatal(err)
		}
	}
	out, errs, code := slipway(t, t.TempDir(), "release", "lint", "oci:"+dir+":4.19.0-okd-scos.2", "--from", "oci:"+dir+":4.19.0-okd-scos.1", "--both-ways", "-o", "json")
	if code != exitRejected {
		t.Fatalf("exit code %d: %s%s", code, out, errs)
	}
	var report lint.Report
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatal(err)
	}
	const forth, back = "4.19.0-okd-scos.1 to 4.19.0-okd-scos.2", "4.19.0-okd-scos.2 to 4.19.0-okd-scos.1"
	found := 0
	for _, f := range report.Findings {
		if f.Hop == "" {
			continue
		}
		found++
		if f.Rule != "immutable-field" || f.File != "0000_99_web_class.yaml" || f.Line != 5 || f.Field != "parameters" || f.Hop != forth {
			t.Errorf("got %+v", f)
		}
	}
	if found != 1 || len(report.Hops) != 2 || report.Hops[0] != forth || report.Hops[1] != back {
		t.Errorf("%d findings of the hops %q", found, report.Hops)
	}
}
