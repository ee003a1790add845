package layer_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-release/slipway/internal/layer"
	. "github.com/slipway-release/slipway/internal/layer/layertest"
)

func TestUnionOfLayers(t *testing.T) {
	for name, tc := range map[string]struct {
		layers [][]Entry // from the bottom up
		want   map[string]string
	}{
		"one layer": {
			layers: [][]Entry{{Dir("manifests/"), File("manifests/a", "1"), File("other/b", "2"), File("manifests-old/c", "3")}},
			want:   map[string]string{"a": "1"},
		},
		"names with a dot or a slash in front": {
			layers: [][]Entry{{File("./manifests/a", "1"), File("/manifests/b", "2")}},
			want:   map[string]string{"a": "1", "b": "2"},
		},
		"upper files replace lower ones": {
			layers: [][]Entry{{File("manifests/a", "1"), File("manifests/b", "1")}, {File("manifests/a", "2")}},
			want:   map[string]string{"a": "2", "b": "1"},
		},
		"a file deleted above": {
			layers: [][]Entry{{File("manifests/a", "1"), File("manifests/b", "1")}, {File("manifests/.wh.a", "")}},
			want:   map[string]string{"b": "1"},
		},
		"deleted and written again further up": {
			layers: [][]Entry{{File("manifests/a", "1")}, {File("manifests/.wh.a", "")}, {File("manifests/a", "3")}},
			want:   map[string]string{"a": "3"},
		},
		"the folder made opaque": {
			layers: [][]Entry{{File("manifests/a", "1")}, {File("manifests/.wh..wh..opq", ""), File("manifests/b", "2")}},
			want:   map[string]string{"b": "2"},
		},
		"the folder deleted": {
			layers: [][]Entry{{File("manifests/a", "1")}, {File(".wh.manifests", "")}},
			want:   map[string]string{},
		},
		"the folder replaced by a file": {
			layers: [][]Entry{{File("manifests/a", "1")}, {File("manifests", "x")}},
			want:   map[string]string{},
		},
		"a file replaced by a folder": {
			layers: [][]Entry{{File("manifests/a", "1")}, {Dir("manifests/a/"), File("manifests/a/b", "2")}},
			want:   map[string]string{},
		},
		"a whiteout beside its file in one layer hides only what is below": {
			layers: [][]Entry{{File("manifests/a", "1")}, {File("manifests/.wh.a", ""), File("manifests/a", "2")}},
			want:   map[string]string{"a": "2"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var topDown []layer.Listing
			for i := len(tc.layers) - 1; i >= 0; i-- {
				l, err := layer.List(t.Context(), Layer(t, tc.layers[i]...), "manifests", layer.Limits{})
				if err != nil {
					t.Fatal(err)
				}
				topDown = append(topDown, l)
			}
			got := map[string]string{}
			for _, f := range layer.Merge(topDown) {
				got[f.Name] = string(f.Data)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestHostileArchives(t *testing.T) {
	device := Entry{Header: tar.Header{Typeflag: tar.TypeChar, Name: "manifests/tty"}}
	hard := Entry{Header: tar.Header{Typeflag: tar.TypeLink, Name: "manifests/a", Linkname: "etc/shadow"}}
	for name, tc := range map[string]struct {
		entries []Entry
		limits  layer.Limits
		want    string
	}{
		"climbing out":             {entries: []Entry{File("manifests/../../etc/passwd", "x")}, want: "leaves the root"},
		"climbing out elsewhere":   {entries: []Entry{File("../x", "x")}, want: "leaves the root"},
		"symbolic link":            {entries: []Entry{Link("manifests/a", "/etc/shadow")}, want: "is a link or a device"},
		"hard link":                {entries: []Entry{hard}, want: "is a link or a device"},
		"device":                   {entries: []Entry{device}, want: "is a link or a device"},
		"the folder is a link":     {entries: []Entry{Link("manifests", "/etc")}, want: "is a link"},
		"twice":                    {entries: []Entry{File("manifests/a", "1"), File("./manifests/a", "2")}, want: "occurs twice"},
		"name with a control":      {entries: []Entry{File("manifests/a\x1b[2J", "1")}, want: `holds control characters`},
		"name too long":            {entries: []Entry{File("manifests/"+strings.Repeat("a", 256), "1")}, want: "has 256 bytes"},
		"file too large":           {entries: []Entry{File("manifests/a", "12345")}, limits: layer.Limits{File: 4}, want: "at most 4"},
		"all too large":            {entries: []Entry{File("manifests/a", "123"), File("manifests/b", "123")}, limits: layer.Limits{Total: 5}, want: "more than 5 bytes"},
		"too many":                 {entries: []Entry{File("manifests/a", ""), File("manifests/b", "")}, limits: layer.Limits{Files: 1}, want: "more than 1 files"},
		"unpacks to too much":      {entries: []Entry{File("bomb", strings.Repeat("0", 1<<20))}, limits: layer.Limits{Archive: 1 << 16}, want: "limit exceeded"},
		"too much behind the file": {entries: []Entry{File("manifests/a", "1"), File("bomb", strings.Repeat("0", 1<<20))}, limits: layer.Limits{Archive: 1 << 16}, want: "limit exceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := layer.List(t.Context(), Layer(t, tc.entries...), "manifests", tc.limits)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error with %q", err, tc.want)
			}
		})
	}
}

func TestLimitsHoldToTheByte(t *testing.T) {
	l := Layer(t, File("manifests/a", "1234"))
	if _, err := layer.List(t.Context(), l, "manifests", layer.Limits{File: 4, Total: 4, Files: 1}); err != nil {
		t.Error(err)
	}
	_, err := layer.List(t.Context(), l, "manifests", layer.Limits{Total: 3})
	if !errors.Is(err, layer.ErrLimit) {
		t.Errorf("got %v, want ErrLimit", err)
	}
}

// endless never ends, as the answer of a registry that hangs does not.
type endless struct {
	v1.Layer
	header []byte
	cancel context.CancelFunc
}

func (e endless) Uncompressed() (io.ReadCloser, error) { return e, nil }
func (e endless) Close() error                         { return nil }
func (e endless) Read(p []byte) (int, error) {
	e.cancel()
	return copy(p, e.header), nil
}

func TestReadingEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	header := Archive(t, File("a", ""))[:512]
	_, err := layer.List(ctx, endless{header: header, cancel: cancel}, "manifests", layer.Limits{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
}

func TestDamageBehindTheArchiveIsSeen(t *testing.T) {
	cut := failing{Layer(t, File("manifests/a", "1"))}
	if _, err := layer.List(t.Context(), cut, "manifests", layer.Limits{}); !errors.Is(err, errDamaged) {
		t.Errorf("got %v, want the error at the layer's end", err)
	}
}

var errDamaged = errors.New("digest does not match")

// failing delivers everything and then says that it was wrong, as a reader that
// checks a digest does.
type failing struct{ v1.Layer }

func (f failing) Uncompressed() (io.ReadCloser, error) {
	rc, err := f.Layer.Uncompressed()
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(rc)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(io.MultiReader(bytes.NewReader(data), errReader{})), rc.Close()
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errDamaged }

func FuzzList(f *testing.F) {
	f.Add(Archive(f, Dir("manifests"), File("manifests/a", "1"), Link("x", "y")))
	f.Add(Archive(f, File("../x", "")))
	f.Add(Archive(f, File(".wh.manifests", ""), File("manifests/.wh.a", ""), File("manifests/\x1b[2J", "")))
	f.Add([]byte("no archive at all"))
	f.Fuzz(func(t *testing.T, archive []byte) {
		limits := layer.Limits{File: 1 << 10, Total: 1 << 12, Archive: 1 << 16, Files: 8}
		listing, err := layer.List(t.Context(), FromArchive(t, archive), "manifests", limits)
		if err != nil {
			return
		}
		if len(listing.Files) > 8 {
			t.Errorf("%d files despite the limit", len(listing.Files))
		}
		for _, file := range listing.Files {
			if file.Name == "" || file.Name == ".." || strings.ContainsAny(file.Name, "/\x1b\n") || len(file.Name) > 255 || len(file.Data) > 1<<10 {
				t.Errorf("file %q of %d bytes came through", file.Name, len(file.Data))
			}
		}
	})
}
