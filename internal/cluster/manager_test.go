package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-release/slipway/internal/command"
	"github.com/slipway-release/slipway/internal/engine"
	"github.com/slipway-release/slipway/internal/state"
)

// memory is an engine that holds containers, volumes and networks in memory;
// what it lacks of Engine is nil and not to be called.
type memory struct {
	Engine
	containers []engine.Info
	networks   []engine.Network
	volumes    map[string]bool // by label
	broken     error           // of every removal
}

func (m *memory) State() string { return "mine" }
func (m *memory) Kind() string  { return engine.Podman }

func (m *memory) Containers(_ context.Context, labels map[string]string) ([]engine.Info, error) {
	var found []engine.Info
	for _, c := range m.containers {
		matches := true
		for k, v := range labels {
			got, has := c.Labels[k]
			matches = matches && has && (v == "" || v == got)
		}
		if matches {
			found = append(found, c)
		}
	}
	return found, nil
}

func (m *memory) Remove(_ context.Context, names ...string) error {
	m.containers = slices.DeleteFunc(m.containers, func(c engine.Info) bool { return m.broken == nil && slices.Contains(names, c.Name) })
	return m.broken
}

func (m *memory) Networks(context.Context) ([]engine.Network, error) { return m.networks, nil }

func (m *memory) RemoveNetwork(_ context.Context, name string) error {
	m.networks = slices.DeleteFunc(m.networks, func(n engine.Network) bool { return n.Name == name })
	return nil
}

func (m *memory) RemoveVolumes(_ context.Context, label string) error {
	delete(m.volumes, label)
	return nil
}

func node(cluster, role string, running bool) engine.Info {
	name := cluster + "-" + role
	return engine.Info{Name: name, Running: running, Addresses: map[string]string{cluster: "10.0.0.2"}, Labels: map[string]string{
		kindClusterLabel: cluster, kindRoleLabel: role, engine.StateLabel: "mine",
	}}
}

func network(cluster, run string) engine.Network {
	n := engine.Network{Name: cluster, Labels: map[string]string{clusterLabel: cluster}}
	if run != "" {
		n.Labels[runLabel] = run
	}
	return n
}

func newTestManager(t *testing.T, e Engine) *Manager {
	t.Helper()
	dir, err := state.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return NewManager(e, dir, nil)
}

// TestRemoveStale has a cluster for each point at which a run may have been killed.
func TestRemoveStale(t *testing.T) {
	e := &memory{
		containers: []engine.Info{
			node("slipway-complete", RoleControlPlane, true),
			node("slipway-nodes-only", RoleControlPlane, false),
			node("slipway-by-hand", RoleControlPlane, true),
			node("slipway-alive", RoleControlPlane, true),
			{Name: "slipway-compose-1", Labels: map[string]string{engine.StateLabel: "mine", composeLabel: "1"}},
			{Name: "stranger", Labels: map[string]string{kindClusterLabel: "kind"}},
		},
		networks: []engine.Network{
			network("slipway-complete", "dead"), network("slipway-nodes-only", "dead"), network("slipway-network-only", "dead"),
			network("slipway-by-hand", ""), network("slipway-alive", "alive"),
		},
		volumes: map[string]bool{"slipway-volume-only-control-plane": true, "slipway-by-hand-control-plane": true},
	}
	m := newTestManager(t, e)
	for _, r := range []Record{
		{Name: "slipway-complete", Ephemeral: true, Run: "dead", Ready: true},
		{Name: "slipway-record-only", Ephemeral: true, Run: "dead"},
		{Name: "slipway-volume-only", Ephemeral: true, Run: "dead"},
		{Name: "slipway-by-hand", Ready: true},
		{Name: "slipway-alive", Ephemeral: true, Run: "alive", Ready: true},
	} {
		if err := m.writeRecord(r); err != nil {
			t.Fatal(err)
		}
	}
	removed, err := m.RemoveStale(context.Background(), "alive")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"slipway-complete", "slipway-network-only", "slipway-nodes-only", "slipway-record-only", "slipway-volume-only"}
	if diff := cmp.Diff(want, removed); diff != "" {
		t.Errorf("removed (-want +got):\n%s", diff)
	}
	var left []string
	for _, c := range e.containers {
		left = append(left, c.Name)
	}
	for _, n := range e.networks {
		left = append(left, "network "+n.Name)
	}
	for v := range e.volumes {
		left = append(left, "volume "+v)
	}
	slices.Sort(left)
	wantLeft := []string{"network slipway-alive", "network slipway-by-hand", "slipway-alive-control-plane", "slipway-by-hand-control-plane", "stranger", "volume slipway-by-hand-control-plane"}
	if diff := cmp.Diff(wantLeft, left); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	entries, err := os.ReadDir(m.state.Clusters())
	if err != nil || len(entries) != 2 {
		t.Errorf("records left: %v, %v", entries, err)
	}
}

