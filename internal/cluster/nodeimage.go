package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/slipway-release/slipway/internal/engine"
)

const (
	// composeVersion is part of every node image's key; raise it when composing changes.
	composeVersion = "1"
	// composeTimeout bounds the composing of one node image.
	composeTimeout = 15 * time.Minute
	// keptImages is how many images of a kind are kept for later clusters.
	keptImages = 4
)

// nodeImageKey says what a node image is made of. The payload's digest is no
// part of it: two payloads of the same images share their node image, and what
// is the payload's own is written to the nodes when they start.
func nodeImageKey(b Bits, state string) (string, error) {
	machine, err := b.MachineOS.Digest()
	if err != nil {
		return "", fmt.Errorf("reading the machine-os image: %w", err)
	}
	parts := []string{composeVersion, state, machine.String(), b.version(), b.ControlPlane[pauseImage]}
	var refs []string
	for _, img := range b.Images {
		refs = append(refs, img.Reference)
	}
	slices.Sort(refs)
	parts = append(parts, slices.Compact(refs)...)
	sum := sha256.Sum256([]byte(strings.Join(parts, "\n")))
	return hex.EncodeToString(sum[:12]), nil
}

// NodeImage returns the tag of the node image for b in the engine, and composes
// it where the engine has none. Two callers at once compose it once.
func (m *Manager) NodeImage(ctx context.Context, b Bits, progress Progress) (string, error) {
	if err := b.Validate(); err != nil {
		return "", err
	}
	key, err := nodeImageKey(b, m.engine.State())
	if err != nil {
		return "", err
	}
	tag := "localhost/slipway-node:" + key
	if _, found, err := m.engine.Image(ctx, tag); err != nil || found {
		return tag, err
	}
	ctx, cancel := context.WithTimeout(ctx, composeTimeout)
	defer cancel()
	unlock, err := lockFile(ctx, filepath.Join(m.state.Cache("node-images"), key+".lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, found, err := m.engine.Image(ctx, tag); err != nil || found {
		return tag, err
	}
	if err := m.compose(ctx, b, key, tag, progress); err != nil {
		return "", fmt.Errorf("composing the node image: %w", err)
	}
	if err := m.PruneImages(ctx); err != nil {
		fmt.Fprintln(m.log, err) // they cost room, not this cluster
	}
	return tag, nil
}

// compose puts the payload's images into the store of the container runtime in
// a container of machine-os, and makes an image of the result.
func (m *Manager) compose(ctx context.Context, b Bits, key, tag string, progress Progress) error {
	// Whoever composed this before us under the same lock is dead.
	dead, err := m.engine.Containers(ctx, map[string]string{composeLabel: key})
	if err != nil {
		return err
	}
	for _, c := range dead {
		if err := m.engine.Remove(ctx, c.Name); err != nil {
			return err
		}
	}
	var files []file
	base := "localhost/slipway-compose:" + key
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) { files, err = composedFiles(b); return err })
	g.Go(func() error {
		progress.say("loading the nodes' operating system")
		return m.engine.Load(gctx, b.MachineOS, base)
	})
	if err := g.Wait(); err != nil {
		return err
	}
	name, err := m.engine.Start(ctx, engine.Container{
		Name: "slipway-compose-" + key, Image: base, Privileged: true, Network: "none",
		Entrypoint: []string{"sleep", "infinity"}, Tmpfs: []string{"/tmp", "/run"},
		Labels: map[string]string{composeLabel: key},
	})
	if err != nil {
		return err
	}
	defer m.removeLater(ctx, name, base)
	n := &Node{name: name, engine: m.engine}
	progress.say("putting %d images into the node image", len(b.Images))
	if err := m.fillImageStore(ctx, n, b); err != nil {
		return err
	}
	if err := n.writeFiles(ctx, files); err != nil {
		return err
	}
	progress.say("saving the node image")
	return m.saveNodeImage(ctx, n, b, key, tag)
}

