package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// RunningImage is an image that containers of a node run from.
type RunningImage struct {
	Node   string
	Name   string // as the node's container runtime knows it
	Digest string // of its manifest, sha256:…
}

// Images lists what really runs on the nodes, asked of each node's container
// runtime itself and not of the API: every image of every running container,
// pods' sandboxes included.
func (c *Cluster) Images(ctx context.Context) ([]RunningImage, error) {
	found := make([][]RunningImage, len(c.nodes))
	g, ctx := errgroup.WithContext(ctx)
	for i, n := range c.nodes {
		g.Go(func() error {
			out, err := n.script(ctx, nil, `
ctr --namespace k8s.io tasks ls
echo ---
ctr --namespace k8s.io containers ls
echo ---
ctr --namespace k8s.io images ls`)
			if err != nil {
				return err
			}
			found[i], err = parseRunning(n.name, string(out))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return slices.Concat(found...), nil
}

// parseRunning reads the tables of tasks (TASK PID STATUS), containers
// (CONTAINER IMAGE RUNTIME) and images (REF TYPE DIGEST …) of ctr.
func parseRunning(node, text string) ([]RunningImage, error) {
	tables := strings.Split(text, "---\n")
	if len(tables) != 3 {
		return nil, errors.New("reading what runs on node " + node + ": three tables expected")
	}
	running := map[string]bool{}
	for _, row := range rows(tables[0], 3) {
		running[row[0]] = row[2] == "RUNNING"
	}
	digests := map[string]string{}
	for _, row := range rows(tables[2], 3) {
		digests[row[0]] = row[2]
	}
	var images []RunningImage
	for _, row := range rows(tables[1], 2) {
		if !running[row[0]] {
			continue
		}
		img := RunningImage{Node: node, Name: row[1], Digest: digests[row[1]]}
		if img.Digest == "" {
			return nil, fmt.Errorf("reading what runs on node %q: image %q of container %q is not in its store", node, img.Name, row[0])
		}
		if !slices.Contains(images, img) {
			images = append(images, img)
		}
	}
	slices.SortFunc(images, func(a, b RunningImage) int { return strings.Compare(a.Name, b.Name) })
	return images, nil
}

// rows splits a table into words, without its heading and rows too short.
func rows(table string, columns int) [][]string {
	var found [][]string
	first := true
	for line := range strings.Lines(table) {
		words := strings.Fields(line)
		if first || len(words) < columns {
			first = false
			continue
		}
		found = append(found, words)
	}
	return found
}