func TestRemoveStaleTellsFailure(t *testing.T) {
	e := &memory{containers: []engine.Info{node("slipway-a", RoleControlPlane, true)}, networks: []engine.Network{network("slipway-a", "dead")}, broken: errors.New("engine on strike")}
	m := newTestManager(t, e)
	removed, err := m.RemoveStale(context.Background())
	if !errors.Is(err, e.broken) || len(removed) > 0 {
		t.Errorf("removed %v, error %v", removed, err)
	}
	if _, err := m.Get(context.Background(), "a"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a cluster without a record: %v", err)
	}
}

func TestDeleteLeavesOthersAlone(t *testing.T) {
	other := node("slipway-a", RoleControlPlane, true)
	other.Labels[engine.StateLabel] = "another"
	m := newTestManager(t, &memory{containers: []engine.Info{other}})
	if err := m.Delete(context.Background(), "a"); err == nil || !strings.Contains(err.Error(), "another state directory") {
		t.Errorf("deleting another's cluster: %v", err)
	}
	if err := m.Delete(context.Background(), "none"); err != nil {
		t.Errorf("deleting what does not exist: %v", err)
	}
	if err := m.Delete(context.Background(), "../.."); err == nil {
		t.Error("a path was taken for a name")
	}
}

func TestGet(t *testing.T) {
	e := &memory{}
	for _, role := range []string{RoleWorker, RoleControlPlane + "2", RoleControlPlane, RoleBalancer} {
		n := node("slipway-a", role, true)
		n.Labels[kindRoleLabel] = strings.TrimSuffix(role, "2")
		e.containers = append(e.containers, n)
	}
	slices.SortFunc(e.containers, func(a, b engine.Info) int { return strings.Compare(a.Name, b.Name) })
	m := newTestManager(t, e)
	record := Record{Name: "slipway-a", Profile: ProfileHA, Created: time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)}
	if err := m.writeRecord(record); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Get(context.Background(), "a"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a half-made cluster: %v", err)
	}
	record.Ready = true
	if err := m.writeRecord(record); err != nil {
		t.Fatal(err)
	}
	c, err := m.Get(context.Background(), "a")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, n := range c.Nodes() {
		names = append(names, n.Name())
	}
	if diff := cmp.Diff([]string{"slipway-a-control-plane", "slipway-a-control-plane2", "slipway-a-worker"}, names); diff != "" {
		t.Errorf("nodes (-want +got):\n%s", diff)
	}
	if !c.HasBalancer() || c.endpointHost() != "slipway-a-external-load-balancer" || len(c.Workers()) != 1 || c.Profile != ProfileHA {
		t.Errorf("cluster %+v", c)
	}
	if _, err := c.Node("slipway-b"); err == nil {
		t.Error("a node that does not exist was found")
	}
	e.containers[0].Running = false
	if _, err := m.Get(context.Background(), "a"); err == nil || !strings.Contains(err.Error(), "does not run") {
		t.Errorf("a cluster with a stopped node: %v", err)
	}
	list, err := m.List(context.Background())
	if err != nil || len(list) != 1 || list[0] != record {
		t.Errorf("list %v, %v", list, err)
	}
}