// saveNodeImage gives the engine an image of machine-os with what composing
// changed on n.
func (m *Manager) saveNodeImage(ctx context.Context, n *Node, b Bits, key, tag string) error {
	layer, err := m.saveLayer(ctx, n)
	if err != nil {
		return err
	}
	defer os.Remove(layer.path)
	img, err := layer.on(b.MachineOS, map[string]string{
		engine.StateLabel: m.engine.State(), nodeLabel: key, payloadLabel: b.Payload,
	})
	if err != nil {
		return err
	}
	return m.engine.Load(ctx, img, tag)
}

func composedFiles(b Bits) ([]file, error) {
	record, err := newOSRecord(b)
	if err != nil {
		return nil, err
	}
	return record.files(b, nil)
}

// removeLater removes a container and its image's name even when ctx has ended.
func (m *Manager) removeLater(ctx context.Context, container, image string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	if err := errors.Join(m.engine.Remove(ctx, container), m.engine.RemoveImages(ctx, image)); err != nil {
		fmt.Fprintln(m.log, err)
	}
}

// fillImageStore starts the container runtime for as long as it reads the images.
func (m *Manager) fillImageStore(ctx context.Context, n *Node, b Bits) error {
	return streamArchive(ctx, b.Images, nil, func(r io.Reader) error {
		_, err := n.script(ctx, r, sandboxScript+`
/usr/local/libexec/slipway/containerd-spec
containerd --log-level warn >/tmp/containerd.log 2>&1 &
pid=$!
trap 'cat /tmp/containerd.log >&2' ERR
until ctr version >/dev/null 2>&1; do
  kill -0 $pid
  sleep 0.05
done
ctr --namespace k8s.io images import --local --no-unpack --all-platforms -
kill $pid
wait $pid || true
`, b.ControlPlane[pauseImage])
		return err
	})
}

// sandboxScript makes the container runtime hold pods together with the
// payload's own pause image, $1.
const sandboxScript = `
sed -i "s|^\( *sandbox_image = \).*|\1\"$1\"|" /etc/containerd/config.toml
grep -qF "\"$1\"" /etc/containerd/config.toml
`

// streamArchive hands an archive of images to use as it is made.
func streamArchive(ctx context.Context, images []NodeImage, have map[string]bool, use func(io.Reader) error) error {
	r, w := io.Pipe()
	written := make(chan error, 1)
	go func() {
		err := writeArchive(ctx, w, images, have)
		w.CloseWithError(err)
		written <- err
	}()
	err := use(r)
	r.CloseWithError(errors.New("the reader has ended"))
	if werr := <-written; werr != nil && err != nil {
		// The reader's failure follows from the writer's, or the other way round; both tell something.
		return errors.Join(werr, err)
	} else if werr != nil {
		return werr
	}
	return err
}

// PruneImages removes the node images and load balancers of this state directory
// but the newest few. One that a container uses stays.
func (m *Manager) PruneImages(ctx context.Context) error {
	return errors.Join(m.prune(ctx, nodeLabel), m.prune(ctx, balancerLabel))
}

func (m *Manager) prune(ctx context.Context, label string) error {
	images, err := m.engine.Images(ctx, map[string]string{engine.StateLabel: m.engine.State(), label: ""})
	if err != nil || len(images) <= keptImages {
		return err
	}
	var errs []error
	for _, img := range images[keptImages:] {
		used, err := m.engine.Containers(ctx, map[string]string{label: img.Labels[label]})
		if err != nil {
			return err
		}
		if len(used) == 0 {
			errs = append(errs, m.engine.RemoveImages(ctx, img.Tags...))
		}
	}
	return errors.Join(errs...)
}

// lockFile waits for a lock that the kernel gives back when its holder dies.
func lockFile(ctx context.Context, path string) (func(), error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			f.Close()
			return nil, fmt.Errorf("locking %q: %w", path, err)
		}
		if err := pause(ctx, pollInterval); err != nil {
			f.Close()
			return nil, fmt.Errorf("waiting for the lock %q: %w", path, err)
		}
	}
}
