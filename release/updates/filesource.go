package updates

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/slipway-release/slipway/release/channels/graph"
)

// maxGraphFile bounds a graph in a file, in bytes.
const maxGraphFile = 256 << 20

// FileSource offers graphs from files in the protocol's own form, such as another update
// service answered or `slipway graph -o json` printed: a file for each architecture. The
// channels of a version are those in its metadata.
type FileSource map[string]string

var _ Watched = FileSource{}

// Snapshot implements Source.
func (f FileSource) Snapshot(ctx context.Context) (*graph.Snapshot, error) {
	s := &graph.Snapshot{Graphs: map[string]*graph.Graph{}}
	var problems []error
	for _, arch := range slices.Sorted(maps.Keys(f)) {
		g, err := readGraphFile(f[arch])
		if err != nil {
			problems = append(problems, fmt.Errorf("reading graph file %q: %w", f[arch], err))
			continue
		}
		s.Graphs[arch] = g
	}
	problems = append(problems, ctx.Err())
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return s, s.Identify()
}

// Stamp implements Watched.
func (f FileSource) Stamp(context.Context) (string, error) {
	var stamp strings.Builder
	for _, arch := range slices.Sorted(maps.Keys(f)) {
		info, err := os.Stat(f[arch])
		if err != nil {
			return "", fmt.Errorf("looking at graph file: %w", err)
		}
		fmt.Fprintf(&stamp, "%s %d %d %d\n", arch, info.Size(), info.ModTime().UnixNano(), inode(info))
	}
	return stamp.String(), nil
}

func readGraphFile(path string) (*graph.Graph, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := limitedRead(file, maxGraphFile)
	if err != nil {
		return nil, err
	}
	return graph.Parse(data)
}

// inode tells a file from one renamed into its place in the same instant.
func inode(info os.FileInfo) uint64 {
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		return sys.Ino
	}
	return 0
}
