// Package runs finds what runs on this host have written about payloads, and serves it:
// reports, time lines and results. A run has a folder, and a report.json in it that
// names the payload by digest (see docs/formats.md). What it says is not signed: it
// explains a verdict and decides nothing.
package runs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"sync"
	"time"

	"github.com/slipway-release/slipway/release"
)

// Prefix is that of the paths which Folder serves and names.
const Prefix = "/runs/"

const (
	maxRuns   = 5000     // that are looked at
	maxReport = 32 << 20 // of a report.json, in bytes
	// lookEvery is how long what was found in the folder counts, however many ask.
	lookEvery = 10 * time.Second
)

const (
	reportFile = "report.json"
	reportPage = "report.html"
)

// timelines are where a run leaves the time line of its upgrade.
var timelines = []string{"timeline.html", "work/upgrade/timeline.html"}

var runID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

// Folder is a folder of runs. Its methods may be called from anywhere.
type Folder struct {
	// Dir holds the runs, each in a folder of its id.
	Dir string
	// Problem is told, once, of each report that cannot be read; it may be nil.
	Problem func(error)
	// Now is the clock; nil means time.Now.
	Now func() time.Time

	mu       sync.Mutex
	looked   time.Time
	known    map[string]run
	byDigest map[string]string // ids of the newest runs
}

// run is what the report of one says.
type run struct {
	written  time.Time
	size     int64
	digest   string // "" when there is no report, or none of a payload
	finished time.Time
}

// Report implements catalog.Reports: the addresses of the report and the time line of
// the newest run that made this payload.
func (f *Folder) Report(_ release.Version, digest string) (report, timeline string) {
	id := f.of(digest)
	if id == "" {
		return "", ""
	}
	if f.has(id, reportPage) {
		report = Prefix + id + "/" + reportPage
	}
	for _, name := range timelines {
		if f.has(id, name) {
			return report, Prefix + id + "/" + name
		}
	}
	return report, ""
}

func (f *Folder) of(digest string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.look()
	return f.byDigest[digest]
}

// about says whether a run has reported about a payload.
func (f *Folder) about(id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.look()
	return f.known[id].digest != ""
}

func (f *Folder) has(id, name string) bool {
	file, err := f.open(id, name)
	if err != nil {
		return false
	}
	file.Close()
	return true
}

// look reads the reports that are new or were written anew. The caller holds mu.
func (f *Folder) look() {
	now := time.Now
	if f.Now != nil {
		now = f.Now
	}
	if f.known != nil && now().Sub(f.looked) < lookEvery {
		return
	}
	f.looked = now()
	entries, err := os.ReadDir(f.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.problem(fmt.Errorf("looking for runs: %w", err))
		return
	}
	before := f.known
	f.known, f.byDigest = map[string]run{}, map[string]string{}
	for i := len(entries) - 1; i >= 0 && len(f.known) < maxRuns; i-- {
		id := entries[i].Name()
		if !entries[i].IsDir() || !runID.MatchString(id) {
			continue // runs/latest is a link
		}
		r := f.read(id, before[id])
		f.known[id] = r
		if newest := f.byDigest[r.digest]; r.digest != "" && (newest == "" || r.finished.After(f.known[newest].finished)) {
			f.byDigest[r.digest] = id
		}
	}
}

// read reads a run's report, unless it is the one that was read before.
func (f *Folder) read(id string, before run) run {
	file, err := f.open(id, reportFile)
	if err != nil {
		return run{} // it is not over, or it was another pipeline's
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || info.ModTime().Equal(before.written) && info.Size() == before.size {
		return before
	}
	r := run{written: info.ModTime(), size: info.Size()}
	var report struct {
		Kind string `json:"kind"`
		Run  struct {
			Finished time.Time `json:"finished"`
		} `json:"run"`
		Payload struct {
			Digest string `json:"digest"`
		} `json:"payload"`
	}
	data, err := io.ReadAll(io.LimitReader(file, maxReport+1))
	if err == nil && len(data) > maxReport {
		err = fmt.Errorf("it is larger than %d bytes", maxReport)
	}
	if err == nil {
		err = json.Unmarshal(data, &report)
	}
	if err != nil {
		f.problem(fmt.Errorf("reading %q: %w; pages do not link to this run", path.Join(f.Dir, id, reportFile), err))
		return r
	}
	if report.Kind == "RunReport" {
		r.digest, r.finished = report.Payload.Digest, report.Run.Finished
	}
	return r
}

func (f *Folder) problem(err error) {
	if f.Problem != nil {
		f.Problem(err)
	}
}
