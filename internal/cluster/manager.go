package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/slipway-release/slipway/internal/engine"
	"github.com/slipway-release/slipway/internal/state"
)

// Labels of networks and images made here, besides engine.StateLabel. A
// cluster's network is made first and removed last: it marks the cluster for as
// long as anything of it exists.
const (
	clusterLabel  = "slipway.dev/cluster"
	runLabel      = "slipway.dev/run" // set on what is ephemeral, to the run's id
	composeLabel  = "slipway.dev/compose"
	nodeLabel     = "slipway.dev/node-image"
	balancerLabel = "slipway.dev/balancer"
	payloadLabel  = "slipway.dev/payload"
)

// Labels that kind puts on its containers.
const (
	kindClusterLabel = "io.x-k8s.kind.cluster"
	kindRoleLabel    = "io.x-k8s.kind.role"
)

// Manager makes, finds and removes the clusters of one state directory.
type Manager struct {
	engine Engine
	state  *state.Dir
	log    io.Writer
}

// NewManager returns a Manager. What kind, kubeadm and the engine print goes to
// log; nil drops it. Writes to log come from several goroutines, one at a time.
func NewManager(e Engine, dir *state.Dir, log io.Writer) *Manager {
	if log == nil {
		log = io.Discard
	}
	return &Manager{engine: e, state: dir, log: &lockedWriter{w: log}}
}

// FullName is the name that a cluster has everywhere: with "slipway-" before it.
func FullName(name string) string {
	if strings.HasPrefix(name, namePrefix) {
		return name
	}
	return namePrefix + name
}

func checkName(name string) error {
	if !namePattern.MatchString(name) {
		return fmt.Errorf("naming cluster %q: a name is made of at most 32 of a-z, 0-9 and - (behind %q), and begins and ends with none of -", name, namePrefix)
	}
	return nil
}

func (m *Manager) dir(name string) string { return filepath.Join(m.state.Clusters(), name) }

// KubeconfigPath is where the kubeconfig of a cluster lies, or would.
func (m *Manager) KubeconfigPath(name string) string {
	return filepath.Join(m.dir(FullName(name)), "kubeconfig")
}

// Kubeconfig returns the administrator's kubeconfig of a cluster.
func (m *Manager) Kubeconfig(name string) ([]byte, error) {
	data, err := os.ReadFile(m.KubeconfigPath(name))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("reading the kubeconfig of %q: %w", FullName(name), ErrNotFound)
	}
	return data, err
}

func (m *Manager) writeRecord(r Record) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return state.WriteFile(filepath.Join(m.dir(r.Name), "cluster.json"), append(data, '\n'), 0o644)
}

// List returns the records of all clusters of the state directory, half made
// ones included, by name.
func (m *Manager) List(ctx context.Context) ([]Record, error) {
	records, err := m.records()
	if err != nil {
		return nil, err
	}
	traces, err := m.traces(ctx)
	if err != nil {
		return nil, err
	}
	for name, run := range traces {
		if _, found := records[name]; !found {
			records[name] = Record{Name: name, Engine: m.engine.Kind(), Ephemeral: run != "", Run: run}
		}
	}
	list := make([]Record, 0, len(records))
	for _, r := range records {
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b Record) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

func (m *Manager) records() (map[string]Record, error) {
	entries, err := os.ReadDir(m.state.Clusters())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("listing clusters: %w", err)
	}
	records := map[string]Record{}
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		r := Record{Name: entry.Name()}
		if data, err := os.ReadFile(filepath.Join(m.dir(entry.Name()), "cluster.json")); err == nil {
			if err := json.Unmarshal(data, &r); err != nil {
				return nil, fmt.Errorf("reading the record of cluster %q: %w", entry.Name(), err)
			}
		}
		records[r.Name] = r
	}
	return records, nil
}

// traces finds clusters by what the engine holds of them, and the run that an
// ephemeral one belongs to. The records may be gone, or not written yet.
func (m *Manager) traces(ctx context.Context) (map[string]string, error) {
	found := map[string]string{}
	containers, err := m.engine.Containers(ctx, map[string]string{engine.StateLabel: m.engine.State()})
	if err != nil {
		return nil, err
	}
	for _, c := range containers {
		if name := c.Labels[kindClusterLabel]; name != "" {
			found[name] = ""
		}
	}
	networks, err := m.engine.Networks(ctx)
	if err != nil {
		return nil, err
	}
	for _, n := range networks {
		if name := n.Labels[clusterLabel]; name != "" {
			found[name] = n.Labels[runLabel]
		}
	}
	return found, nil
}

