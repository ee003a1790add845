package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// PushContent brings to a node what it lacks of b while everything on it runs
// on: images, changed layers of the operating system, and the patches from which
// kubeadm generates static pods. It starts and stops nothing. Killed at any
// point, it can be repeated, and what was moved is not moved again.
func (c *Cluster) PushContent(ctx context.Context, n *Node, b Bits, progress Progress) error {
	if err := b.Validate(); err != nil {
		return err
	}
	if err := c.pushImages(ctx, n, b, progress); err != nil {
		return fmt.Errorf("bringing images to node %q: %w", n.name, err)
	}
	if err := n.pushOS(ctx, b, progress); err != nil {
		return fmt.Errorf("bringing the operating system to node %q: %w", n.name, err)
	}
	files, err := c.nodeFiles(b)
	if err != nil {
		return err
	}
	if err := n.writeFiles(ctx, files); err != nil {
		return fmt.Errorf("writing the settings of node %q: %w", n.name, err)
	}
	return nil
}

// pushImages imports the images that the node does not have. Of those, blobs
// that it has from other images are not sent.
func (c *Cluster) pushImages(ctx context.Context, n *Node, b Bits, progress Progress) error {
	names, err := n.ctrLines(ctx, "images", "ls", "--quiet")
	if err != nil {
		return err
	}
	var missing []NodeImage
	for _, img := range b.Images {
		if !slices.Contains(names, img.Reference) {
			missing = append(missing, img)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	blobs, err := n.ctrLines(ctx, "content", "ls", "--quiet")
	if err != nil {
		return err
	}
	have := map[string]bool{}
	for _, digest := range blobs {
		have[digest] = true
	}
	progress.say("bringing %d images to %s", len(missing), n.name)
	return streamArchive(ctx, missing, have, func(r io.Reader) error {
		return n.Stream(ctx, r, nil, nil, "ctr", "--namespace", "k8s.io", "images", "import", "--local", "--no-unpack", "--all-platforms", "-")
	})
}

func (n *Node) ctrLines(ctx context.Context, argv ...string) ([]string, error) {
	out, err := n.Exec(ctx, nil, append([]string{"ctr", "--namespace", "k8s.io"}, argv...)...)
	return strings.Fields(string(out)), err
}

// pushOS lays the layers of machine-os that the node does not have over its
// file system.
func (n *Node) pushOS(ctx context.Context, b Bits, progress Progress) error {
	want, err := newOSRecord(b)
	if err != nil {
		return err
	}
	var have osRecord
	data, err := n.Exec(ctx, nil, "cat", osRecordPath)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, &have); err != nil {
		return fmt.Errorf("reading %s: %w", osRecordPath, err)
	}
	if slices.Equal(have.Layers, want.Layers) && have.KubernetesVersion == want.KubernetesVersion && have.Pause == want.Pause {
		return nil
	}
	if !slices.Equal(have.Layers, want.Layers) {
		progress.say("updating the operating system of %s", n.name)
		if err := n.stageLayers(ctx, b, have, want); err != nil {
			return err
		}
	}
	files, err := want.files(b, have.Layers)
	if err != nil {
		return err
	}
	// The record goes last: until then the node is what it was.
	last := slices.IndexFunc(files, func(f file) bool { return f.path == osRecordPath })
	record := files[last]
	if err := n.writeFiles(ctx, slices.Delete(files, last, last+1)); err != nil {
		return err
	}
	if _, err := n.script(ctx, nil, sandboxScript, want.Pause); err != nil {
		return err
	}
	return n.writeFiles(ctx, []file{record})
}
