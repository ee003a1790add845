package oci_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/oci/ocitest"
)

// store is what Registry and Layout have in common.
type store interface {
	Descriptor(ctx context.Context, ref string) (v1.Descriptor, error)
	Resolve(ctx context.Context, ref string) (v1.Hash, error)
	Image(ctx context.Context, ref string) (v1.Image, error)
	Index(ctx context.Context, ref string) (v1.ImageIndex, error)
	Push(ctx context.Context, ref string, img v1.Image) (v1.Hash, error)
	PushIndex(ctx context.Context, ref string, index v1.ImageIndex) (v1.Hash, error)
	Tag(ctx context.Context, ref, tag string) error
	Tags(ctx context.Context, repository string) ([]string, error)
	Referrers(ctx context.Context, subject, artifactType string) ([]oci.Referrer, error)
	Fetch(ctx context.Context, ref oci.Referrer) ([]byte, error)
	Attach(ctx context.Context, subject string, a oci.Artifact) (v1.Hash, error)
	Amend(ctx context.Context, ref string, change func(v1.Image) (v1.Image, error)) error
	Manifest(ctx context.Context, ref string) ([]byte, v1.Descriptor, error)
	Blob(ctx context.Context, repository string, d v1.Descriptor) (io.ReadCloser, error)
}

// stores are the places that must behave alike.
func stores(t *testing.T) map[string]store {
	l, err := oci.CreateLayout(filepath.Join(t.TempDir(), "layout"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return map[string]store{"registry": client(t, ocitest.Registry(t).Addr()), "layout": l}
}

// newIndex has two platforms, an index inside, and a statement of a builder that
// is for no platform.
func newIndex(t *testing.T) v1.ImageIndex {
	t.Helper()
	statement := mutate.MediaType(newImage(t, 50), types.OCIManifestSchema1)
	nested := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: newImage(t, 70)})
	return mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: newImage(t, 100, 100), Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "arm64"}}},
		mutate.IndexAddendum{Add: newImage(t, 200), Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}},
		mutate.IndexAddendum{Add: statement, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "unknown", Architecture: "unknown"}}},
		mutate.IndexAddendum{Add: nested},
	)
}

// readIndex reads everything below an index to its last byte.
func readIndex(index v1.ImageIndex) error {
	manifest, err := index.IndexManifest()
	if err != nil {
		return err
	}
	for _, child := range manifest.Manifests {
		if child.MediaType.IsIndex() {
			nested, err := index.ImageIndex(child.Digest)
			if err != nil {
				return err
			}
			if err := readIndex(nested); err != nil {
				return err
			}
			continue
		}
		img, err := index.Image(child.Digest)
		if err != nil {
			return err
		}
		if err := readAll(img); err != nil {
			return err
		}
	}
	return nil
}

func TestStoresKeepIndexesWhole(t *testing.T) {
	for kind, s := range stores(t) {
		t.Run(kind, func(t *testing.T) {
			index := newIndex(t)
			ref := canonical + "/release:1.0.0"
			digest, err := s.PushIndex(t.Context(), ref, index)
			if err != nil {
				t.Fatal(err)
			}
			stored, err := s.Index(t.Context(), canonical+"/release@"+digest.String())
			if err != nil {
				t.Fatal(err)
			}
			if err := readIndex(stored); err != nil {
				t.Errorf("what is stored is not whole: %v", err)
			}
			manifest, err := index.IndexManifest()
			if err != nil {
				t.Fatal(err)
			}
			for _, child := range manifest.Manifests {
				got, err := s.Descriptor(t.Context(), canonical+"/release@"+child.Digest.String())
				if err != nil || got.Size != child.Size || got.MediaType != child.MediaType {
					t.Errorf("child %s is %+v, %v; want %+v", child.Digest, got, err, child)
				}
			}
			img, err := s.Image(t.Context(), ref)
			if err != nil {
				t.Fatal(err)
			}
			if got := digestOf(t, img); got != manifest.Manifests[1].Digest.String() {
				t.Errorf("the image for linux/amd64 is %s", got)
			}
			if _, err := s.PushIndex(t.Context(), canonical+"/release@sha256:"+strings.Repeat("0", 64), index); err == nil {
				t.Error("an index was stored under a digest that it does not have")
			}
		})
	}
}