// Get returns a cluster that was made completely. The error wraps ErrNotFound
// when there is none.
func (m *Manager) Get(ctx context.Context, name string) (*Cluster, error) {
	name = FullName(name)
	records, err := m.records()
	if err != nil {
		return nil, err
	}
	r, found := records[name]
	if !found || !r.Ready {
		return nil, fmt.Errorf("looking for cluster %q: %w", name, ErrNotFound)
	}
	c := &Cluster{Record: r, Kubeconfig: m.KubeconfigPath(name), manager: m}
	if err := c.findNodes(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// findNodes asks the engine which containers the cluster consists of.
func (c *Cluster) findNodes(ctx context.Context) error {
	containers, err := c.manager.engine.Containers(ctx, map[string]string{kindClusterLabel: c.Name})
	if err != nil {
		return err
	}
	c.nodes, c.balancer = nil, nil
	for _, info := range containers {
		n := &Node{name: info.Name, role: info.Labels[kindRoleLabel], address: info.Addresses[c.Name], engine: c.manager.engine}
		if !info.Running || n.address == "" {
			return fmt.Errorf("looking for the nodes of cluster %q: container %q does not run", c.Name, info.Name)
		}
		if n.role == RoleBalancer {
			c.balancer = n
			continue
		}
		c.nodes = append(c.nodes, n)
	}
	if len(c.ControlPlanes()) == 0 {
		return fmt.Errorf("looking for the nodes of cluster %q: %w", c.Name, ErrNotFound)
	}
	// Control planes before workers; by name within, which puts the first one first.
	slices.SortStableFunc(c.nodes, func(a, b *Node) int { return strings.Compare(a.role, b.role) })
	return nil
}

// Delete removes a cluster and all that belongs to it, half made ones too. What
// does not exist is no error, so it can be repeated.
func (m *Manager) Delete(ctx context.Context, name string) error {
	name = FullName(name)
	if err := checkName(name); err != nil {
		return err
	}
	if err := m.deleteFromEngine(ctx, name); err != nil {
		return fmt.Errorf("deleting cluster %q: %w", name, err)
	}
	if err := os.RemoveAll(m.dir(name)); err != nil {
		return fmt.Errorf("deleting cluster %q: %w", name, err)
	}
	return nil
}

func (m *Manager) deleteFromEngine(ctx context.Context, name string) error {
	if err := waitOrphans(ctx, name); err != nil {
		return err
	}
	containers, err := m.engine.Containers(ctx, map[string]string{kindClusterLabel: name})
	if err != nil {
		return err
	}
	names := map[string]bool{}
	for _, c := range containers {
		if owner := c.Labels[engine.StateLabel]; owner != "" && owner != m.engine.State() {
			return fmt.Errorf("container %q belongs to another state directory", c.Name)
		}
		names[c.Name] = true
		if err := m.engine.Remove(ctx, c.Name); err != nil {
			return err
		}
	}
	// kind labels a node's volume with the node's name, and makes it before the container.
	for _, n := range slices.Concat(slices.Sorted(maps.Keys(names)), plannedNames(name)) {
		if err := m.engine.RemoveVolumes(ctx, n); err != nil {
			return err
		}
	}
	return m.engine.RemoveNetwork(ctx, name)
}

// plannedNames are the names that kind may give the nodes of a cluster.
func plannedNames(cluster string) []string {
	var names []string
	for role, most := range map[string]int{RoleControlPlane: 3, RoleWorker: 2} {
		for i := 1; i <= most; i++ {
			suffix := ""
			if i > 1 {
				suffix = fmt.Sprint(i)
			}
			names = append(names, cluster+"-"+role+suffix)
		}
	}
	return names
}

// RemoveStale removes what killed runs left: ephemeral clusters of runs other
// than those in keep, whatever their state, and half-composed node images. The
// caller must hold the state directory's lock. It returns the clusters' names.
func (m *Manager) RemoveStale(ctx context.Context, keep ...string) ([]string, error) {
	records, err := m.List(ctx)
	if err != nil {
		return nil, err
	}
	var removed []string
	var errs []error
	for _, r := range records {
		if !r.stale(keep) {
			continue
		}
		if err := m.Delete(ctx, r.Name); err != nil {
			errs = append(errs, err)
			continue
		}
		removed = append(removed, r.Name)
	}
	composing, err := m.engine.Containers(ctx, map[string]string{engine.StateLabel: m.engine.State(), composeLabel: ""})
	if err != nil {
		return removed, errors.Join(append(errs, err)...)
	}
	for _, c := range composing {
		errs = append(errs, m.engine.Remove(ctx, c.Name))
	}
	return removed, errors.Join(errs...)
}

// stale: a cluster made by hand stays, half made or not, until it is deleted by hand.
func (r Record) stale(keep []string) bool {
	return r.Ephemeral && !slices.Contains(keep, r.Run)
}
