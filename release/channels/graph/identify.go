package graph

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// Architectures are those of a snapshot, in order.
func (s *Snapshot) Architectures() []string {
	return slices.Sorted(maps.Keys(s.Graphs))
}

// Identify sets the ID from what the snapshot holds: sha256:HEX of its graphs, rollouts,
// what is left out and what was tried, in the order of the architectures.
func (s *Snapshot) Identify() error {
	hash := sha256.New()
	enc := json.NewEncoder(hash)
	var err error
	write := func(v any) {
		if err == nil {
			err = enc.Encode(v)
		}
	}
	for _, arch := range s.Architectures() {
		write(map[string]any{arch: s.Graphs[arch]})
		for _, n := range s.Graphs[arch].Nodes {
			write(n.Channels)
		}
	}
	write([]any{s.Rollouts, s.Quarantined, s.Blocked})
	if len(s.Tried) > 0 {
		write([]any{s.Tried, s.Needed})
	}
	if err != nil {
		return fmt.Errorf("naming the update graph by its content: %w", err)
	}
	s.ID = "sha256:" + hex.EncodeToString(hash.Sum(nil))
	return nil
}
