package oci_test

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/oci/registryserver"
)

const canonical = "registry.example.internal/skiff"

// quick is patience for tests: the same number of attempts, shorter pauses.
var quick = oci.WithPatience(6, 5*time.Millisecond, 3*time.Second, 20*time.Second)

func serve(t *testing.T, root string) string {
	t.Helper()
	s, err := registryserver.Serve(t.Context(), registryserver.Options{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s.Addr()
}

func client(t *testing.T, addr string, opts ...oci.Option) *oci.Registry {
	t.Helper()
	r, err := oci.NewRegistry(canonical, addr, append([]oci.Option{quick}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func newImage(t *testing.T, layers ...int64) v1.Image {
	t.Helper()
	img, err := random.Image(layers[0], int64(len(layers)))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func digestOf(t *testing.T, img v1.Image) string {
	t.Helper()
	h, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return h.String()
}

// readAll reads an image to its last byte, which checks every digest.
func readAll(img v1.Image) error {
	if _, err := img.RawConfigFile(); err != nil {
		return err
	}
	layers, err := img.Layers()
	if err != nil {
		return err
	}
	for _, l := range layers {
		body, err := l.Compressed()
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, body)
		body.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// request is what a fault sees of a request.
type request struct {
	method, path string
	rang         string
	begun        time.Time
}

// front stands between client and registry, and remembers what it saw.
type front struct {
	addr  string
	proxy *httputil.ReverseProxy
	// fault answers a request in the registry's place and says that it did. n
	// counts the requests with this method and path, from 1; the ids of uploads
	// do not count, for every attempt has its own.
	fault func(w http.ResponseWriter, r *http.Request, n int) bool
	// mangle changes the registry's answers.
	mangle func(resp *http.Response, n int)

	mu   sync.Mutex
	seen []request
}

func newFront(t *testing.T, backend string) *front {
	t.Helper()
	f := &front{proxy: httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: backend})}
	f.proxy.ErrorLog = log.New(io.Discard, "", 0)
	f.proxy.ModifyResponse = func(resp *http.Response) error {
		if f.mangle != nil {
			f.mangle(resp, f.count(resp.Request.Method, resp.Request.URL.Path))
		}
		return nil
	}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	f.addr = strings.TrimPrefix(server.URL, "http://")
	return f
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.seen = append(f.seen, request{r.Method, r.URL.Path, r.Header.Get("Range"), time.Now()})
	f.mu.Unlock()
	if f.fault != nil && f.fault(w, r, f.count(r.Method, r.URL.Path)) {
		return
	}
	f.proxy.ServeHTTP(w, r)
}

func (f *front) count(method, path string) int {
	path, _, _ = strings.Cut(path, "/uploads/")
	return len(f.requests(func(r request) bool {
		base, _, _ := strings.Cut(r.path, "/uploads/")
		return r.method == method && base == path
	}))
}

func (f *front) requests(which func(request) bool) []request {
	f.mu.Lock()
	defer f.mu.Unlock()
	var found []request
	for _, r := range f.seen {
		if which(r) {
			found = append(found, r)
		}
	}
	return found
}

// cut ends the connection in the middle of an answer.
func cut(w http.ResponseWriter) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		c.Close()
	}
}

func refuse(w http.ResponseWriter, status int, retryAfter string) bool {
	if retryAfter != "" {
		w.Header().Set("Retry-After", retryAfter)
	}
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}`)
	return true
}

// halved ends a body in its middle, without a proper end.
func halved(resp *http.Response) {
	half := resp.ContentLength / 2
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(io.LimitReader(resp.Body, half), broken{}), resp.Body}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// flipped changes one bit of a body.
func flipped(resp *http.Response) {
	data, _ := io.ReadAll(resp.Body)
	data[len(data)/2] ^= 1
	resp.Body = io.NopCloser(bytes.NewReader(data))
}

func oneSentence(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("there was no error")
	}
	if strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "http://") {
		t.Errorf("error %q is no sentence", err)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
}
