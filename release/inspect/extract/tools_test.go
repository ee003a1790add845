package extract_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-release/slipway/internal/layer/layertest"
	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/oci/ocitest"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/inspect/extract"
	"github.com/slipway-release/slipway/release/releasetest"
)

// marked is a program with markers, and the first one's name once more where
// there is no room.
const marked = "\x7fELF \x00_RELEASE_VERSION_LOCATION_\x00 prefix \x00_RELEASE_VERSION_LOCATION_\x00XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX\x00" +
	" \x00_RELEASE_IMAGE_LOCATION_\x00XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX\x00 end"

const pinned = "registry.example.com/okd/release@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

// shelf is a registry with component images.
type shelf struct {
	server   *ocitest.Server
	registry *oci.Registry
	images   map[string]string
}

func newShelf(t testing.TB) *shelf {
	t.Helper()
	server := ocitest.Registry(t)
	registry, err := oci.NewRegistry(server.Addr()+"/okd", "")
	if err != nil {
		t.Fatal(err)
	}
	return &shelf{server: server, registry: registry, images: map[string]string{}}
}

func (s *shelf) add(t testing.TB, name string, layers ...v1.Layer) {
	t.Helper()
	img := layertest.Image(t, nil, layers...)
	digest, err := s.registry.Push(t.Context(), s.server.Addr()+"/okd/"+name+":1", img)
	if err != nil {
		t.Fatal(err)
	}
	s.images[name] = s.server.Addr() + "/okd/" + name + "@" + digest.String()
}

func (s *shelf) payload(t testing.TB) *release.Payload {
	spec := releasetest.Small("4.19.0-okd-scos.16")
	spec.Images = s.images
	return load(t, spec)
}

func options(t testing.TB, tools ...extract.Tool) extract.ToolsOptions {
	return extract.ToolsOptions{Dir: t.TempDir(), Tools: tools, Reference: pinned, Arch: "amd64", Release: []byte("Name: 4.19.0\n")}
}

func tool(name, component, path string) extract.Tool {
	return extract.Tool{Name: name, Component: component, Path: path, Platforms: []string{"linux/amd64"}, Archive: "{name}-{os}-{arch}-{version}.tar.gz"}
}

// unpacked returns the files of an archive with their contents; of links, the target.
func unpacked(t *testing.T, path string) map[string]string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	if strings.HasSuffix(path, ".zip") {
		zr, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range zr.File {
			r, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			content, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			files[f.Name] = string(content)
		}
		return files
	}
	gz, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	for tr := tar.NewReader(gz); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name] = string(content)
		if h.Typeflag == tar.TypeLink {
			files[h.Name] = "-> " + h.Linkname
		}
	}
}

// okd puts images like OKD's into a registry.
func okd(t testing.TB) *shelf {
	s := newShelf(t)
	base := layertest.Layer(t, layertest.Dir("usr/"), layertest.File("usr/bin/sh", "#!"))
	s.add(t, "cli", base, layertest.Layer(t, layertest.File("usr/bin/oc", "linux "+marked)))
	s.add(t, "cli-artifacts", base, layertest.Layer(t,
		layertest.File("usr/share/openshift/linux_amd64/oc", "amd64 "+marked),
		layertest.File("usr/share/openshift/linux_arm64/oc", "arm64 "+marked),
		layertest.File("usr/share/openshift/windows/oc.exe", "windows "+marked)))
	s.add(t, "installer", base, layertest.Layer(t, layertest.File("usr/bin/openshift-install", "install "+marked)))
	return s
}

