package cluster

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

func byDigest(t *testing.T, img v1.Image, repository string) NodeImage {
	t.Helper()
	d, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return NodeImage{Reference: repository + "@" + d.String(), Image: img}
}

func randomImage(t *testing.T, layers int64) v1.Image {
	t.Helper()
	img, err := random.Image(5000, layers)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// TestWriteArchive reads the archive back as an OCI layout.
func TestWriteArchive(t *testing.T) {
	one := randomImage(t, 2)
	two, err := mutate.AppendLayers(one) // shares its layers
	if err != nil {
		t.Fatal(err)
	}
	two = mutate.Annotations(two, map[string]string{"other": "image"}).(v1.Image)
	images := []NodeImage{byDigest(t, one, "r/one"), byDigest(t, two, "r/two")}

	var buf bytes.Buffer
	if err := writeArchive(context.Background(), &buf, images, nil); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	names := extract(t, &buf, dir)
	if len(names) != len(slices.Compact(slices.Sorted(slices.Values(names)))) {
		t.Errorf("a blob was sent twice: %v", names)
	}
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for i, desc := range manifest.Manifests {
		if got := desc.Annotations[nameAnnotation]; got != images[i].Reference {
			t.Errorf("image %d is called %q, want %q", i, got, images[i].Reference)
		}
		img, err := index.Image(desc.Digest)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate.Image(img); err != nil {
			t.Error(err)
		}
	}
}

func TestWriteArchiveLeavesOutWhatIsThere(t *testing.T) {
	img := randomImage(t, 2)
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	there, err := layers[0].Digest()
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	if err := writeArchive(context.Background(), &buf, []NodeImage{byDigest(t, img, "r/x")}, map[string]bool{there.String(): true}); err != nil {
		t.Fatal(err)
	}
	names := extract(t, &buf, t.TempDir())
	// Layout, index, manifest, configuration, one layer.
	if len(names) != 5 || slices.Contains(names, blobPath(there)) {
		t.Errorf("sent %v", names)
	}
}

func TestWriteArchiveRefusesOtherDigest(t *testing.T) {
	img := byDigest(t, randomImage(t, 1), "r/x")
	img.Image = randomImage(t, 1)
	if err := writeArchive(context.Background(), io.Discard, []NodeImage{img}, nil); err == nil || !strings.Contains(err.Error(), img.Reference) {
		t.Errorf("an image that is not what its reference says was sent: %v", err)
	}
}

// TestStreamArchive: whichever side fails, both end and the reason is told.
func TestStreamArchive(t *testing.T) {
	good := []NodeImage{byDigest(t, randomImage(t, 1), "r/x")}
	broken := errors.New("the reader broke")
	err := streamArchive(context.Background(), good, nil, func(r io.Reader) error { return broken })
	if !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
	bad := []NodeImage{{Reference: "r/x@sha256:1", Image: good[0].Image}}
	err = streamArchive(context.Background(), bad, nil, func(r io.Reader) error {
		_, err := io.Copy(io.Discard, r)
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "r/x@sha256:1") {
		t.Errorf("the writer's failure is lost: %v", err)
	}
}

func extract(t *testing.T, r io.Reader, dir string) []string {
	t.Helper()
	var names []string
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return names
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
		path := filepath.Join(dir, h.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// osLayer is a layer of files; a name ending in / is a folder, and one with
// " -> " a link.
func osLayer(t *testing.T, names ...string) v1.Layer {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, name := range names {
		h := &tar.Header{Name: "./" + name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(name))}
		link, target, isLink := strings.Cut(name, " -> ")
		switch {
		case strings.HasSuffix(name, "/"):
			h.Typeflag, h.Mode, h.Size = tar.TypeDir, 0o755, 0
		case isLink:
			h.Name, h.Linkname, h.Typeflag, h.Size = link, target, tar.TypeSymlink, 0
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := io.WriteString(w, name); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buf.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	return layer
}

func machine(t *testing.T, layers ...v1.Layer) (v1.Image, osRecord) {
	t.Helper()
	img, err := mutate.AppendLayers(empty.Image, layers...)
	if err != nil {
		t.Fatal(err)
	}
	record, err := newOSRecord(Bits{MachineOS: img, KubernetesVersion: "1.36.3"})
	if err != nil {
		t.Fatal(err)
	}
	if record.KubernetesVersion != "v1.36.3" {
		t.Errorf("recorded version %q", record.KubernetesVersion)
	}
	return img, record
}

func TestWriteChanged(t *testing.T) {
	base := osLayer(t, "usr/", "usr/bin/", "usr/bin/tool", "usr/bin/shared", "etc/hosts", "var/lib/x")
	files := osLayer(t, "etc/app.conf", "usr/bin/shared")
	binaries := osLayer(t, "usr/bin/kubelet")
	_, have := machine(t, base, files, binaries)

	newBase := osLayer(t, "usr/", "usr/bin/", "usr/bin/tool", "usr/bin/new", "usr/bin/shared", "etc/hosts", "var/lib/x", "etc/kubernetes/pki/ca.key", "kind/version", "lib -> usr/lib")
	newBinaries := osLayer(t, "usr/bin/kubelet", "usr/bin/.wh.tool")
	for name, test := range map[string]struct {
		layers []v1.Layer
		want   []string
	}{
		"nothing changed":     {[]v1.Layer{base, files, binaries}, nil},
		"the upmost":          {[]v1.Layer{base, files, newBinaries}, []string{"usr/bin/kubelet"}},
		"the lowest":          {[]v1.Layer{newBase, files, binaries}, []string{"usr", "usr/bin", "usr/bin/tool", "usr/bin/new", "lib"}},
		"whiteout hides":      {[]v1.Layer{newBase, files, newBinaries}, []string{"usr/bin/kubelet", "usr", "usr/bin", "usr/bin/new", "lib"}},
		"one more":            {[]v1.Layer{base, files, binaries, osLayer(t, "opt/x")}, []string{"opt/x"}},
		"a layer goes":        {[]v1.Layer{base, binaries}, nil},
		"an upper one serves": {[]v1.Layer{newBase, binaries, files}, []string{"usr", "usr/bin", "usr/bin/tool", "usr/bin/new", "lib"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, want := machine(t, test.layers...)
			var buf bytes.Buffer
			if err := writeChanged(context.Background(), &buf, test.layers, have.Layers, want.Layers); err != nil {
				t.Fatal(err)
			}
			var names []string
			r := tar.NewReader(&buf)
			for {
				h, err := r.Next()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				names = append(names, strings.TrimSuffix(h.Name, "/"))
			}
			if diff := cmp.Diff(test.want, names); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestInstall runs the script that moves a staged tree into place on this host.
func TestInstall(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	write := func(root, name, content string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	link := func(root, target, name string) {
		t.Helper()
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	write(to, "usr/bin/kubelet", "old")
	write(to, "usr/bin/other", "untouched")
	link(to, "usr/bin", "bin")
	write(to, "var/run/keep", "mine") // a folder where the new tree has a link
	running, err := os.Open(filepath.Join(to, "usr/bin/kubelet"))
	if err != nil {
		t.Fatal(err)
	}
	defer running.Close()

	write(from, "bin/kubelet", "new") // through the link
	write(from, "etc/new/file with space", "x")
	write(from, "usr/replaced-link", "file")
	link(to, "nowhere", "usr/replaced-link")
	write(from, "var/new", "x")
	link(from, "/run", "var/run-link")
	link(from, "/run", "var/run")

	cmd := exec.Command("perl", "-", from, to)
	cmd.Stdin = strings.NewReader(install)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for name, want := range map[string]string{
		"usr/bin/kubelet": "new", "bin/kubelet": "new", "usr/bin/other": "untouched",
		"etc/new/file with space": "x", "var/run/keep": "mine", "usr/replaced-link": "file",
	} {
		if got, err := os.ReadFile(filepath.Join(to, name)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v; want %q", name, got, err, want)
		}
	}
	if target, err := os.Readlink(filepath.Join(to, "var/run-link")); err != nil || target != "/run" {
		t.Errorf("link: %q, %v", target, err)
	}
	if target, err := os.Readlink(filepath.Join(to, "bin")); err != nil || target != "usr/bin" {
		t.Errorf("the link to a folder was replaced: %q, %v", target, err)
	}
	if old, err := io.ReadAll(running); err != nil || string(old) != "old" {
		t.Errorf("a program that runs lost its file: %q, %v", old, err)
	}
}

func TestParseRunning(t *testing.T) {
	text := `TASK    PID    STATUS
a1      100    RUNNING
b2      101    STOPPED
c3      102    RUNNING
---
CONTAINER    IMAGE    RUNTIME
a1    r/x@sha256:1    io.containerd.runc.v2
b2    r/old@sha256:2  io.containerd.runc.v2
c3    r/x@sha256:1    io.containerd.runc.v2
d4    r/never@sha256:3  io.containerd.runc.v2
---
REF TYPE DIGEST SIZE PLATFORMS LABELS
r/x@sha256:1 application/x sha256:1 1.0 KiB linux/amd64 -
`
	got, err := parseRunning("n", text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]RunningImage{{Node: "n", Name: "r/x@sha256:1", Digest: "sha256:1"}}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, bad := range []string{"", "a\n---\nb\n", strings.Replace(text, "r/x@sha256:1 app", "r/y@sha256:1 app", 1)} {
		if _, err := parseRunning("n", bad); err == nil {
			t.Errorf("read:\n%s", bad)
		}
	}
}

// TestUnpackStaysInside: a node's archive cannot write outside the folder of logs.
func TestUnpackStaysInside(t *testing.T) {
	outer := t.TempDir()
	dir := filepath.Join(outer, "logs")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outer, filepath.Join(dir, "way-out")); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	pack := func(names ...string) io.Reader {
		var files []file
		for _, n := range names {
			files = append(files, file{path: n, data: []byte("x")})
		}
		return bytes.NewReader(fileArchive(files))
	}
	if err := unpack(root, pack("../../escaped", "a/b")); err != nil {
		t.Error(err)
	}
	if err := unpack(root, pack("way-out/escaped")); err == nil {
		t.Error("a link out of the folder was followed")
	}
	if _, err := os.Stat(filepath.Join(outer, "escaped")); err == nil {
		t.Error("a file was written outside")
	}
	if _, err := os.Stat(filepath.Join(dir, "a/b")); err != nil {
		t.Error(err)
	}
}
