package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/slipway-release/slipway/release/releasetest"
)

const inventoryPath = "/api/v1/namespaces/kube-system/configmaps/slipway-rollout"

// pinned returns a pull spec by digest of what is under a tag.
func (p *infoPlace) pinned(t *testing.T, ref string) string {
	t.Helper()
	digest, err := p.registry.Resolve(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	return ref[:strings.LastIndexByte(ref, ':')] + "@" + digest.String()
}

// Without a name, the payload of the cluster is meant, as oc does it.
func TestReleaseInfoOfACluster(t *testing.T) {
	t.Parallel()
	p := newInfoPlace(t)
	older, newer := p.pinned(t, p.older), p.pinned(t, p.newer)
	kubeconfig := releasetest.NewOKD(t, "4.15.0", older, func(o map[string]releasetest.Object) {
		status := o["/apis/config.openshift.io/v1/clusterversions/version"]["status"].(releasetest.Object)
		status["availableUpdates"] = []any{releasetest.Object{"version": "4.15.1", "image": newer}}
	}).Kubeconfig(t)
	out, _ := p.run(t, exitDone, "info", "--kubeconfig", kubeconfig)
	contains(t, out, "Name:      4.15.0\n", "Pull From: "+older)
	out, _ = p.run(t, exitDone, "info", "4.15.1", "--kubeconfig", kubeconfig)
	contains(t, out, "Name:      4.15.1\n", "Pull From: "+newer)
	text, _ := p.run(t, exitDone, "diff", older, newer)
	out, _ = p.run(t, exitDone, "info", "4.15.0", "4.15.1", "--kubeconfig", kubeconfig)
	if out != text {
		t.Errorf("two versions of the cluster are not compared as their payloads are:\n%s", out)
	}
	_, errs := p.run(t, exitUsage, "info", "4.16.0", "--kubeconfig", kubeconfig)
	contains(t, errs, "4.16.0", "ClusterVersion")
	// The environment names it too, and nothing else is read.
	cmd := command(t, p.state, "release", "info", "-o", "jsonpath=.pullSpec")
	cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig)
	if spec, err := cmd.Output(); err != nil || string(spec) != older {
		t.Errorf("%s, %v", spec, err)
	}

	ours := releasetest.NewCluster(t)
	_, errs = p.run(t, exitUsage, "info", "--kubeconfig", ours.Kubeconfig(t))
	contains(t, errs, "nothing was rolled out to it")
	digest := older[strings.LastIndexByte(older, '@')+1:]
	ours.Put(inventoryPath, releasetest.Object{"apiVersion": "v1", "kind": "ConfigMap", "metadata": releasetest.Object{"name": "slipway-rollout", "namespace": "kube-system"},
		"data": releasetest.Object{"inventory.json": `{"version":"4.15.0","digest":"` + digest + `"}`}})
	// The distribution's own registry, in which such a payload is, has none here.
	_, errs = p.run(t, exitUsage, "info", "--kubeconfig", ours.Kubeconfig(t))
	contains(t, errs, `"`+digest+`"`, "no such image")

	cmd = command(t, p.state, "release", "info")
	cmd.Env = append(os.Environ(), "KUBECONFIG=", "HOME="+t.TempDir())
	said, err := cmd.CombinedOutput()
	if err == nil || cmd.ProcessState.ExitCode() != exitUsage {
		t.Errorf("exit code %d: %s", cmd.ProcessState.ExitCode(), said)
	}
	contains(t, string(said), "name one, or a cluster")
	_, errs = p.run(t, exitHost, "info", "--kubeconfig", unreachable(t))
	contains(t, errs, "asking the cluster at")
}

