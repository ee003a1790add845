package cluster_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/slipway-release/slipway/distros"
	"github.com/slipway-release/slipway/images"
	"github.com/slipway-release/slipway/internal/cluster"
	"github.com/slipway-release/slipway/internal/controlplane"
	"github.com/slipway-release/slipway/internal/engine"
	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/oci/registryserver"
	"github.com/slipway-release/slipway/internal/state"
)

// components are what a cluster needs before anything is rolled out to it.
var components = []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd", "pause", "machine-os", "haproxy"}

// createAndDie makes the test program create a cluster in the state directory it
// names, to be killed over it.
const createAndDie = "SLIPWAY_TEST_CREATE_AND_DIE"

func TestMain(m *testing.M) {
	if dir := os.Getenv(createAndDie); dir != "" {
		if err := createIn(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// createIn creates an ephemeral cluster and says each step on standard output.
func createIn(dir string) error {
	ctx := context.Background()
	b, err := skiff(ctx)
	if err != nil {
		return err
	}
	m, _, err := open(ctx, dir, os.Stderr)
	if err != nil {
		return err
	}
	_, err = m.Create(ctx, cluster.Options{Name: "killed", Profile: cluster.ProfileSingle, Bits: b, Ephemeral: true, Run: "dead"},
		func(step string) { fmt.Println(step) })
	return err
}

func open(ctx context.Context, dir string, log io.Writer) (*cluster.Manager, *engine.Engine, error) {
	st, err := state.Open(dir)
	if err != nil {
		return nil, nil, err
	}
	e, err := engine.Detect(ctx, engine.Options{StateDir: dir, Log: log})
	if err != nil {
		return nil, nil, err
	}
	return cluster.NewManager(e, st, log), e, nil
}

func needCluster(t *testing.T) {
	t.Helper()
	if os.Getenv("SLIPWAY_TEST_NO_CLUSTER") != "" {
		t.Skip("SLIPWAY_TEST_NO_CLUSTER is set: no real cluster was made")
	}
}

// skiff builds the reference distribution's images, or finds them built, and
// returns what a cluster is made of.
func skiff(ctx context.Context) (cluster.Bits, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return cluster.Bits{}, err
	}
	cache = filepath.Join(cache, "slipway-test")
	d, err := distros.Load("../../distros/skiff")
	if err != nil {
		return cluster.Bits{}, err
	}
	server, err := registryserver.Serve(ctx, registryserver.Options{Root: filepath.Join(cache, "registry")})
	if err != nil {
		return cluster.Bits{}, err
	}
	registry, err := oci.NewRegistry(d.Repository, server.Addr())
	if err != nil {
		return cluster.Bits{}, err
	}
	var recipes []*images.Recipe
	for _, name := range components {
		recipes = append(recipes, d.Component(name))
	}
	work := filepath.Join(cache, "build")
	lock, err := images.Lock(ctx, recipes, images.LockOptions{Cache: work})
	if err != nil {
		return cluster.Bits{}, err
	}
	results, err := images.Build(ctx, recipes, lock, images.BuildOptions{Registry: registry, Cache: work})
	if err != nil {
		return cluster.Bits{}, err
	}
	b := cluster.Bits{Payload: "sha256:" + strings.Repeat("1", 64), KubernetesVersion: d.Versions["kubernetes"], ControlPlane: map[string]string{}, Settings: controlplane.New()}
	err = b.Settings.Set(controlplane.APIServer, []byte(`{terminationGracePeriodSeconds: 75, args: {shutdown-delay-duration: 10s, shutdown-send-retry-after: "true"}}`))
	if err != nil {
		return cluster.Bits{}, err
	}
	for _, r := range results {
		img, err := registry.Image(ctx, r.Reference)
		if err != nil {
			return cluster.Bits{}, err
		}
		switch r.Component {
		case "machine-os":
			b.MachineOS = img
		case "haproxy":
			b.LoadBalancer = img
		default:
			b.ControlPlane[r.Component] = r.Reference
			b.Images = append(b.Images, cluster.NodeImage{Reference: r.Reference, Image: img})
		}
	}
	return b, nil
}

// next is another release: its machine-os has one more layer, its scheduler
// another image, and the rest is as before.
func next(t *testing.T, b cluster.Bits) cluster.Bits {
	t.Helper()
	var err error
	b.Payload = "sha256:" + strings.Repeat("2", 64)
	if b.MachineOS, err = mutate.AppendLayers(b.MachineOS, marker(t, "usr/local/share/slipway-marker")); err != nil {
		t.Fatal(err)
	}
	b.ControlPlane = maps.Clone(b.ControlPlane)
	b.Images = slices.Clone(b.Images)
	for i, img := range b.Images {
		if img.Reference != b.ControlPlane["kube-scheduler"] {
			continue
		}
		changed, err := mutate.AppendLayers(img.Image, marker(t, "marker"))
		if err != nil {
			t.Fatal(err)
		}
		digest, err := changed.Digest()
		if err != nil {
			t.Fatal(err)
		}
		repository, _, _ := strings.Cut(img.Reference, "@")
		b.Images[i] = cluster.NodeImage{Reference: repository + "@" + digest.String(), Image: changed}
		b.ControlPlane["kube-scheduler"] = b.Images[i].Reference
	}
	return b
}

func marker(t *testing.T, name string) v1.Layer {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buf.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	return layer
}

// world is what an integration test works with.
type world struct {
	*cluster.Manager
	engine *engine.Engine
	bits   cluster.Bits
	dir    string
}

func newWorld(t *testing.T) world {
	t.Helper()
	needCluster(t)
	b, err := skiff(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w := world{bits: b, dir: t.TempDir()}
	log, err := os.Create(filepath.Join(w.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		log.Close()
		if data, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("log:\n%s", data[max(0, len(data)-20000):])
		}
	})
	if w.Manager, w.engine, err = open(t.Context(), w.dir, log); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.Background()
		if err := removeImages(ctx, w.engine); err != nil {
			t.Error(err)
		}
	})
	return w
}