func TestStoresFindWhatWasPushed(t *testing.T) {
	for kind, s := range stores(t) {
		t.Run(kind, func(t *testing.T) {
			repo := canonical + "/etcd"
			img := newImage(t, 1000, 2000)
			digest, err := s.Push(t.Context(), repo+":first", img)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Tag(t.Context(), repo+"@"+digest.String(), "second"); err != nil {
				t.Fatal(err)
			}
			for _, ref := range []string{repo + ":first", repo + ":second", repo + "@" + digest.String()} {
				got, err := s.Image(t.Context(), ref)
				if err != nil {
					t.Fatal(err)
				}
				if err := readAll(got); err != nil || digestOf(t, got) != digest.String() {
					t.Errorf("%s: %v", ref, err)
				}
				raw, d, err := s.Manifest(t.Context(), ref)
				if err != nil || d.Digest != digest || int64(len(raw)) != d.Size {
					t.Errorf("the manifest of %s: %+v, %v", ref, d, err)
				}
			}
			if tags, err := s.Tags(t.Context(), repo); err != nil || fmt.Sprint(tags) != "[first second]" {
				t.Errorf("tags %v, %v", tags, err)
			}
			other, err := s.Push(t.Context(), repo+":second", newImage(t, 10))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := s.Resolve(t.Context(), repo+":second"); err != nil || got != other {
				t.Errorf("the moved tag names %s, %v", got, err)
			}
			for _, ref := range []string{repo + ":third", repo + "@sha256:" + strings.Repeat("1", 64)} {
				if _, err := s.Image(t.Context(), ref); !errors.Is(err, oci.ErrNotFound) {
					t.Errorf("%s: %v", ref, err)
				}
			}
			if _, err := s.Index(t.Context(), repo+":first"); err == nil {
				t.Error("an image counts as an index")
			}
		})
	}
}

func TestStoresKeepReferrers(t *testing.T) {
	for kind, s := range stores(t) {
		t.Run(kind, func(t *testing.T) {
			repo := canonical + "/etcd"
			digest, err := s.Push(t.Context(), repo+":1", newImage(t, 100))
			if err != nil {
				t.Fatal(err)
			}
			subject := repo + "@" + digest.String()
			artifact := oci.Artifact{Type: "application/vnd.example", MediaType: "text/plain", Content: []byte("good"), Annotations: map[string]string{"k": "v"}}
			for range 2 { // the second time changes nothing
				if _, err := s.Attach(t.Context(), subject, artifact); err != nil {
					t.Fatal(err)
				}
			}
			artifact.Type = "application/vnd.other"
			if _, err := s.Attach(t.Context(), subject, artifact); err != nil {
				t.Fatal(err)
			}
			if all, err := s.Referrers(t.Context(), subject, ""); err != nil || len(all) != 2 {
				t.Errorf("all: %+v, %v", all, err)
			}
			found, err := s.Referrers(t.Context(), subject, "application/vnd.example")
			if err != nil || len(found) != 1 || found[0].Annotations["k"] != "v" {
				t.Fatalf("%+v, %v", found, err)
			}
			if content, err := s.Fetch(t.Context(), found[0]); err != nil || string(content) != "good" {
				t.Errorf("%q, %v", content, err)
			}
			found[0].Subject = repo + "@sha256:" + strings.Repeat("1", 64)
			if _, err := s.Fetch(t.Context(), found[0]); err == nil {
				t.Error("an artifact about another image was handed out")
			}
		})
	}
}