func unreachable(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(path, []byte("apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{name: c, cluster: {server: \"http://127.0.0.1:1\"}}]\ncontexts: [{name: c, context: {cluster: c, user: c}}]\nusers: [{name: c, user: {}}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// optional is a payload with objects that not every cluster takes.
func optional(version, capability string) releasetest.Payload {
	p := releasetest.Small(version)
	object := func(kind, name, rest string) releasetest.File {
		return releasetest.File{Name: "0000_50_x_" + name + ".yaml", Data: []byte("apiVersion: v1\nkind: " + kind + "\nmetadata:\n  name: " + name + "\n  namespace: etcd\n  annotations:\n    include.release.openshift.io/self-managed-high-availability: \"true\"\n" + rest)}
	}
	kept := ""
	if capability != "" {
		kept = "    capability.openshift.io/name: " + capability + "\n"
	}
	p.Manifests = append(p.Manifests, object("Service", "kept", kept),
		object("Service", "console", "    capability.openshift.io/name: Console\n"),
		object("Service", "preview", "    release.openshift.io/feature-set: TechPreviewNoUpgrade\n"),
		object("Service", "mine", ""))
	for cloud, provider := range map[string]string{"aws": "AWSProviderSpec", "gcp": "GCPProviderSpec"} {
		p.Manifests = append(p.Manifests, releasetest.File{Name: "0000_50_creds_" + cloud + ".yaml", Data: []byte("apiVersion: cloudcredential.openshift.io/v1\nkind: CredentialsRequest\nmetadata:\n  name: " + cloud + "\n  namespace: x\n  annotations:\n    include.release.openshift.io/self-managed-high-availability: \"true\"\nspec: {providerSpec: {kind: " + provider + "}}\n")})
	}
	return p
}

type extracted struct {
	For     string
	Files   []string
	LeftOut []struct{ Object, Reason string }
}

// services says which of the optional objects came out, and of the credentials requests.
func (e extracted) services() string {
	var names []string
	for _, f := range e.Files {
		for _, prefix := range []string{"0000_50_x_", "0000_50_creds_"} {
			if name, ok := strings.CutPrefix(f, prefix); ok {
				names = append(names, strings.TrimSuffix(name, ".yaml"))
			}
		}
	}
	return strings.Join(names, " ")
}

func TestExtractForACluster(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	at := s.push(t, "release", optional("4.19.0", "").Image(t))
	next := s.push(t, "next", optional("4.20.0", "Novelty").Image(t))
	cluster := func(change func(spec, status releasetest.Object)) string {
		return releasetest.NewOKD(t, "4.19.0", at, func(o map[string]releasetest.Object) {
			cv := o["/apis/config.openshift.io/v1/clusterversions/version"]
			if change != nil {
				change(cv["spec"].(releasetest.Object), cv["status"].(releasetest.Object))
			}
		}).Kubeconfig(t)
	}
	plain := cluster(nil)
	installConfig := filepath.Join(t.TempDir(), "install-config.yaml")
	if err := os.WriteFile(installConfig, []byte("apiVersion: v1\nplatform: {gcp: {}}\nfeatureSet: TechPreviewNoUpgrade\ncapabilities: {baselineCapabilitySet: None}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"a cluster":   {[]string{"--included", "--kubeconfig", plain}, "aws gcp kept mine"},
		"its way on":  {[]string{next, "--included", "--kubeconfig", plain}, "aws gcp kept mine"},
		"to be made":  {[]string{next, "--install-config", installConfig}, "aws gcp mine preview"},
		"by flags":    {[]string{next, "--feature-set", "Default", "--capabilities", "Console"}, "aws gcp console mine"},
		"flags on it": {[]string{next, "--capabilities", "Console", "--kubeconfig", plain}, "aws gcp console kept mine"},
		"its overrides": {[]string{at, "--included", "--kubeconfig", cluster(func(spec, _ releasetest.Object) {
			spec["overrides"] = []any{releasetest.Object{"group": "", "kind": "Service", "namespace": "etcd", "name": "mine", "unmanaged": true}}
		})}, "aws gcp kept"},
		"its credentials": {[]string{at, "--included", "--credentials-requests", "--kubeconfig", plain}, "aws"},
		"other ones":      {[]string{at, "--credentials-requests", "--install-config", installConfig}, "gcp"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out := mustRun(t, t.TempDir(), append([]string{"release", "extract", "--to", t.TempDir(), "-o", "json"}, test.args...)...)
			var e extracted
			if err := json.Unmarshal([]byte(out), &e); err != nil {
				t.Fatal(err)
			}
			if got := e.services(); got != test.want {
				t.Errorf("extracted are %q, want %q", got, test.want)
			}
			if asked := strings.Contains(strings.Join(test.args, " "), "config"); (e.For != "") != asked {
				t.Errorf("chosen for %q", e.For)
			}
		})
	}
	for says, args := range map[string][]string{
		"both":                 {at, "--install-config", installConfig, "--kubeconfig", plain},
		`--cloud: it is "gcp"`: {at, "--included", "--credentials-requests", "--cloud", "gcp", "--kubeconfig", plain},
		"no such file":         {at, "--install-config", "/nonexistent"},
		"names no image":       {at, "--included", "--kubeconfig", cluster(func(_, status releasetest.Object) { status["desired"] = releasetest.Object{} })},
	} {
		_, errs, code := slipway(t, t.TempDir(), append([]string{"release", "extract", "--to", t.TempDir()}, args...)...)
		if code != exitUsage {
			t.Errorf("%q: exit code %d", args, code)
		}
		contains(t, errs, says)
	}
	cmd := command(t, t.TempDir(), "release", "extract", at, "--included")
	cmd.Env = append(os.Environ(), "KUBECONFIG=", "HOME="+t.TempDir())
	if out, err := cmd.CombinedOutput(); err == nil || cmd.ProcessState.ExitCode() != exitUsage || !strings.Contains(string(out), "--install-config, or --profile") {
		t.Errorf("%s, %v", out, err)
	}
}

// --verify fails closed: nothing is extracted from a payload that is not signed, or
// by somebody else.
func TestExtractVerified(t *testing.T) {
	t.Parallel()
	p := newSignPlace(t)
	private, public := keyPair(t)
	to := filepath.Join(t.TempDir(), "out")
	for _, how := range [][]string{nil, {"--file", "image-references"}, {"--tools"}} {
		out, errs := p.run(t, exitRejected, append([]string{"release", "extract", p.tag, "--to", to, "--verify", "--key", public}, how...)...)
		contains(t, errs, "extracting from payload", "it is refused")
		if _, err := os.Stat(to); err == nil || out != "" {
			t.Errorf("%q: something was extracted: %s", how, out)
		}
	}
	_, errs := p.run(t, exitUsage, "release", "extract", p.tag, "--to", to, "--key", public)
	contains(t, errs, "--verify")
	cmd := command(t, p.state, "sign", p.payload, "--key", private)
	cmd.Env = append(os.Environ(), "COSIGN_PASSWORD=x")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	p.run(t, exitDone, "release", "extract", p.tag, "--to", to, "--verify", "--key", public)
	if _, err := os.Stat(filepath.Join(to, "image-references")); err != nil {
		t.Error(err)
	}
}