func removeImages(ctx context.Context, e *engine.Engine) error {
	list, err := e.Images(ctx, map[string]string{engine.StateLabel: e.State()})
	for _, img := range list {
		err = errors.Join(err, e.RemoveImages(ctx, img.Tags...))
	}
	return err
}

// create makes a cluster and sees to its end.
func (w world) create(t *testing.T, name, profile string) *cluster.Cluster {
	t.Helper()
	if _, err := w.NodeImage(t.Context(), w.bits, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for range 2 { // the second time there is nothing to delete
			if err := w.Delete(context.Background(), name); err != nil {
				t.Error(err)
			}
		}
		w.nothingLeft(t)
	})
	start := time.Now()
	c, err := w.Create(t.Context(), cluster.Options{Name: name, Profile: profile, Bits: w.bits}, func(step string) {
		t.Logf("%6.1f s  %s", time.Since(start).Seconds(), step)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%6.1f s  done", time.Since(start).Seconds())
	return c
}

func (w world) nothingLeft(t *testing.T) {
	t.Helper()
	left, err := w.engine.Leftovers(context.Background())
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	volumes, err := exec.Command(w.engine.Kind(), "volume", "ls", "--format", "{{.Labels}}").Output()
	if err != nil || strings.Contains(string(volumes), "slipway-killed") || strings.Contains(string(volumes), "slipway-single") {
		t.Errorf("volumes left behind: %s, %v", volumes, err)
	}
}

// runsOnly checks that nothing runs on the nodes but what b names.
func runsOnly(t *testing.T, c *cluster.Cluster, b cluster.Bits) {
	t.Helper()
	named := map[string]bool{}
	for _, img := range b.Images {
		_, digest, _ := strings.Cut(img.Reference, "@")
		named[digest] = true
	}
	running, err := c.Images(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, img := range running {
		if !named[img.Digest] {
			t.Errorf("node %s runs %s (%s), which is not of the payload", img.Node, img.Name, img.Digest)
		}
	}
	if want := 5 * len(c.ControlPlanes()); len(running) < want {
		t.Errorf("%d images run, want %d or more: %v", len(running), want, running)
	}
}

// upgrade brings one node from one release to another.
func upgrade(t *testing.T, c *cluster.Cluster, n *cluster.Node, b cluster.Bits) {
	t.Helper()
	for _, step := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"content", func(ctx context.Context) error { return c.PushContent(ctx, n, b, nil) }},
		{"leader", func(ctx context.Context) error { return c.MoveEtcdLeader(ctx, n) }},
		{"drain", func(ctx context.Context) error { return c.DrainBackend(ctx, n) }},
		{"control plane", func(ctx context.Context) error { return c.UpgradeControlPlane(ctx, n, b, true) }},
		{"kubelet", func(ctx context.Context) error { return c.RestartKubelet(ctx, n) }},
		{"restore", func(ctx context.Context) error { return c.RestoreBackend(ctx, n) }},
	} {
		start := time.Now()
		if err := step.run(t.Context()); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		t.Logf("%6.1f s  %s of %s", time.Since(start).Seconds(), step.name, n.Name())
	}
}