func TestTableOfOKD(t *testing.T) {
	s := okd(t)
	o := options(t, extract.OKD()...)
	x, err := extract.Tools(t.Context(), s.registry, s.payload(t), o)
	if err != nil {
		t.Fatal(err)
	}
	found := tree(t, o.Dir)
	for _, name := range []string{
		"openshift-client-linux-4.19.0-okd-scos.16.tar.gz", "openshift-client-linux-amd64-4.19.0-okd-scos.16.tar.gz",
		"openshift-client-linux-arm64-4.19.0-okd-scos.16.tar.gz", "openshift-client-windows-4.19.0-okd-scos.16.zip",
		"openshift-install-linux-4.19.0-okd-scos.16.tar.gz", "release.txt", "sha256sum.txt",
	} {
		if _, ok := found[name]; !ok {
			t.Errorf("%s is missing", name)
		}
	}
	if len(found) != 7 || len(x.Files) != 7 || len(x.Missing) == 0 {
		t.Errorf("files %v, missing %v", x.Files, x.Missing)
	}
	client := unpacked(t, filepath.Join(o.Dir, "openshift-client-linux-4.19.0-okd-scos.16.tar.gz"))
	if client["kubectl"] != "-> oc" || !strings.Contains(client["oc"], "\x004.19.0-okd-scos.16\x00") && !strings.Contains(client["oc"], "4.19.0-okd-scos.16\x00") {
		t.Errorf("%q", client)
	}
	if strings.Contains(client["oc"], pinned) || len(client["oc"]) != len("linux "+marked) {
		t.Errorf("%q", client["oc"])
	}
	install := unpacked(t, filepath.Join(o.Dir, "openshift-install-linux-4.19.0-okd-scos.16.tar.gz"))["openshift-install"]
	if !strings.Contains(install, pinned+"\x00") || !strings.Contains(install, "prefix 4.19.0-okd-scos.16\x00") {
		t.Errorf("%q", install)
	}
	if exe := unpacked(t, filepath.Join(o.Dir, "openshift-client-windows-4.19.0-okd-scos.16.zip"))["oc.exe"]; !strings.HasPrefix(exe, "windows ") {
		t.Errorf("%q", exe)
	}
	for _, line := range strings.Split(strings.TrimSpace(found["sha256sum.txt"]), "\n") {
		sum, name, ok := strings.Cut(line, "  ")
		if got := sha256.Sum256([]byte(found[name])); !ok || sum != hex.EncodeToString(got[:]) {
			t.Errorf("line %q does not fit", line)
		}
	}
	if n := strings.Count(found["sha256sum.txt"], "\n"); n != 6 {
		t.Errorf("%d checksums:\n%s", n, found["sha256sum.txt"])
	}
}

func TestEachLayerIsFetchedOnce(t *testing.T) {
	s := okd(t)
	s.server.Forget()
	o := options(t, extract.OKD()...)
	if _, err := extract.Tools(t.Context(), s.registry, s.payload(t), o); err != nil {
		t.Fatal(err)
	}
	// The layer of each image, and the base, through which one of them is searched.
	if got := s.server.Total(ocitest.Match{Method: "GET", Kind: ocitest.Blob}); got.Requests != 4 {
		t.Errorf("%+v", got)
	}
}

func TestSameArchivesAtAnyTime(t *testing.T) {
	s := okd(t)
	var trees [2]map[string]string
	for i := range trees {
		o := options(t, extract.OKD()...)
		o.Jobs = 1 + 3*i
		if _, err := extract.Tools(t.Context(), s.registry, s.payload(t), o); err != nil {
			t.Fatal(err)
		}
		trees[i] = tree(t, o.Dir)
	}
	if diff := cmp.Diff(trees[0], trees[1]); diff != "" {
		t.Error(diff)
	}
}

func TestOneProgram(t *testing.T) {
	s := okd(t)
	o := options(t, extract.OKD()...)
	o.Programs = true
	o.Choice = extract.Choice{Name: "oc", OS: "linux", Arch: "arm64"}
	if _, err := extract.Tools(t.Context(), s.registry, s.payload(t), o); err != nil {
		t.Fatal(err)
	}
	if got := tree(t, o.Dir); len(got) != 1 || !strings.HasPrefix(got["oc"], "arm64 ") {
		t.Errorf("%q", got)
	}
	if info, err := os.Stat(filepath.Join(o.Dir, "oc")); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("%v, %v", info, err)
	}
	o.Choice.Arch = ""
	if _, err := extract.Tools(t.Context(), s.registry, s.payload(t), o); err == nil || !strings.Contains(err.Error(), "choose one platform") {
		t.Errorf("two platforms under one name: %v", err)
	}
	o.Choice = extract.Choice{Name: "oc", OS: "plan9"}
	if _, err := extract.Tools(t.Context(), s.registry, s.payload(t), o); !errors.Is(err, extract.ErrNoTool) || !strings.Contains(err.Error(), "oc for windows/amd64") {
		t.Errorf("a platform that is not there: %v", err)
	}
}

