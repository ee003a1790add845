package upgradetest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeAPI is as much of an API server as the probers of writes, watches, leases and
// logs talk to. It can be told to do what no API server may.
type fakeAPI struct {
	*httptest.Server

	mu       sync.Mutex
	version  int
	maps     map[string]configMap
	events   []string // the collection's, in order; number i has version i+1
	oldest   int      // versions before are gone
	changed  chan struct{}
	endWatch chan struct{} // closed to end all watches in good order
	leases   map[string]int
	lines    int64 // of the log

	forget bool // acknowledge writes and do not keep them
	hide   bool // keep writes and do not show them
	repeat bool // show writes twice
	down   bool
}

func serveFakeAPI(t *testing.T) *fakeAPI {
	t.Helper()
	f := &fakeAPI{maps: map[string]configMap{}, changed: make(chan struct{}), endWatch: make(chan struct{}), leases: map[string]int{}}
	f.Server = httptest.NewUnstartedServer(f)
	f.EnableHTTP2 = true
	f.StartTLS()
	t.Cleanup(func() { f.endWatches(); f.CloseClientConnections(); f.Close() })
	return f
}

func (f *fakeAPI) target() HTTPTarget {
	return HTTPTarget{URL: f.URL, TLS: f.Client().Transport.(*http.Transport).TLSClientConfig}
}

func (f *fakeAPI) set(change func(*fakeAPI)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *fakeAPI) endWatches() {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.endWatch)
	f.endWatch = make(chan struct{})
}

// ServeHTTP implements http.Handler.
func (f *fakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	down := f.down
	f.mu.Unlock()
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	name := parts[len(parts)-1]
	switch {
	case down:
		http.Error(w, "down", http.StatusServiceUnavailable)
	case strings.HasSuffix(r.URL.Path, "/log"):
		f.log(w, r)
	case slices.Contains(parts, "leases"):
		f.lease(w, r, name)
	case r.URL.Query().Get("watch") != "":
		f.watch(w, r)
	case r.Method == http.MethodGet && name == "configmaps":
		f.list(w)
	case r.Method == http.MethodGet:
		f.get(w, name)
	default:
		f.write(w, r, name)
	}
}

func (f *fakeAPI) get(w http.ResponseWriter, name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m, there := f.maps[name]
	if !there {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	_ = json.NewEncoder(w).Encode(m)
}

func (f *fakeAPI) list(w http.ResponseWriter) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list struct {
		configMap
		Items []configMap `json:"items"`
	}
	list.Metadata.ResourceVersion = strconv.Itoa(f.version)
	for _, m := range f.maps {
		list.Items = append(list.Items, m)
	}
	_ = json.NewEncoder(w).Encode(list)
}

func (f *fakeAPI) write(w http.ResponseWriter, r *http.Request, name string) {
	var change configMap
	if err := json.NewDecoder(r.Body).Decode(&change); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	kind := "MODIFIED"
	if r.Method == http.MethodPost {
		name, kind = change.Metadata.Name, "ADDED"
	}
	m, there := f.maps[name]
	switch {
	case r.Method == http.MethodPost && there:
		w.WriteHeader(http.StatusConflict)
		return
	case r.Method == http.MethodPatch && !there:
		w.WriteHeader(http.StatusNotFound)
		return
	}
	f.version++
	next := configMap{Metadata: change.Metadata, Data: map[string]string{}}
	next.Metadata.Name = name
	next.Metadata.ResourceVersion = strconv.Itoa(f.version)
	for k, v := range m.Data {
		next.Data[k] = v
	}
	for k, v := range change.Data {
		next.Data[k] = v
	}
	if f.forget {
		next.Data = m.Data
	}
	f.maps[name] = next
	text, _ := json.Marshal(map[string]any{"type": kind, "object": next})
	if f.hide {
		text = nil
	}
	f.events = append(f.events, string(text))
	if f.repeat {
		f.version++
		f.events = append(f.events, string(text))
	}
	close(f.changed)
	f.changed = make(chan struct{})
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(next)
}

func (f *fakeAPI) watch(w http.ResponseWriter, r *http.Request) {
	at, _ := strconv.Atoi(r.URL.Query().Get("resourceVersion"))
	f.mu.Lock()
	gone, end := at < f.oldest, f.endWatch
	f.mu.Unlock()
	if gone {
		fmt.Fprintln(w, `{"type":"ERROR","object":{"kind":"Status","code":410}}`)
		return
	}
	w.(http.Flusher).Flush()
	for {
		f.mu.Lock()
		next, changed := f.events[min(at, len(f.events)):], f.changed
		f.mu.Unlock()
		for _, text := range next {
			if text != "" {
				_, _ = io.WriteString(w, text+"\n")
			}
		}
		at += len(next)
		w.(http.Flusher).Flush()
		select {
		case <-changed:
		case <-end:
			return
		case <-r.Context().Done():
			return
		}
	}
}

func (f *fakeAPI) lease(w http.ResponseWriter, r *http.Request, name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.Method == http.MethodPatch && f.leases[name] == 0 {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if r.Method == http.MethodPost {
		var o struct{ Metadata struct{ Name string } }
		_ = json.NewDecoder(r.Body).Decode(&o)
		name = o.Metadata.Name
	}
	f.leases[name]++
}

// log writes a line every 10 ms, from tailLines before the newest.
func (f *fakeAPI) log(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	tail, _ := strconv.ParseInt(r.URL.Query().Get("tailLines"), 10, 64)
	next, end := max(f.lines-tail+1, 1), f.endWatch
	f.mu.Unlock()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		f.mu.Lock()
		last := f.lines
		f.mu.Unlock()
		for ; next <= last; next++ {
			fmt.Fprintf(w, "%s%d\n", TickPrefix, next)
		}
		w.(http.Flusher).Flush()
		select {
		case <-ticker.C:
		case <-end:
			return
		case <-r.Context().Done():
			return
		}
	}
}

// count lets the pod's log grow until the test ends.
func (f *fakeAPI) count(t *testing.T) {
	stop := make(chan struct{})
	t.Cleanup(func() { close(stop) })
	go func() {
		for {
			select {
			case <-time.After(10 * time.Millisecond):
				f.set(func(f *fakeAPI) { f.lines++ })
			case <-stop:
				return
			}
		}
	}()
}
