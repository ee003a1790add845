package updates_test

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/slipway-release/slipway/internal/layer/layertest"
	"github.com/slipway-release/slipway/release/channels/graphdata"
	"github.com/slipway-release/slipway/release/updates"
)

// oneImage is a registry with one image, under any name.
type oneImage struct{ img v1.Image }

func (o *oneImage) Descriptor(context.Context, string) (v1.Descriptor, error) {
	d, err := partial.Descriptor(o.img)
	if err != nil {
		return v1.Descriptor{}, err
	}
	return *d, nil
}

func (o *oneImage) Image(context.Context, string) (v1.Image, error) { return o.img, nil }

func folderWith(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestGraphDataImage(t *testing.T) {
	t.Parallel()
	files := map[string]string{"version": "1.1.0\n", "channels/stable-4.16.yaml": "name: stable-4.16\nversions: [4.16.3]\n"}
	pack := func(base v1.Image) (v1.Image, v1.Hash) {
		t.Helper()
		img, err := updates.GraphDataImage(folderWith(t, files), nil, base)
		if err != nil {
			t.Fatal(err)
		}
		digest, err := img.Digest()
		if err != nil {
			t.Fatal(err)
		}
		return img, digest
	}
	img, one := pack(nil)
	if _, again := pack(nil); one != again {
		t.Errorf("the same files give %s and %s", one, again)
	}
	base := layertest.Image(t, nil, layertest.Layer(t, layertest.Dir("var"), layertest.Link("bin", "usr/bin"),
		layertest.File(updates.GraphDataPath+"/channels/old.yaml", "name: old\nversions: [4.15.9]\n")))
	onBase, _ := pack(base)
	layers, err := onBase.Layers()
	if err != nil || len(layers) != 2 {
		t.Fatalf("%d layers, %v", len(layers), err)
	}
	config, err := onBase.ConfigFile()
	if err != nil || len(config.Config.Entrypoint) != 0 || !strings.Contains(strings.Join(config.Config.Cmd, " "), "/var/lib/cincinnati/graph-data") {
		t.Errorf("%+v, %v", config.Config, err)
	}

	registry := &oneImage{img}
	puller := &updates.GraphDataPuller{Images: registry, Reference: "registry.example.com/graph-data:latest", Root: filepath.Join(t.TempDir(), "unpacked")}
	channels := func() string {
		t.Helper()
		data, err := graphdata.Load(puller.Dir())
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, c := range data.Channels {
			names = append(names, c.Name)
		}
		return strings.Join(names, " ")
	}
	fetch := func() error { return puller.Fetch(t.Context()) }
	for range 2 {
		if err := fetch(); err != nil {
			t.Fatal(err)
		}
	}
	if got := channels(); got != "stable-4.16" {
		t.Errorf("channels %q", got)
	}
	registry.img = onBase
	if err := fetch(); err != nil {
		t.Fatal(err)
	}
	if got := channels(); got != "old stable-4.16" {
		t.Errorf("channels %q", got)
	}

	// Whatever is wrong with an image, what was good last stays.
	const root = updates.GraphDataPath + "/"
	channel := layertest.File(root+"channels/a.yaml", "name: a\nversions: [4.16.3]\n")
	for name, c := range map[string]struct {
		entries []layertest.Entry
		want    string
	}{
		"leaves":      {[]layertest.Entry{channel, layertest.File(root+"channels/../../../../../x.yaml", "x")}, "leaves the root"},
		"link":        {[]layertest.Entry{layertest.Link(root+"channels/a.yaml", "/etc/passwd")}, "link"},
		"linked dir":  {[]layertest.Entry{layertest.Link(root+"channels", "/etc")}, "link"},
		"too large":   {[]layertest.Entry{channel, layertest.File(root+"channels/b.yaml", strings.Repeat("x", 5<<20))}, "limit"},
		"broken":      {[]layertest.Entry{channel, layertest.File(root+"blocked-edges/b.yaml", "to: 4.16.3\n")}, "from"},
		"nothing":     {[]layertest.Entry{layertest.File("etc/passwd", "x")}, "it has none"},
		"only an OS":  {[]layertest.Entry{layertest.Link("bin", "usr/bin")}, "it has none"},
		"twice there": {[]layertest.Entry{channel, channel}, "twice"},
	} {
		registry.img = layertest.Image(t, nil, layertest.Layer(t, c.entries...))
		if err := fetch(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if got := channels(); got != "old stable-4.16" {
			t.Errorf("%s: channels %q", name, got)
		}
	}
	// In the root, where the repository of graph-data itself has them.
	registry.img = layertest.Image(t, nil, layertest.Layer(t, layertest.File("version", "1.1.0\n"), layertest.File("LICENSE", "x"),
		layertest.File("channels/b.yaml", "name: b\nversions: [4.16.3]\n")))
	if err := fetch(); err != nil {
		t.Fatal(err)
	}
	if got := channels(); got != "b" {
		t.Errorf("channels %q", got)
	}
	entries, err := os.ReadDir(puller.Root)
	if err != nil || len(entries) != 3 { // current, and the two newest
		t.Errorf("left over: %v, %v", entries, err)
	}
}

// FuzzGraphDataImage reads graph-data out of any archive. Whatever it holds, nothing is
// written beside the puller's folder, nor anything but files and folders in it, and what
// was taken can be loaded.
func FuzzGraphDataImage(f *testing.F) {
	const channels = updates.GraphDataPath + "/channels/a.yaml"
	for _, headers := range [][]tar.Header{
		{{Name: "version", Typeflag: tar.TypeReg}, {Name: "channels/a.yaml", Typeflag: tar.TypeReg}},
		{{Name: channels, Typeflag: tar.TypeReg}, {Name: updates.GraphDataPath + "/channels/../../x.yaml", Typeflag: tar.TypeReg}},
		{{Name: channels, Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}},
		{{Name: channels, Typeflag: tar.TypeReg}, {Name: updates.GraphDataPath + "/channels/.wh.a.yaml", Typeflag: tar.TypeReg}},
		{{Name: "../" + channels, Typeflag: tar.TypeReg}, {Name: "/" + channels, Typeflag: tar.TypeLink, Linkname: "version"}},
	} {
		var archive bytes.Buffer
		w := tar.NewWriter(&archive)
		for _, h := range headers {
			text := ""
			if h.Typeflag == tar.TypeReg {
				text = "name: a\nversions: [4.16.3]\n"
				if h.Name == "version" {
					text = "1.1.0\n"
				}
			}
			h.Mode, h.Size = 0o644, int64(len(text))
			if err := w.WriteHeader(&h); err != nil {
				f.Fatal(err)
			}
			if _, err := io.WriteString(w, text); err != nil {
				f.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			f.Fatal(err)
		}
		f.Add(archive.Bytes())
	}
	f.Fuzz(func(t *testing.T, archive []byte) {
		img, err := mutate.AppendLayers(empty.Image, static.NewLayer(archive, types.OCIUncompressedLayer))
		if err != nil {
			t.Fatal(err)
		}
		around := t.TempDir()
		p := &updates.GraphDataPuller{Images: &oneImage{img}, Reference: "registry.example.com/graph-data:latest", Root: filepath.Join(around, "unpacked")}
		fetched := p.Fetch(t.Context())
		entries, err := os.ReadDir(around)
		if err != nil || len(entries) > 1 || len(entries) == 1 && entries[0].Name() != "unpacked" {
			t.Fatalf("%v, %v", entries, err)
		}
		if fetched != nil {
			if _, err := os.Stat(p.Dir()); !os.IsNotExist(err) {
				t.Errorf("after %q there is something in the folder: %v", fetched, err)
			}
			return
		}
		if _, err := graphdata.Load(p.Dir()); err != nil {
			t.Error(err)
		}
		dir, err := filepath.EvalSymlinks(p.Dir())
		if err != nil {
			t.Fatal(err)
		}
		err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && !d.Type().IsRegular() {
				t.Errorf("%s is %s", path, d.Type())
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
}