func TestCreateRefuses(t *testing.T) {
	m := newTestManager(t, &memory{networks: []engine.Network{network("slipway-there", "")}})
	for name, test := range map[string]struct {
		o    Options
		want string
	}{
		"bad name":           {Options{Name: "A B", Profile: ProfileSingle}, "naming cluster"},
		"bad profile":        {Options{Name: "a", Profile: "x"}, "single and ha"},
		"no run":             {Options{Name: "a", Profile: ProfileSingle, Ephemeral: true}, "id of its run"},
		"nothing to make of": {Options{Name: "a", Profile: ProfileSingle}, "no machine-os"},
	} {
		if _, err := m.Create(context.Background(), test.o, nil); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

func TestStartsContainer(t *testing.T) {
	proc := t.TempDir()
	process := func(pid string, args ...string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(proc, pid), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(proc, pid, "cmdline"), []byte(strings.Join(args, "\x00")+"\x00"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	process("self", "podman", "run", "--label", kindClusterLabel+"=slipway-a") // no process
	process("10", "podman", "ps", "--filter", "label="+kindClusterLabel+"=slipway-a")
	process("11", "podman", "run", "--label", kindClusterLabel+"=slipway-ab")
	process("12")
	if startsContainer(proc, "slipway-a") {
		t.Error("a process that starts nothing of the cluster counts")
	}
	process("13", "/usr/bin/podman", "run", "--name", "slipway-a-worker", "--label", kindClusterLabel+"=slipway-a")
	if !startsContainer(proc, "slipway-a") {
		t.Error("a process that starts a node was not seen")
	}
}

func TestKubeadmError(t *testing.T) {
	failed := &command.Error{Argv: []string{"podman"}, Output: "I1120 join.go:1] begin\nerror: error execution phase x: no\nTo see the stack trace\n"}
	err := kubeadmError(failed)
	if !strings.HasSuffix(err.Error(), "error execution phase x: no") || strings.Contains(err.Error(), "begin") {
		t.Errorf("error %q", err)
	}
	if err := kubeadmError(context.Canceled); err != context.Canceled {
		t.Errorf("an error of another kind became %v", err)
	}
}

func TestLeaderOf(t *testing.T) {
	c := &Cluster{nodes: testNodes()}
	var statuses []memberStatus
	text := `[{"Endpoint":"https://10.89.0.2:2379","Status":{"header":{"member_id":1},"leader":18446744073709551615}},
{"Endpoint":"https://10.89.0.3:2379","Status":{"header":{"member_id":18446744073709551615},"leader":18446744073709551615}}]`
	if err := json.Unmarshal([]byte(text), &statuses); err != nil {
		t.Fatal(err)
	}
	n, err := c.leaderOf(statuses)
	if err != nil || n.Name() != "slipway-x-control-plane2" {
		t.Errorf("leader %v, %v", n, err)
	}
	if _, err := c.leaderOf(statuses[:1]); err == nil {
		t.Error("a leader was found among members that do not lead")
	}
}

func TestLockFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "lock")
	unlock, err := lockFile(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*pollInterval)
	defer cancel()
	if _, err := lockFile(ctx, path); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a lock was given twice: %v", err)
	}
	taken := make(chan error, 1)
	go func() {
		again, err := lockFile(context.Background(), path)
		if err == nil {
			again()
		}
		taken <- err
	}()
	unlock()
	if err := <-taken; err != nil {
		t.Error(err)
	}
}

func TestNodeImageKey(t *testing.T) {
	one := byDigest(t, randomImage(t, 1), "r/one")
	two := byDigest(t, randomImage(t, 1), "r/two")
	machine := randomImage(t, 1)
	base := Bits{Payload: "sha256:a", KubernetesVersion: "1.36.3", MachineOS: machine, ControlPlane: map[string]string{pauseImage: "p"}, Images: []NodeImage{one, two}}
	key := func(change func(*Bits)) string {
		t.Helper()
		b := base
		change(&b)
		k, err := nodeImageKey(b, "state")
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	same := key(func(*Bits) {})
	for name, change := range map[string]func(*Bits){
		"another payload of the same images": func(b *Bits) { b.Payload = "sha256:b" },
		"another order":                      func(b *Bits) { b.Images = []NodeImage{two, one} },
		"a version with v":                   func(b *Bits) { b.KubernetesVersion = "v1.36.3" },
	} {
		if key(change) != same {
			t.Errorf("%s: another key", name)
		}
	}
	for name, change := range map[string]func(*Bits){
		"an image less":  func(b *Bits) { b.Images = b.Images[:1] },
		"another pause":  func(b *Bits) { b.ControlPlane = map[string]string{pauseImage: "q"} },
		"another system": func(b *Bits) { b.MachineOS = randomImage(t, 1) },
		"a new version":  func(b *Bits) { b.KubernetesVersion = "1.36.4" },
	} {
		if key(change) == same {
			t.Errorf("%s: the same key", name)
		}
	}
}
