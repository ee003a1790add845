package runs

import (
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path"
	"strings"
	"syscall"
)

const (
	// maxFile bounds what is served of a run, in bytes: a time line holds every sample.
	maxFile = 256 << 20
	maxPath = 512 // bytes
)

// contentPolicy lets a page have what stands in it, and nothing else. Its scripts are of no
// origin: they can ask nothing of this server.
const contentPolicy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; " +
	"sandbox allow-scripts; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// mediaType is that of a file that may be served, or "". Logs and state are not: nobody
// has looked at what programs wrote there.
func mediaType(name string) string {
	switch name {
	case reportPage, "timeline.html":
		return "text/html; charset=utf-8"
	case reportFile, "upgrade.json", "conformance.json", "verdict.json":
		return "application/json"
	case "summary.md":
		return "text/plain; charset=utf-8"
	}
	if strings.HasPrefix(name, "junit_") && strings.HasSuffix(name, ".xml") {
		return "text/xml; charset=utf-8"
	}
	return ""
}

// ServeHTTP answers for the files below Prefix of runs that have reported about a
// payload. Whatever cannot be served does not exist.
func (f *Folder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "what runs have written can only be read", http.StatusMethodNotAllowed)
		return
	}
	below, ok := strings.CutPrefix(r.URL.Path, Prefix)
	id, name, _ := strings.Cut(below, "/")
	kind := mediaType(path.Base(name))
	if !ok || kind == "" || len(below) > maxPath || !f.about(id) {
		notFound(w)
		return
	}
	file, err := f.open(id, name)
	if err != nil {
		notFound(w)
		return
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || info.Size() > maxFile {
		notFound(w)
		return
	}
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Security-Policy", contentPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-cache") // a report may be written again
	http.ServeContent(w, r, "", info.ModTime(), file)
}

func notFound(w http.ResponseWriter) {
	http.Error(w, "there is no such file of a run, or it is not served", http.StatusNotFound)
}

// open opens a plain file of a run. Neither the run nor anything on the way may be a
// link, nor lie outside the folder.
func (f *Folder) open(id, name string) (*os.File, error) {
	if !runID.MatchString(id) || !fs.ValidPath(name) || strings.ContainsAny(name, "\\\x00") {
		return nil, fs.ErrNotExist
	}
	root, err := os.OpenRoot(f.Dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	at := id
	info, err := root.Lstat(at)
	for _, element := range strings.Split(name, "/") {
		if err != nil {
			return nil, err
		}
		if !info.IsDir() || element[0] == '.' {
			return nil, fs.ErrNotExist
		}
		at += "/" + element
		info, err = root.Lstat(at)
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fs.ErrNotExist
	}
	// Something else may have come into its place: a pipe must not block.
	file, err := root.OpenFile(at, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	opened, err := file.Stat()
	if err == nil && !os.SameFile(info, opened) {
		err = fmt.Errorf("opening %q: it was replaced meanwhile", at)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}