func TestLayoutIsReadByOthersAndReadsTheirs(t *testing.T) {
	ours := filepath.Join(t.TempDir(), "ours")
	l, err := oci.CreateLayout(ours)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	digest, err := l.PushIndex(t.Context(), "host.example/path:1.0.0", newIndex(t))
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := layout.ImageIndexFromPath(ours)
	if err != nil {
		t.Fatal(err)
	}
	if err := readIndex(theirs); err != nil {
		t.Errorf("others read: %v", err)
	}
	inside, err := theirs.ImageIndex(digest)
	if err != nil {
		t.Fatal(err)
	}

	written := filepath.Join(t.TempDir(), "theirs")
	p, err := layout.Write(written, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.AppendIndex(inside, layout.WithAnnotations(map[string]string{oci.AnnotationRefName: "host.example/path:1.0.0"})); err != nil {
		t.Fatal(err)
	}
	read, err := oci.OpenLayout(written, oci.WithPlatform(v1.Platform{OS: "linux", Architecture: "arm64"}))
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	img, err := read.Image(t.Context(), "host.example/path:1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	if layers, err := img.Layers(); err != nil || len(layers) != 2 {
		t.Errorf("the image for arm64 has %d layers, %v", len(layers), err)
	}
}

func TestLayoutTakesManyWriters(t *testing.T) {
	dir := t.TempDir()
	const writers = 8
	var group sync.WaitGroup
	for n := range writers {
		group.Go(func() {
			// Each has locks of its own, as processes have.
			l, err := oci.CreateLayout(dir)
			if err != nil {
				t.Error(err)
				return
			}
			defer l.Close()
			img, err := random.Image(500, 2)
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := l.Push(context.Background(), fmt.Sprintf("host.example/path:%d", n), img); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	l, err := oci.OpenLayout(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if tags, err := l.Tags(t.Context(), ""); err != nil || len(tags) != writers {
		t.Errorf("tags %v, %v", tags, err)
	}
}

func TestLayoutFindsDamage(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"changed":  func(p string) error { return overwrite(p, func(b []byte) []byte { b[0] ^= 1; return b }) },
		"cut":      func(p string) error { return overwrite(p, func(b []byte) []byte { return b[:len(b)-1] }) },
		"longer":   func(p string) error { return overwrite(p, func(b []byte) []byte { return append(b, 0) }) },
		"missing":  os.Remove,
		"a link":   func(p string) error { return errors.Join(os.Rename(p, p+"x"), os.Symlink("/etc/passwd", p)) },
		"a folder": func(p string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o755)) },
		"elsewhere": func(p string) error {
			return errors.Join(os.Remove(p), os.Symlink("../../../../../../../etc/passwd", p))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			l, err := oci.CreateLayout(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			img := newImage(t, 1000)
			if _, err := l.Push(t.Context(), "host.example/path:1", img); err != nil {
				t.Fatal(err)
			}
			layers, err := img.Layers()
			if err != nil {
				t.Fatal(err)
			}
			digest, err := layers[0].Digest()
			if err != nil {
				t.Fatal(err)
			}
			if err := damage(filepath.Join(dir, "blobs/sha256", digest.Hex)); err != nil {
				t.Fatal(err)
			}
			stored, err := l.Image(t.Context(), "host.example/path:1")
			if err != nil {
				t.Fatal(err)
			}
			if err := readAll(stored); err == nil {
				t.Error("the damage was not noticed")
			}
		})
	}
}

func overwrite(path string, change func([]byte) []byte) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, change(data), 0o644)
}

func TestLayoutRefusesWhatIsNone(t *testing.T) {
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "notes.txt"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := oci.CreateLayout(full); err == nil || !strings.Contains(err.Error(), "notes.txt") {
		t.Errorf("a folder of somebody's was taken: %v", err)
	}
	if _, err := oci.OpenLayout(full); err == nil {
		t.Error("a folder without oci-layout was opened")
	}
	if _, err := oci.OpenLayout(filepath.Join(full, "nothing")); err == nil {
		t.Error("nothing was opened")
	}
}

func TestLayoutForgetsWhatADeadProcessLeft(t *testing.T) {
	dir := t.TempDir()
	l, err := oci.CreateLayout(dir)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	left := filepath.Join(dir, ".incoming", "half")
	if err := os.WriteFile(left, []byte("half"), 0o644); err != nil {
		t.Fatal(err)
	}
	if l, err = oci.CreateLayout(dir); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := l.Push(t.Context(), "host.example/path:1", newImage(t, 10)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what a dead process left is still there: %v", err)
	}
}

// tarOf packs a layout the way tar does.
func tarOf(t *testing.T, dir string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	if err := w.AddFS(os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestLayoutInATarFile(t *testing.T) {
	dir := t.TempDir()
	l, err := oci.CreateLayout(dir)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := l.PushIndex(t.Context(), "host.example/path:1", newIndex(t))
	l.Close()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "layout.tar")
	if err := os.WriteFile(file, tarOf(t, dir), 0o644); err != nil {
		t.Fatal(err)
	}
	packed, err := oci.OpenLayout(file)
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	index, err := packed.Index(t.Context(), "host.example/path@"+digest.String())
	if err != nil {
		t.Fatal(err)
	}
	if err := readIndex(index); err != nil {
		t.Error(err)
	}
	if _, err := packed.Push(t.Context(), "host.example/path:2", newImage(t, 10)); err == nil {
		t.Error("a tar file was written to")
	}
}