func TestWaysThroughAnImage(t *testing.T) {
	hard := layertest.Entry{Header: tar.Header{Typeflag: tar.TypeLink, Name: "usr/bin/hard", Linkname: "usr/bin/real"}}
	device := layertest.Entry{Header: tar.Header{Typeflag: tar.TypeChar, Name: "usr/bin/x"}}
	file, link := layertest.File, layertest.Link
	for name, c := range map[string]struct {
		layers [][]layertest.Entry // from the bottom up
		path   string
		want   string // content, or the error after "!"
	}{
		"in the lowest layer":                 {[][]layertest.Entry{{file("usr/bin/x", "1")}, {file("other", "2")}}, "/usr/bin/x", "1"},
		"the upper one counts":                {[][]layertest.Entry{{file("usr/bin/x", "1")}, {file("usr/bin/x", "2")}}, "/usr/bin/x", "2"},
		"symbolic link":                       {[][]layertest.Entry{{file("usr/bin/real", "1"), link("usr/bin/x", "real")}}, "/usr/bin/x", "1"},
		"absolute link into an upper layer":   {[][]layertest.Entry{{link("usr/bin/x", "/opt/x")}, {file("opt/x", "1")}}, "/usr/bin/x", "1"},
		"link of a folder":                    {[][]layertest.Entry{{link("bin", "usr/bin"), file("usr/bin/x", "1")}}, "/bin/x", "1"},
		"hard link":                           {[][]layertest.Entry{{file("usr/bin/real", "1"), hard}}, "/usr/bin/hard", "1"},
		"link out of the image stays in it":   {[][]layertest.Entry{{link("usr/bin/x", "../../../../etc/passwd"), file("etc/passwd", "the image's")}}, "/usr/bin/x", "the image's"},
		"circle":                              {[][]layertest.Entry{{link("a", "b"), link("b", "a")}}, "/a", "!more than 8 links"},
		"not there":                           {[][]layertest.Entry{{file("usr/bin/y", "1")}}, "/usr/bin/x", "!there is no file /usr/bin/x"},
		"deleted above":                       {[][]layertest.Entry{{file("usr/bin/x", "1")}, {file("usr/bin/.wh.x", "")}}, "/usr/bin/x", "!deletes it"},
		"folder deleted above":                {[][]layertest.Entry{{file("usr/bin/x", "1")}, {file("usr/.wh.bin", "")}}, "/usr/bin/x", "!deletes it"},
		"folder opaque above":                 {[][]layertest.Entry{{file("usr/bin/x", "1")}, {file("usr/bin/.wh..wh..opq", "")}}, "/usr/bin/x", "!deletes it"},
		"folder opaque and file in one layer": {[][]layertest.Entry{{file("usr/bin/x", "1")}, {file("usr/bin/.wh..wh..opq", ""), file("usr/bin/x", "2")}}, "/usr/bin/x", "2"},
		"a file in place of the folder":       {[][]layertest.Entry{{file("usr/bin/x", "1")}, {file("usr/bin", "")}}, "/usr/bin/x", "!is no folder"},
		"a folder":                            {[][]layertest.Entry{{layertest.Dir("usr/bin/x/")}}, "/usr/bin/x", "!it is no file"},
		"a device":                            {[][]layertest.Entry{{device}}, "/usr/bin/x", "!it is no file"},
		"twice in one layer":                  {[][]layertest.Entry{{file("usr/bin/x", "1"), file("./usr/bin/x", "2")}}, "/usr/bin/x", "!twice"},
		"an archive that climbs out":          {[][]layertest.Entry{{file("usr/bin/x", "1"), file("../../etc/cron.d/x", "2")}}, "/usr/bin/x", "!leaves the root"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShelf(t)
			var layers []v1.Layer
			for _, entries := range c.layers {
				layers = append(layers, layertest.Layer(t, entries...))
			}
			s.add(t, "cli", layers...)
			o := options(t, tool("x", "cli", c.path))
			o.Programs = true
			_, err := extract.Tools(t.Context(), s.registry, s.payload(t), o)
			if want, bad := strings.CutPrefix(c.want, "!"); bad {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %q", err, want)
				}
				if left := tree(t, o.Dir); len(left) != 0 {
					t.Errorf("%v was left", left)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := tree(t, o.Dir)["x"]; got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestMarkers(t *testing.T) {
	for name, c := range map[string]struct {
		program string
		marker  string
		value   string // of the version
		want    string // the program, or the error after "!"
	}{
		"room to spare":  {"a\x00_VERSION_\x00XXXXXXXXXXXXXXXXXXXX\x00b", "_VERSION_", "", "a4.19.0-okd-scos.16\x00XXXXXXXXXXXX\x00b"},
		"missing":        {"nothing", "_VERSION_", "", "!no marker _VERSION_"},
		"name alone":     {"\x00_VERSION_\x00 and more", "_VERSION_", "", "!no marker _VERSION_"},
		"not ended":      {"\x00_VERSION_\x00XXXXXXXXXXXXXXXXXXXXXXXX", "_VERSION_", "", "!no marker _VERSION_"},
		"something else": {"\x00_VERSION_\x00XXXXXXXXXXXXXXXXXXXXXXXX.\x00", "_VERSION_", "", "!no marker _VERSION_"},
		"over a border":  {strings.Repeat("x", 1<<20-5) + "\x00_VERSION_\x00XXXXXXXXXXXXXXXXXXXX\x00", "_VERSION_", "", strings.Repeat("x", 1<<20-5) + "4.19.0-okd-scos.16\x00XXXXXXXXXXXX\x00"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShelf(t)
			s.add(t, "cli", layertest.Layer(t, layertest.File("x", c.program)))
			row := tool("x", "cli", "/x")
			row.Markers = map[string]string{extract.MarkVersion: c.marker}
			o := options(t, row)
			o.Programs = true
			_, err := extract.Tools(t.Context(), s.registry, s.payload(t), o)
			if want, bad := strings.CutPrefix(c.want, "!"); bad {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %q", err, want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := tree(t, o.Dir)["x"]; got != c.want {
				t.Errorf("got %d bytes: %.80q", len(got), strings.TrimLeft(got, "x"))
			}
		})
	}
	t.Run("too short", func(t *testing.T) {
		s := newShelf(t)
		s.add(t, "cli", layertest.Layer(t, layertest.File("x", "\x00_IMAGE_IMAGE_\x00XXXXXXXXXXXXXXXXXXXX\x00")))
		row := tool("x", "cli", "/x")
		row.Markers = map[string]string{extract.MarkImage: "_IMAGE_IMAGE_"}
		_, err := extract.Tools(t.Context(), s.registry, s.payload(t), options(t, row))
		if err == nil || !strings.Contains(err.Error(), "room for 35 bytes") {
			t.Error(err)
		}
	})
}

// Two rows may take one file and fill it in differently.
func TestSharedFileHasMarkersOfEachRow(t *testing.T) {
	s := newShelf(t)
	s.add(t, "cli", layertest.Layer(t, layertest.File("x", marked)))
	a, b := tool("a", "cli", "/x"), tool("b", "cli", "/x")
	a.Markers = map[string]string{extract.MarkVersion: "_RELEASE_VERSION_LOCATION_"}
	b.Markers = map[string]string{extract.MarkVersion: "_RELEASE_VERSION_LOCATION_", extract.MarkImage: "_RELEASE_IMAGE_LOCATION_"}
	o := options(t, a, b)
	o.Programs = true
	if _, err := extract.Tools(t.Context(), s.registry, s.payload(t), o); err != nil {
		t.Fatal(err)
	}
	got := tree(t, o.Dir)
	if strings.Contains(got["a"], pinned) || !strings.Contains(got["b"], pinned) || !strings.Contains(got["a"], "4.19.0-okd") {
		t.Errorf("%q", got)
	}
}

func TestMistakesInTables(t *testing.T) {
	good := tool("x", "cli", "/x")
	for name, c := range map[string]struct {
		change func(*extract.Tool)
		want   string
	}{
		"name":             {func(x *extract.Tool) { x.Name = "../x" }, "not the plain name"},
		"further name":     {func(x *extract.Tool) { x.Names = []string{"a/b"} }, "not the plain name"},
		"component":        {func(x *extract.Tool) { x.Component = "" }, "component is missing"},
		"relative path":    {func(x *extract.Tool) { x.Path = "usr/bin/x" }, "absolute path"},
		"climbing path":    {func(x *extract.Tool) { x.Path = "/usr/../../x" }, "absolute path"},
		"platform":         {func(x *extract.Tool) { x.Platforms = []string{"linux"} }, "OS/ARCH"},
		"no platform":      {func(x *extract.Tool) { x.Platforms = nil }, "platforms is missing"},
		"platform twice":   {func(x *extract.Tool) { x.Platforms = []string{"a/b", "a/b"} }, "already"},
		"archive":          {func(x *extract.Tool) { x.Archive = "x.rpm" }, ".tar.gz or .zip"},
		"archive's folder": {func(x *extract.Tool) { x.Archive = "../x.zip" }, "not the plain name"},
		"placeholder":      {func(x *extract.Tool) { x.Archive = "{nam}.zip" }, "{nam} is none of"},
		"marker":           {func(x *extract.Tool) { x.Markers = map[string]string{"digest": "_RELEASE_"} }, `not with "digest"`},
		"marker's name":    {func(x *extract.Tool) { x.Markers = map[string]string{"version": "\x00"} }, "8 to 64"},
	} {
		bad := good
		c.change(&bad)
		if err := extract.CheckTools([]extract.Tool{bad}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if err := extract.CheckTools(append(extract.OKD(), good)); err != nil {
		t.Error(err)
	}
	if _, err := extract.ParseTools([]byte("tools:\n- {name: x, komponent: y}\n")); err == nil || !strings.Contains(err.Error(), "komponent") {
		t.Errorf("an unknown field: %v", err)
	}
}

func TestWhatIsMissing(t *testing.T) {
	s := newShelf(t)
	s.add(t, "cli", layertest.Layer(t, layertest.File("x", "1")))
	p := s.payload(t)
	for name, c := range map[string]struct {
		tools []extract.Tool
		want  string
	}{
		"component": {[]extract.Tool{tool("x", "none", "/x"), tool("y", "nobody", "/x")}, `no component "none"; y for linux/amd64: the payload has no component "nobody"`},
		"file":      {[]extract.Tool{tool("x", "cli", "/y"), tool("y", "cli", "/z")}, "there is no file /z"},
		"archive":   {[]extract.Tool{{Name: "x", Component: "cli", Path: "/x", Platforms: []string{"linux/amd64", "linux/arm64"}, Archive: "x.zip"}}, "have one archive x.zip"},
		"reserved":  {[]extract.Tool{{Name: "x", Component: "cli", Path: "/x", Platforms: []string{"a/b"}, Archive: "{name}.tar.gz", Optional: true}, {Name: "y", Component: "cli", Path: "/y", Platforms: []string{"a/b"}, Archive: "{name}.zip"}}, "there is no file /y"},
	} {
		o := options(t, c.tools...)
		if _, err := extract.Tools(t.Context(), s.registry, p, o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if left := tree(t, o.Dir); len(left) != 0 {
			t.Errorf("%s: %v was left", name, left)
		}
	}
	optional := tool("y", "cli", "/y")
	optional.Optional = true
	x, err := extract.Tools(t.Context(), s.registry, p, options(t, tool("x", "cli", "/x"), optional))
	if err != nil || len(x.Missing) != 1 || !strings.Contains(x.Missing[0], `component "cli" has no /y`) {
		t.Errorf("%+v, %v", x, err)
	}
}

func TestSignatures(t *testing.T) {
	s := okd(t)
	o := options(t, extract.OKD()...)
	o.Signatures = []extract.Signature{{File: "sha256sum.txt.asc", Sign: func(_ context.Context, sums []byte) ([]byte, error) {
		return append([]byte("signed: "), sums...), nil
	}}}
	if _, err := extract.Tools(t.Context(), s.registry, s.payload(t), o); err != nil {
		t.Fatal(err)
	}
	if got := tree(t, o.Dir); got["sha256sum.txt.asc"] != "signed: "+got["sha256sum.txt"] {
		t.Errorf("%q", got["sha256sum.txt.asc"])
	}
	o.Dir = t.TempDir()
	o.Signatures[0].Sign = func(context.Context, []byte) ([]byte, error) { return nil, errors.New("no key") }
	if _, err := extract.Tools(t.Context(), s.registry, s.payload(t), o); err == nil {
		t.Error("an unsigned list came out")
	}
	if left := tree(t, o.Dir); len(left) != 0 {
		t.Errorf("%d files were left", len(left))
	}
}

// Whatever the registry does, archives are whole or are not there.
func TestDamagedLayers(t *testing.T) {
	for name, fault := range map[string]ocitest.Fault{
		"wrong bytes": {On: ocitest.Match{Method: "GET", Kind: ocitest.Blob}, Do: ocitest.WrongBytes()},
		"refused":     {On: ocitest.Match{Method: "GET", Kind: ocitest.Blob}, Do: ocitest.Status(403)},
	} {
		t.Run(name, func(t *testing.T) {
			s := okd(t)
			p := s.payload(t)
			s.server.Inject(fault)
			o := options(t, extract.OKD()...)
			if _, err := extract.Tools(t.Context(), s.registry, p, o); err == nil {
				t.Error("nothing was noticed")
			}
			if left := tree(t, o.Dir); len(left) != 0 {
				t.Errorf("%d files were left", len(left))
			}
		})
	}
}

func TestEndsWithItsContext(t *testing.T) {
	s := okd(t)
	p := s.payload(t)
	ctx, cancel := context.WithCancel(t.Context())
	o := options(t, extract.OKD()...)
	var once sync.Once
	o.Watch = func(string) func(error) {
		once.Do(cancel)
		return func(error) {}
	}
	if _, err := extract.Tools(ctx, s.registry, p, o); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if left := tree(t, o.Dir); len(left) != 0 {
		t.Errorf("%d files were left", len(left))
	}
}
