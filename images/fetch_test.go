package images

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"sync/atomic"
	"testing"
	"time"
)

func deb(content string) *DebPackage {
	sum := sha256.Sum256([]byte(content))
	return &DebPackage{Name: "bash", Version: "5.2", Arch: "amd64", Path: "pool/main/b/bash/bash_5.2+b1.deb", Size: int64(len(content)), SHA256: hex.EncodeToString(sum[:])}
}

func testFetcher(t *testing.T, archives ...string) *fetcher {
	t.Helper()
	s, release, err := openStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	f := newFetcher(s, archives)
	f.pause = time.Millisecond
	return f
}

// TestFetchIsPatient serves a package only after a row of failures.
func TestFetchIsPatient(t *testing.T) {
	const content = "the package"
	failures := []func(w http.ResponseWriter){
		func(w http.ResponseWriter) {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
		},
		func(w http.ResponseWriter) { w.WriteHeader(http.StatusBadGateway) },
		func(w http.ResponseWriter) { // the connection breaks in the middle
			w.Header().Set("Content-Length", "11")
			w.Write([]byte("the"))
			panic(http.ErrAbortHandler)
		},
	}
	var calls atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := int(calls.Add(1))
		if r.URL.Path != "/debian/pool/main/b/bash/bash_5.2+b1.deb" {
			t.Errorf("asked for %q", r.URL.Path)
		}
		if n <= len(failures) {
			failures[n-1](w)
			return
		}
		w.Write([]byte(content))
	}))
	defer server.Close()
	f := testFetcher(t, server.URL+"/debian")
	began := time.Now()
	if err := f.all(t.Context(), []DebPackage{*deb(content)}); err != nil {
		t.Fatal(err)
	}
	if waited := time.Since(began); waited < time.Second {
		t.Errorf("waited %v, want the second that Retry-After asks for", waited)
	}
	if data, err := os.ReadFile(f.store.debPath(deb(content))); err != nil || string(data) != content {
		t.Errorf("stored %q (%v)", data, err)
	}
	if err := f.all(t.Context(), []DebPackage{*deb(content)}); err != nil || int(calls.Load()) != len(failures)+1 {
		t.Errorf("%d requests (%v), want none for what is there", calls.Load(), err)
	}
}

func TestFetchTakesTheArchiveThatHasIt(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/security/", func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("x")) })
	server := httptest.NewServer(mux)
	defer server.Close()
	if err := testFetcher(t, server.URL+"/debian", server.URL+"/security").all(t.Context(), []DebPackage{*deb("x")}); err != nil {
		t.Error(err)
	}
}

func TestFetchRefuses(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path[:5] == "/gone" {
			http.NotFound(w, r)
			return
		}
		w.Write([]byte("something else"))
	}))
	defer server.Close()
	for name, c := range map[string]struct {
		archive string
		found   bool
	}{
		"other content": {server.URL + "/debian", true},
		"not there":     {server.URL + "/gone", false},
	} {
		f := testFetcher(t, c.archive)
		err := f.all(t.Context(), []DebPackage{*deb("fourteen bytes")})
		var input *InputError
		if !errors.As(err, &input) || (input.Found != "") != c.found {
			t.Errorf("%s: error %v, want an InputError", name, err)
		}
		if left, err := os.ReadDir(f.store.path("debs")); err != nil || len(left) != 0 {
			t.Errorf("%s: %d files are left (%v)", name, len(left), err)
		}
	}
}