// TestIntegrationCluster uses one state directory, so that the images are read and the
// nodes' image is composed once.
func TestIntegrationCluster(t *testing.T) {
	w := newWorld(t)
	t.Run("killed", func(t *testing.T) { testKilled(t, w) })
	t.Run("cancelled", func(t *testing.T) { testCancelled(t, w) })
	t.Run("single", func(t *testing.T) { testSingle(t, w) })
	t.Run("ha", func(t *testing.T) { testHA(t, w) })
}

func testSingle(t *testing.T, w world) {
	c := w.create(t, "single", cluster.ProfileSingle)
	if info, err := os.Stat(c.Kubeconfig); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("kubeconfig: %v, %v", info, err)
	}
	runsOnly(t, c, w.bits)

	to := next(t, w.bits)
	for range 2 { // the second time nothing changes
		upgrade(t, c, c.Nodes()[0], to)
	}
	again, err := w.Get(t.Context(), "single")
	if err != nil {
		t.Fatal(err)
	}
	runsOnly(t, again, to)
	checkUpgraded(t, again, to)

	logs := t.TempDir()
	if err := w.Logs(t.Context(), "single", logs); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"journal.log", "kubelet.log", "containerd.log", "console.log", "etc/kubernetes/manifests/etcd.yaml", "kind/kubeadm.conf"} {
		if info, err := os.Stat(filepath.Join(logs, c.Nodes()[0].Name(), name)); err != nil || info.Size() == 0 {
			t.Errorf("log %s: %v", name, err)
		}
	}
	if found, err := filepath.Glob(filepath.Join(logs, "*/var/log/pods/kube-system_etcd*/etcd/*.log")); err != nil || len(found) == 0 {
		t.Errorf("no log of etcd's pod: %v", err)
	}
	if removed, err := w.RemoveStale(t.Context()); err != nil || len(removed) > 0 {
		t.Errorf("a cluster made by hand was taken for a leftover: %v, %v", removed, err)
	}
}

func checkUpgraded(t *testing.T, c *cluster.Cluster, b cluster.Bits) {
	t.Helper()
	n := c.Nodes()[0]
	if _, err := n.Exec(t.Context(), nil, "test", "-e", "/usr/local/share/slipway-marker"); err != nil {
		t.Errorf("the new layer of machine-os is not on the node: %v", err)
	}
	cfg, err := c.RestConfig()
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	pods, err := client.CoreV1().Pods("kube-system").List(t.Context(), metav1.ListOptions{LabelSelector: "tier=control-plane"})
	if err != nil {
		t.Fatal(err)
	}
	if len(pods.Items) != 4 {
		t.Errorf("%d pods of the control plane, want 4", len(pods.Items))
	}
	for _, p := range pods.Items {
		if got := p.Annotations["slipway.dev/payload"]; got != b.Payload {
			t.Errorf("pod %s is of payload %q, want %q", p.Name, got, b.Payload)
		}
	}
}

// testKilled kills the creation of a cluster when there is nothing but images of it,
// when there are machines, and when there is a cluster; the next run finds and removes
// what was left.
func testKilled(t *testing.T, w world) {
	for _, step := range []string{"putting", "starting 1 nodes", "waiting for the API"} {
		t.Run(step, func(t *testing.T) {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), createAndDie+"="+w.dir)
			cmd.Stderr = t.Output()
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			waitFor(t, out, step)
			time.Sleep(500 * time.Millisecond) // into the step
			if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait() // killed
			if _, err := w.RemoveStale(t.Context()); err != nil {
				t.Error(err)
			}
			w.nothingLeft(t)
			if list, err := w.List(t.Context()); err != nil || len(list) > 0 {
				t.Errorf("clusters left: %v, %v", list, err)
			}
		})
	}
}

