package cluster

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/slipway-release/slipway/internal/controlplane"
	"github.com/slipway-release/slipway/internal/engine"
	"github.com/slipway-release/slipway/internal/golden"
)

func TestKindConfig(t *testing.T) {
	awkward := engine.Host{OpenFiles: 20000}
	ordinary := engine.Host{CgroupV2: true, SysResource: true}
	for name, test := range map[string]struct {
		profile   string
		host      engine.Host
		ephemeral bool
	}{
		"single-awkward-host": {ProfileSingle, awkward, true},
		"ha-ordinary-host":    {ProfileHA, ordinary, false},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := kindConfig(Options{Name: "slipway-x", Profile: test.profile, Ephemeral: test.ephemeral}, test.host, "localhost/node:1")
			if err != nil {
				t.Fatal(err)
			}
			data, err := yaml.Marshal(cfg)
			if err != nil {
				t.Fatal(err)
			}
			golden.Check(t, "testdata/kind-"+name+".yaml", string(data))
		})
	}
	if _, err := kindConfig(Options{Profile: "huge"}, ordinary, ""); err == nil || !strings.Contains(err.Error(), "single and ha") {
		t.Errorf("an unknown profile: %v", err)
	}
}

func testNodes() []*Node {
	return []*Node{
		{name: "slipway-x-control-plane", role: RoleControlPlane, address: "10.89.0.2"},
		{name: "slipway-x-control-plane2", role: RoleControlPlane, address: "10.89.0.3"},
		{name: "slipway-x-control-plane3", role: RoleControlPlane, address: "10.89.0.4"},
		{name: "slipway-x-worker", role: RoleWorker, address: "10.89.0.5"},
	}
}

// testCluster is one with several control planes, and what it is made of.
func testCluster(t *testing.T) (*Cluster, Bits) {
	t.Helper()
	c := &Cluster{nodes: testNodes(), balancer: &Node{name: "slipway-x-external-load-balancer", role: RoleBalancer, address: "10.89.0.9"}}
	c.Profile, c.Ephemeral = ProfileHA, true
	b := Bits{Payload: "sha256:" + strings.Repeat("a", 64), ControlPlane: map[string]string{}}
	for i, name := range append([]string{pauseImage}, controlPlane...) {
		b.ControlPlane[name] = "registry.slipway.internal/skiff/" + name + "@sha256:" + strings.Repeat(string(rune('0'+i)), 64)
	}
	b.Settings = controlplane.New()
	for part, text := range map[string]string{
		controlplane.APIServer: "terminationGracePeriodSeconds: 75\nargs: {shutdown-send-retry-after: 'true'}\nprofiles: {ha: {args: {shutdown-delay-duration: 10s}}, single: {args: {v: '9'}}}",
		controlplane.Etcd:      "terminationGracePeriodSeconds: 5\nresources: {requests: {cpu: 400m}}",
	} {
		if err := b.Settings.Set(part, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	return c, b
}

func checkFiles(t *testing.T, path string, files []file) {
	t.Helper()
	var all strings.Builder
	for _, f := range files {
		all.WriteString("# " + f.path + "\n" + strings.TrimRight(string(f.data), "\n") + "\n")
	}
	golden.Check(t, path, all.String())
}

func TestNodeFiles(t *testing.T) {
	c, b := testCluster(t)
	files, err := c.nodeFiles(b)
	if err != nil {
		t.Fatal(err)
	}
	checkFiles(t, "testdata/node-files.txt", files)
}

// A flag that the payload gives as well is given once.
func TestReconfiguredPatches(t *testing.T) {
	c, b := testCluster(t)
	files, err := c.staticPodPatches(b, controlplane.Reconfiguration{ID: "f00d", Flags: controlplane.Flags{
		controlplane.APIServer: {"shutdown-delay-duration": "20s", "v": "3"}, controlplane.Etcd: {"log-level": "debug"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	checkFiles(t, "testdata/reconfigured-patches.txt", files)
	plain, err := c.nodeFiles(b)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !slices.ContainsFunc(plain, func(p file) bool { return p.path == f.path }) {
			t.Errorf("an upgrade leaves %s as the reconfiguration wrote it", f.path)
		}
	}
}

func TestHaproxyConfig(t *testing.T) {
	golden.Check(t, "testdata/haproxy.cfg", haproxyConfig(testNodes()[:3], controlplane.DefaultBalancer()))
}

func TestParseBackendStatus(t *testing.T) {
	stats := "# pxname,svname,qcur,status,weight\ncontrol-plane,FRONTEND,,OPEN,\nkube-apiservers,a,0,UP,1\nkube-apiservers,b,0,\"DOWN 1/4\",1\nother,c,0,UP,1\n\n"
	for server, want := range map[string]string{"a": "UP", "b": "DOWN 1/4", "c": "", "FRONTEND": ""} {
		got, err := parseBackendStatus(stats, server)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v; want %q", server, got, err, want)
		}
	}
	for _, bad := range []string{"", "\n", "# a,b\nkube-apiservers,a\n", "\"", "# pxname,svname,x,status\nkube-apiservers\n"} {
		if got, err := parseBackendStatus(bad, "a"); err == nil {
			t.Errorf("%q was read as %q", bad, got)
		}
	}
}

// TestBalancerKindImage: kind fixes the load balancer's image in its source and
// does not export it.
func TestBalancerKindImage(t *testing.T) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/kind").Output()
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "pkg/cluster/internal/loadbalancer/const.go"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(source), `"`+balancerKindImage+`"`) || !strings.Contains(string(source), `"`+balancerConfig+`"`) {
		t.Errorf("kind starts another image than %s, or configures it elsewhere than %s:\n%s", balancerKindImage, balancerConfig, source)
	}
}

func TestValidate(t *testing.T) {
	err := Bits{ControlPlane: map[string]string{"etcd": "x@sha256:1"}, Images: []NodeImage{{Reference: "y:tag"}}}.Validate()
	for _, want := range []string{"payload digest", "Kubernetes version", "machine-os", `"y:tag": not an image by digest`, `"pause": no reference`, `"etcd": image "x@sha256:1" is not among those given`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]bool{
		"dev": true, "slipway-dev": true, "a": true, "n-2026-11-20": true, strings.Repeat("a", 32): true,
		"": false, "Dev": false, "-a": false, "a-": false, "a.b": false, strings.Repeat("a", 33): false, "a/../b": false,
	} {
		if err := checkName(FullName(name)); (err == nil) != want {
			t.Errorf("%q: %v", name, err)
		}
	}
	if FullName("dev") != "slipway-dev" || FullName("slipway-dev") != "slipway-dev" {
		t.Error("a full name is not its own full name")
	}
}
