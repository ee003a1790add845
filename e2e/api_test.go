package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// fakeAPI knows namespaces, and has nothing in them.
type fakeAPI struct {
	*httptest.Server
	mu         sync.Mutex
	namespaces map[string]map[string]string // name to labels
	made       int
}

func serveAPI() *fakeAPI {
	f := &fakeAPI{namespaces: map[string]map[string]string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/namespaces/{name}", func(w http.ResponseWriter, r *http.Request) {
		reply(w, 200, namespaceObject(r.PathValue("name"), nil))
	})
	mux.HandleFunc("POST /api/v1/namespaces", f.create)
	mux.HandleFunc("GET /api/v1/namespaces", f.list)
	mux.HandleFunc("DELETE /api/v1/namespaces/{name}", f.delete)
	mux.HandleFunc("GET /api/v1/namespaces/{name}/serviceaccounts/default", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, 200, map[string]any{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": map[string]any{"name": "default"}})
	})
	mux.HandleFunc("GET /api/v1/namespaces/{name}/events", func(w http.ResponseWriter, _ *http.Request) {
		event := map[string]any{"metadata": map[string]any{"name": "e"}, "type": "Warning", "reason": "Because", "message": "of that"}
		reply(w, 200, map[string]any{"apiVersion": "v1", "kind": "EventList", "items": []any{event}})
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		reply(w, 403, map[string]any{"apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": "Forbidden", "code": 403, "message": r.URL.Path + " is forbidden"})
	})
	f.Server = httptest.NewServer(mux)
	return f
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func namespaceObject(name string, labels map[string]string) map[string]any {
	return map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": name, "labels": labels}}
}

func (f *fakeAPI) create(w http.ResponseWriter, r *http.Request) {
	var ns struct {
		Metadata struct {
			GenerateName string            `json:"generateName"`
			Labels       map[string]string `json:"labels"`
		} `json:"metadata"`
	}
	if err := json.NewDecoder(r.Body).Decode(&ns); err != nil {
		reply(w, 400, nil)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.made++
	name := fmt.Sprintf("%s%d", ns.Metadata.GenerateName, f.made)
	f.namespaces[name] = ns.Metadata.Labels
	reply(w, 201, namespaceObject(name, ns.Metadata.Labels))
}

func (f *fakeAPI) list(w http.ResponseWriter, r *http.Request) {
	key, value, exact := strings.Cut(r.URL.Query().Get("labelSelector"), "=")
	f.mu.Lock()
	defer f.mu.Unlock()
	items := []any{}
	for name, labels := range f.namespaces {
		if got, ok := labels[key]; ok && (!exact || got == value) {
			items = append(items, namespaceObject(name, labels))
		}
	}
	reply(w, 200, map[string]any{"apiVersion": "v1", "kind": "NamespaceList", "items": items})
}

func (f *fakeAPI) delete(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.namespaces, r.PathValue("name"))
	reply(w, 200, map[string]any{"apiVersion": "v1", "kind": "Status", "status": "Success"})
}

func (f *fakeAPI) names() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for name := range f.namespaces {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

func TestDigestOf(t *testing.T) {
	digest := "sha256:" + strings.Repeat("0a", 32)
	for image, want := range map[string]string{
		digest:                                  digest,
		"registry.example/a/b@" + digest:        digest,
		"registry.example:5000/a:tag@" + digest: digest,
		"registry.example/a:tag":                "",
		"registry.example/a@" + digest[:70]:     "",
		digest + "/trailer":                     "",
		"":                                      "",
	} {
		if got := digestOf(image); got != want {
			t.Errorf("digestOf(%q) = %q, want %q", image, got, want)
		}
	}
}
