package updates

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/slipway-release/slipway/release/channels/graphdata"
)

// graphDataParts are what of a graph-data repository clients get.
var graphDataParts = []string{"blocked-edges", "channels", "raw", "version"}

const (
	licenseFile = "LICENSE" // goes with them
	maxLicense  = 1 << 20   // bytes
)

// PackGraphData writes a folder of graph-data as the tar.gz that mirrors and
// disconnected update services read: its channels, blocked edges and raw metadata, in
// order, and the same bytes for the same files. Risks over ranges become blocked edges to
// those of versions, and of the versions that the channels name, that they hold. A folder
// that cannot be understood whole is refused.
func PackGraphData(dir string, versions []string) ([]byte, error) {
	files, err := exported(dir, versions)
	var out bytes.Buffer
	if err == nil {
		err = pack(&out, files)
	}
	if err != nil {
		return nil, fmt.Errorf("packing graph-data %q: %w", dir, err)
	}
	return out.Bytes(), nil
}

// exported are the files that others get, by path.
func exported(dir string, versions []string) (map[string][]byte, error) {
	data, err := graphdata.Load(dir)
	if err != nil {
		return nil, err
	}
	if len(data.Channels) == 0 {
		return nil, errors.New("it has no files in its folder channels: is it a graph-data repository?")
	}
	files, err := data.Export(append(data.Versions(), versions...))
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(files, func(name string, _ []byte) bool {
		part, _, _ := strings.Cut(name, "/")
		return !slices.Contains(graphDataParts, part)
	})
	license, err := os.Open(filepath.Join(dir, licenseFile))
	if errors.Is(err, fs.ErrNotExist) {
		return files, nil
	}
	if err != nil {
		return nil, err
	}
	defer license.Close()
	files[licenseFile], err = limitedRead(license, maxLicense)
	return files, err
}

// pack writes files, and the folders they are in, as a tar.gz.
func pack(out io.Writer, files map[string][]byte) error {
	zipped, err := gzip.NewWriterLevel(out, gzip.BestCompression)
	if err != nil {
		return err
	}
	if err := writeTar(zipped, files, "."); err != nil {
		return err
	}
	return zipped.Close()
}

// writeTar writes files, and the folders they are in below above, which has an entry
// already, as a tar without times or owners.
func writeTar(out io.Writer, files map[string][]byte, above string) error {
	archive := tar.NewWriter(out)
	folder := above
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if dir := path.Dir(name); dir != folder && dir != above {
			folder = dir
			if err := archive.WriteHeader(&tar.Header{Name: dir + "/", Typeflag: tar.TypeDir, Mode: 0o755}); err != nil {
				return err
			}
		}
		if err := archive.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(files[name]))}); err != nil {
			return err
		}
		if _, err := archive.Write(files[name]); err != nil {
			return err
		}
	}
	return archive.Close()
}

// GraphData serves a folder of graph-data at GET [/api/upgrades_info]/graph-data. What was
// packed last is served on while the folder cannot be understood.
type GraphData struct {
	Dir string
	// Current is the edition that is served: its versions stand in the archive.
	Current func() *Edition
	// Watch is how long what was packed is served without looking whether a file
	// changed; 0 looks at each request.
	Watch time.Duration
	// Fetch, unless it is nil, brings the folder up to date before it is looked at.
	Fetch func(context.Context) error
	Log   *slog.Logger

	mu     sync.Mutex
	of     *Edition
	stamp  string    // of the folder that was tried last
	looked time.Time // at the folder
	packed []byte
	etag   string
}

func (g *GraphData) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		methodNotAllowed(w, r).write(w, r)
		return
	}
	if strings.TrimPrefix(r.URL.Path, Prefix) != "/graph-data" {
		notFound(r.URL.Path).write(w, r)
		return
	}
	data, etag, err := g.archive(r.Context())
	if err != nil {
		(&apiError{http.StatusInternalServerError, "file_open_err", err.Error()}).write(w, r)
		return
	}
	h := w.Header()
	h.Set("ETag", etag)
	h["Cache-Control"] = cacheControlHeader
	if holds(r.Header["If-None-Match"], etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", "application/gzip")
	h.Set("Content-Length", strconv.Itoa(len(data)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(data)
	}
}

// archive is the folder as it is, or was when it was last understood.
func (g *GraphData) archive(ctx context.Context) ([]byte, string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.Current()
	if g.packed != nil && now == g.of && time.Since(g.looked) < g.Watch {
		return g.packed, g.etag, nil
	}
	// Taken before packing: a change in between is seen the next time.
	stamp, err := g.look(ctx)
	if err == nil && (g.packed == nil || now != g.of || stamp != g.stamp) {
		err = g.pack(now)
	}
	g.of, g.stamp, g.looked = now, stamp, time.Now()
	if err != nil && g.packed == nil {
		return nil, "", err
	}
	if err != nil && g.Log != nil {
		g.Log.Error("the last good archive of graph-data is served on", "error", err)
	}
	return g.packed, g.etag, nil
}

// look is the stamp of the folder as it should be now.
func (g *GraphData) look(ctx context.Context) (string, error) {
	if g.Fetch != nil {
		if err := g.Fetch(ctx); err != nil {
			return "", err
		}
	}
	return graphdata.Stamp(os.DirFS(g.Dir))
}

func (g *GraphData) pack(now *Edition) error {
	data, err := PackGraphData(g.Dir, now.versions())
	if err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	g.packed, g.etag = data, `"`+base64.RawURLEncoding.EncodeToString(sum[:18])+`"`
	return nil
}

// versions are those of all architectures; none before the first edition.
func (e *Edition) versions() []string {
	if e == nil {
		return nil
	}
	var all []string
	for _, g := range e.snapshot.Graphs {
		for _, n := range g.Nodes {
			all = append(all, n.Version)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
