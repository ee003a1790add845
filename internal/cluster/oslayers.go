package cluster

import (
	"archive/tar"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// whiteout begins the name of an entry that deletes a file of a lower layer.
const whiteout = ".wh."

// keptPaths are a node's own: an upgrade of the operating system leaves them
// alone. Some are mounts of the container engine, which cannot be replaced.
var keptPaths = []string{
	"dev", "proc", "sys", "run", "tmp", "var", "etc/kubernetes", "etc/slipway", "etc/cni/net.d",
	"etc/hosts", "etc/hostname", "etc/resolv.conf", "etc/machine-id", "kind/version", "kind/product_name", "kind/product_uuid",
	"kind/kubeadm.conf", "kind/old-ipv4", "kind/old-ipv6",
}

// install moves a staged tree into place; see there.
//
//go:embed install.pl
var install string

const stageDir = "/.slipway-os"

// stageLayers sends the layers that the node lacks into a folder beside the
// root and then renames each file into place, so that a program that runs keeps
// its file and one that starts meanwhile finds the old or the new one, whole.
// What the old layers had and no new one has is removed.
func (n *Node) stageLayers(ctx context.Context, b Bits, have, want osRecord) error {
	layers, err := b.MachineOS.Layers()
	if err != nil {
		return err
	}
	r, w := io.Pipe()
	written := make(chan error, 1)
	go func() {
		err := writeChanged(ctx, w, layers, have.Layers, want.Layers)
		w.CloseWithError(err)
		written <- err
	}()
	_, err = n.script(ctx, r, `rm -rf "$1" && mkdir "$1" && tar --extract --file=- --directory="$1" --same-owner --preserve-permissions`, stageDir)
	r.CloseWithError(errors.New("the node has ended"))
	if err := errors.Join(<-written, err); err != nil {
		return err
	}
	gone, err := n.goneFiles(ctx, layers, have, want)
	if err != nil {
		return err
	}
	if err := n.writeFiles(ctx, []file{{path: "/etc/slipway/gone", data: []byte(strings.Join(gone, "\n"))}}); err != nil {
		return err
	}
	_, err = n.script(ctx, strings.NewReader(install), `
perl - "$1" /
while IFS= read -r f || [ -n "$f" ]; do
  [ -z "$f" ] || rm -f "/$f"
done </etc/slipway/gone
rm -rf "$1" /etc/slipway/gone
systemctl daemon-reload
`, stageDir)
	return err
}

// writeChanged writes the entries of the layers in want that are not in have as
// one archive: what a later layer replaces, and what is a node's own, is left out.
func writeChanged(ctx context.Context, w io.Writer, layers []v1.Layer, have, want []string) error {
	if len(layers) != len(want) {
		return fmt.Errorf("machine-os has %d layers but %d diff IDs", len(layers), len(want))
	}
	out := tar.NewWriter(w)
	// From the top down: the first to bring a path wins.
	taken := map[string]bool{}
	for i := len(layers) - 1; i >= 0; i-- {
		if !slices.ContainsFunc(want[:i+1], func(id string) bool { return !slices.Contains(have, id) }) {
			break // neither this one nor one below it has changed
		}
		into := out
		if slices.Contains(have, want[i]) {
			into = nil
		}
		own, err := copyLayer(ctx, into, layers[i], taken)
		if err != nil {
			return fmt.Errorf("reading layer %s of machine-os: %w", want[i], err)
		}
		for _, name := range own {
			taken[name] = true
		}
	}
	return out.Close()
}

// copyLayer copies the entries of a layer whose paths are not taken, and returns
// the paths that the layer decides on, deleted ones included. With no out it
// copies nothing.
func copyLayer(ctx context.Context, out *tar.Writer, layer v1.Layer, taken map[string]bool) ([]string, error) {
	var own []string
	err := eachEntry(layer, func(h *tar.Header, r io.Reader) error {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		name := cleanPath(h.Name)
		if name == "" || kept(name) || taken[name] {
			return nil
		}
		own = append(own, name)
		if deleted, found := strings.CutPrefix(path.Base(name), whiteout); found {
			own = append(own, path.Join(path.Dir(name), deleted))
			return nil
		}
		if out == nil || h.Typeflag == tar.TypeChar || h.Typeflag == tar.TypeBlock {
			return nil
		}
		h.Name, h.Format = name, tar.FormatUnknown
		if h.Typeflag == tar.TypeLink {
			h.Linkname = cleanPath(h.Linkname)
		}
		if err := out.WriteHeader(h); err != nil {
			return err
		}
		_, err := io.Copy(out, r)
		return err
	})
	return own, err
}

func kept(name string) bool {
	return slices.ContainsFunc(keptPaths, func(k string) bool { return name == k || strings.HasPrefix(name, k+"/") })
}

// goneFiles are the files that only layers held which the node no longer has.
func (n *Node) goneFiles(ctx context.Context, layers []v1.Layer, have, want osRecord) ([]string, error) {
	old := map[string]bool{}
	for _, id := range have.Layers {
		if slices.Contains(want.Layers, id) {
			continue
		}
		list, err := n.Exec(ctx, nil, "cat", layerListPath(id))
		if err != nil {
			return nil, err
		}
		for name := range strings.Lines(string(list)) {
			if name = strings.TrimSpace(name); name != "" && !kept(name) {
				old[name] = true
			}
		}
	}
	if len(old) == 0 {
		return nil, nil
	}
	for i, layer := range layers {
		paths, err := layerPaths(layer)
		if err != nil {
			return nil, fmt.Errorf("reading layer %s of machine-os: %w", want.Layers[i], err)
		}
		for _, name := range paths {
			delete(old, name)
		}
	}
	return slices.Sorted(maps.Keys(old)), nil
}
