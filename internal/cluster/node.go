package cluster

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-release/slipway/internal/engine"
)

// Engine is what this package asks of a container engine.
type Engine interface {
	Kind() string
	State() string
	Host() engine.Host
	Environ() []string

	Load(ctx context.Context, img v1.Image, tag string) error
	Image(ctx context.Context, name string) (engine.Image, bool, error)
	Images(ctx context.Context, labels map[string]string) ([]engine.Image, error)
	Tag(ctx context.Context, name, tag string) error
	RemoveImages(ctx context.Context, names ...string) error

	Start(ctx context.Context, c engine.Container) (string, error)
	Exec(ctx context.Context, container string, s engine.Streams, argv ...string) error
	Remove(ctx context.Context, names ...string) error
	Containers(ctx context.Context, labels map[string]string) ([]engine.Info, error)
	Logs(ctx context.Context, container string, w io.Writer) error

	CreateNetwork(ctx context.Context, name string, labels map[string]string) error
	Networks(ctx context.Context) ([]engine.Network, error)
	RemoveNetwork(ctx context.Context, name string) error
	RemoveVolumes(ctx context.Context, label string) error
}

var _ Engine = (*engine.Engine)(nil)

// Stream runs a program on the node with its streams connected; nil ones are
// closed or dropped.
func (n *Node) Stream(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer, argv ...string) error {
	if err := n.engine.Exec(ctx, n.name, engine.Streams{Stdin: stdin, Stdout: stdout, Stderr: stderr}, argv...); err != nil {
		return fmt.Errorf("running %q on node %q: %w", path.Base(argv[0]), n.name, err)
	}
	return nil
}

// script runs a shell script on the node; args are $1, $2, …
func (n *Node) script(ctx context.Context, stdin io.Reader, text string, args ...string) ([]byte, error) {
	return n.Exec(ctx, stdin, append([]string{"bash", "-euo", "pipefail", "-c", text, "slipway"}, args...)...)
}

// file is one small file to be put on a node.
type file struct {
	path string // absolute
	data []byte
	mode int64 // 0: 0644
}

// writeFiles puts files on the node, each by rename, so that none is ever seen half.
func (n *Node) writeFiles(ctx context.Context, files []file) error {
	_, err := n.script(ctx, bytes.NewReader(fileArchive(files)), unpackFiles)
	return err
}

// unpackFiles unpacks an archive beside the files' places and renames each.
const unpackFiles = `
stage=$(mktemp -d /.slipway-files.XXXXXX)
trap 'rm -rf "$stage"' EXIT
tar --extract --file=- --directory="$stage"
cd "$stage"
find . -type f -print0 | while IFS= read -r -d '' f; do
  mkdir -p "/${f%/*}"
  mv -fT "$f" "/$f"
done
`

// fileArchive is a tar archive of files, in the order of their paths.
func fileArchive(files []file) []byte {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	files = slices.Clone(files)
	slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.path, b.path) })
	for _, f := range files {
		mode := f.mode
		if mode == 0 {
			mode = 0o644
		}
		// Writing to memory does not fail, and the headers are plain.
		_ = w.WriteHeader(&tar.Header{Name: strings.TrimPrefix(f.path, "/"), Typeflag: tar.TypeReg, Mode: mode, Size: int64(len(f.data))})
		_, _ = w.Write(f.data)
	}
	_ = w.Close()
	return buf.Bytes()
}