// waitFor reads until a line begins with a text.
func waitFor(t *testing.T, r io.Reader, begin string) {
	t.Helper()
	var seen []byte
	buf := make([]byte, 1024)
	for {
		n, err := r.Read(buf)
		seen = append(seen, buf[:n]...)
		for line := range strings.Lines(string(seen)) {
			if strings.HasPrefix(line, begin) {
				return
			}
		}
		if err != nil {
			t.Fatalf("it ended before %q: %v\n%s", begin, err, seen)
		}
	}
}

// testCancelled: when its context ends, Create leaves nothing.
func testCancelled(t *testing.T, w world) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := w.Create(ctx, cluster.Options{Name: "cancelled", Profile: cluster.ProfileSingle, Bits: w.bits}, func(s string) {
		if strings.HasPrefix(s, "starting the control plane") {
			time.AfterFunc(500*time.Millisecond, cancel)
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	w.nothingLeft(t)
}

func testHA(t *testing.T, w world) {
	c := w.create(t, "ha", cluster.ProfileHA)
	if len(c.ControlPlanes()) != 3 || len(c.Workers()) != 2 || !c.HasBalancer() {
		t.Fatalf("nodes %v", c.Nodes())
	}
	runsOnly(t, c, w.bits)
	leader, err := c.EtcdLeader(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.MoveEtcdLeader(t.Context(), leader); err != nil {
		t.Fatal(err)
	}
	if now, err := c.EtcdLeader(t.Context()); err != nil || now.Name() == leader.Name() {
		t.Errorf("etcd is still led by %v, %v", now, err)
	}
	for range 2 {
		if err := c.DrainBackend(t.Context(), leader); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.RestoreBackend(t.Context(), leader); err != nil {
		t.Fatal(err)
	}
	for _, n := range c.ControlPlanes() {
		if err := c.CheckControlPlane(t.Context(), n); err != nil {
			t.Error(err)
		}
	}
	testReconfigured(t, c, leader, w.bits)
}

// testReconfigured gives the API server of one node another flag and new certificates; a
// second time it changes nothing, and without the difference the node is as before.
func testReconfigured(t *testing.T, c *cluster.Cluster, n *cluster.Node, b cluster.Bits) {
	reconfigure := func(r controlplane.Reconfiguration) (serial, process string) {
		t.Helper()
		if err := c.ReconfigureControlPlane(t.Context(), n, b, r); err != nil {
			t.Fatal(err)
		}
		for _, ask := range []struct {
			answer *string
			script string
		}{
			{&serial, "openssl x509 -noout -serial -in /etc/kubernetes/pki/apiserver.crt"},
			{&process, "pgrep -x kube-apiserver"},
		} {
			out, err := n.Exec(t.Context(), nil, "sh", "-c", ask.script)
			if err != nil {
				t.Fatal(err)
			}
			*ask.answer = string(out)
		}
		return serial, process
	}
	flag := func() string {
		t.Helper()
		out, err := n.Exec(t.Context(), nil, "sh", "-c", "tr '\\0' '\\n' < /proc/$(pgrep -x kube-apiserver)/cmdline | grep max-requests-inflight || true")
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	difference := controlplane.Reconfiguration{
		ID: "one", RotateCertificates: true,
		Flags: controlplane.Flags{controlplane.APIServer: {"max-requests-inflight": "321"}},
	}
	before, err := n.Exec(t.Context(), nil, "sh", "-c", "openssl x509 -noout -serial -in /etc/kubernetes/pki/apiserver.crt")
	if err != nil {
		t.Fatal(err)
	}
	serial, process := reconfigure(difference)
	if serial == string(before) {
		t.Errorf("the API server's certificate still has the %s", serial)
	}
	if got := flag(); got != "--max-requests-inflight=321" {
		t.Errorf("the API server runs with %q", got)
	}
	if s, p := reconfigure(difference); s != serial || p != process {
		t.Errorf("a second time the certificate went from %s to %s, the process from %s to %s", serial, s, process, p)
	}
	if reconfigure(controlplane.Reconfiguration{}); flag() != "" {
		t.Errorf("the difference was taken back, and the API server runs with %q", flag())
	}
	runsOnly(t, c, b)
	if err := c.CheckControlPlane(t.Context(), n); err != nil {
		t.Error(err)
	}
}
