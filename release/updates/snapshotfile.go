package updates

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/slipway-release/slipway/internal/state"
	"github.com/slipway-release/slipway/release/channels/graph"
)

// The last good snapshot on disk: a first line
//
//	slipway-update-graph/1 <SHA-256 of the rest>
//
// and behind it a head and one graph for each architecture it names, each a line of
// JSON. A file that does not fit its checksum is as good as none.
const (
	snapshotMagic = "slipway-update-graph/1 "
	maxSnapshot   = 1 << 30 // bytes
)

// snapshotHead is a snapshot without its graphs.
type snapshotHead struct {
	ID          string              `json:"id"`
	Loaded      time.Time           `json:"loaded"`
	Archs       []string            `json:"architectures"`
	Rollouts    []graph.Rollout     `json:"rollouts,omitempty"`
	Quarantined []graph.Quarantined `json:"quarantined,omitempty"`
	Blocked     []graph.Blocked     `json:"blocked,omitempty"`
	Tried       []graph.Tried       `json:"tried,omitempty"`
	Needed      int                 `json:"needed,omitempty"`
}

// storedGraph is a graph with the channels of its nodes, which clients are told only
// in their metadata.
type storedGraph struct {
	Nodes            []storedNode             `json:"nodes"`
	Edges            [][2]int                 `json:"edges"`
	ConditionalEdges []graph.ConditionalEdges `json:"conditionalEdges"`
}

type storedNode struct {
	graph.Node
	Channels []string `json:"channels"`
}

// snapshotFile keeps a snapshot at a path.
type snapshotFile string

// save writes a snapshot and when its source was read, so that a crash leaves the old
// file or the new one.
func (f snapshotFile) save(s *graph.Snapshot, loaded time.Time) error {
	content, err := marshalSnapshot(s, loaded)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(string(f)), 0o755)
	}
	if err == nil {
		err = state.WriteFile(string(f), content, 0o644)
	}
	if err != nil {
		return fmt.Errorf("keeping the update graph in %q: %w", string(f), err)
	}
	return nil
}

func marshalSnapshot(s *graph.Snapshot, loaded time.Time) ([]byte, error) {
	head := snapshotHead{ID: s.ID, Loaded: loaded.UTC(), Archs: s.Architectures(), Rollouts: s.Rollouts, Quarantined: s.Quarantined, Blocked: s.Blocked, Tried: s.Tried, Needed: s.Needed}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(head); err != nil {
		return nil, err
	}
	for _, arch := range head.Archs {
		g := s.Graphs[arch]
		stored := storedGraph{Edges: g.Edges, ConditionalEdges: g.ConditionalEdges}
		for _, n := range g.Nodes {
			stored.Nodes = append(stored.Nodes, storedNode{n, n.Channels})
		}
		if err := enc.Encode(stored); err != nil {
			return nil, err
		}
	}
	sum := sha256.Sum256(out.Bytes())
	return append([]byte(snapshotMagic+hex.EncodeToString(sum[:])+"\n"), out.Bytes()...), nil
}

// errNoSnapshot says that none was kept yet.
var errNoSnapshot = errors.New("no update graph was kept yet")

// load reads the snapshot and when its source was read.
func (f snapshotFile) load() (*graph.Snapshot, time.Time, error) {
	file, err := os.Open(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, time.Time{}, errNoSnapshot
	}
	if err != nil {
		return nil, time.Time{}, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxSnapshot+1))
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("reading the update graph kept in %q: %w", string(f), err)
	}
	s, loaded, err := unmarshalSnapshot(data)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("reading the update graph kept in %q: %w; it is left out, and written anew after the next refresh", string(f), err)
	}
	return s, loaded, nil
}

func unmarshalSnapshot(data []byte) (*graph.Snapshot, time.Time, error) {
	none := time.Time{}
	if len(data) > maxSnapshot {
		return nil, none, fmt.Errorf("it is larger than %d bytes", maxSnapshot)
	}
	first, rest, _ := bytes.Cut(data, []byte("\n"))
	want, ok := bytes.CutPrefix(first, []byte(snapshotMagic))
	if !ok {
		return nil, none, errors.New("it does not begin as one")
	}
	if sum := sha256.Sum256(rest); hex.EncodeToString(sum[:]) != string(want) {
		return nil, none, errors.New("it does not have its checksum, and is torn or altered")
	}
	lines := bytes.Split(bytes.TrimSuffix(rest, []byte("\n")), []byte("\n"))
	var head snapshotHead
	if err := json.Unmarshal(lines[0], &head); err != nil {
		return nil, none, err
	}
	if len(lines) != len(head.Archs)+1 {
		return nil, none, fmt.Errorf("it has %d graphs for %d architectures", len(lines)-1, len(head.Archs))
	}
	graphs := make([]*graph.Graph, len(head.Archs))
	var group errgroup.Group
	for i, line := range lines[1:] {
		group.Go(func() (err error) {
			graphs[i], err = unmarshalGraph(line)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, none, err
	}
	s := &graph.Snapshot{ID: head.ID, Graphs: map[string]*graph.Graph{}, Rollouts: head.Rollouts, Quarantined: head.Quarantined, Blocked: head.Blocked, Tried: head.Tried, Needed: head.Needed}
	for i, arch := range head.Archs {
		s.Graphs[arch] = graphs[i]
	}
	return s, head.Loaded, nil
}

func unmarshalGraph(line []byte) (*graph.Graph, error) {
	var stored storedGraph
	if err := json.Unmarshal(line, &stored); err != nil {
		return nil, err
	}
	g := &graph.Graph{Nodes: make([]graph.Node, len(stored.Nodes)), Edges: stored.Edges, ConditionalEdges: stored.ConditionalEdges}
	for i, n := range stored.Nodes {
		g.Nodes[i] = n.Node
		g.Nodes[i].Channels = n.Channels
	}
	return g, nil
}
