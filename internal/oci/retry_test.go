package oci_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/slipway-release/slipway/internal/oci"
)

// TestPushOverFaults pushes through a registry that fails each kind of request
// once or twice, and reads back what arrived.
func TestPushOverFaults(t *testing.T) {
	writes := func(r *http.Request) bool { return r.Method != http.MethodGet && r.Method != http.MethodHead }
	for _, test := range []struct {
		name  string
		fault func(w http.ResponseWriter, r *http.Request, n int) bool
	}{
		{"429 on everything, first time", func(w http.ResponseWriter, _ *http.Request, n int) bool {
			return n == 1 && refuse(w, 429, "")
		}},
		{"500 on every write, twice", func(w http.ResponseWriter, r *http.Request, n int) bool {
			return writes(r) && n <= 2 && refuse(w, 500, "")
		}},
		{"503 on every read, three times", func(w http.ResponseWriter, r *http.Request, n int) bool {
			return !writes(r) && n <= 3 && refuse(w, 503, "")
		}},
		{"cut before the answer", func(w http.ResponseWriter, _ *http.Request, n int) bool {
			if n == 1 {
				cut(w)
			}
			return n == 1
		}},
		{"cut in mid-upload", func() func(w http.ResponseWriter, r *http.Request, n int) bool {
			var cuts atomic.Int32
			return func(w http.ResponseWriter, r *http.Request, _ int) bool {
				if r.Method != http.MethodPatch || cuts.Add(1) > 2 {
					return false
				}
				_, _ = io.CopyN(io.Discard, r.Body, 100_000)
				cut(w)
				return true
			}
		}()},
		{"upload forgotten before its end", func() func(w http.ResponseWriter, r *http.Request, n int) bool {
			var lost atomic.Int32
			return func(w http.ResponseWriter, r *http.Request, _ int) bool {
				if r.Method != http.MethodPut || !strings.Contains(r.URL.Path, "/uploads/") || lost.Add(1) > 1 {
					return false
				}
				w.WriteHeader(http.StatusNotFound)
				_, _ = io.WriteString(w, `{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN","message":"blob upload unknown to registry"}]}`)
				return true
			}
		}()},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFront(t, serve(t, t.TempDir()))
			f.fault = test.fault
			r := client(t, f.addr)
			img := newImage(t, 500_000, 0)
			if _, err := r.Push(t.Context(), canonical+"/etcd:v1", img); err != nil {
				t.Fatal(err)
			}
			got, err := r.Image(t.Context(), canonical+"/etcd:v1")
			if err != nil {
				t.Fatal(err)
			}
			if digestOf(t, got) != digestOf(t, img) {
				t.Error("another image arrived")
			}
			if err := readAll(got); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestRetryAfter looks at when the client came back.
func TestRetryAfter(t *testing.T) {
	for _, test := range []struct {
		name   string
		status int
		which  func(r *http.Request) bool
	}{
		{"reading, 429", 429, func(r *http.Request) bool {
			return r.Method == http.MethodHead && strings.Contains(r.URL.Path, "/manifests/")
		}},
		{"sending a blob, 503", 503, func(r *http.Request) bool { return r.Method == http.MethodPatch }},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFront(t, serve(t, t.TempDir()))
			var refused, back time.Time
			f.fault = func(w http.ResponseWriter, r *http.Request, _ int) bool {
				if !test.which(r) {
					return false
				}
				if refused.IsZero() {
					refused = time.Now()
					return refuse(w, test.status, "1")
				}
				if back.IsZero() {
					back = time.Now()
				}
				return false
			}
			r := client(t, f.addr, oci.WithJobs(1))
			if _, err := r.Push(t.Context(), canonical+"/etcd:v1", newImage(t, 100)); err != nil {
				t.Fatal(err)
			}
			if _, err := r.Resolve(t.Context(), canonical+"/etcd:v1"); err != nil {
				t.Fatal(err)
			}
			if wait := back.Sub(refused); wait < time.Second || wait > 3*time.Second {
				t.Errorf("came back after %s, asked for 1 s", wait)
			}
		})
	}
}

// TestGivesUp has a registry that never recovers: the client must end, say so in
// one sentence, and leave no tag.
func TestGivesUp(t *testing.T) {
	backend := serve(t, t.TempDir())
	for _, test := range []struct {
		name  string
		parts []string
		fault func(w http.ResponseWriter, r *http.Request, n int) bool
	}{
		{"503 on every write", []string{"slow down (503)"}, func(w http.ResponseWriter, r *http.Request, _ int) bool {
			return r.Method != http.MethodGet && r.Method != http.MethodHead && refuse(w, 503, "")
		}},
		{"blobs are cut", []string{"registry 127.0.0.1:"}, func(w http.ResponseWriter, r *http.Request, _ int) bool {
			if r.Method == http.MethodPatch {
				cut(w)
			}
			return r.Method == http.MethodPatch
		}},
		{"last blob is refused", []string{"denied"}, func(w http.ResponseWriter, r *http.Request, _ int) bool {
			if r.Method != http.MethodPut || !strings.Contains(r.URL.Path, "/uploads/") {
				return false
			}
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `{"errors":[{"code":"DENIED","message":"denied"}]}`)
			return true
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFront(t, backend)
			f.fault = test.fault
			_, err := client(t, f.addr).Push(t.Context(), canonical+"/etcd:v1", newImage(t, 100_000))
			oneSentence(t, err, append(test.parts, `pushing image "`+canonical+`/etcd:v1" to registry `+f.addr)...)
			if n := len(f.requests(func(q request) bool { return true })); n > 200 {
				t.Errorf("%d requests were sent", n)
			}
			if puts := f.requests(func(q request) bool {
				return q.method == http.MethodPut && strings.Contains(q.path, "/manifests/")
			}); len(puts) > 0 {
				t.Errorf("the manifest was sent: %+v", puts)
			}
			if _, err := client(t, backend).Resolve(t.Context(), canonical+"/etcd:v1"); !errors.Is(err, oci.ErrNotFound) {
				t.Errorf("the tag exists: %v", err)
			}
		})
	}
}

// TestTagLast looks at the order of a push that goes well.
func TestTagLast(t *testing.T) {
	f := newFront(t, serve(t, t.TempDir()))
	if _, err := client(t, f.addr).Push(t.Context(), canonical+"/etcd:v1", newImage(t, 100_000, 0, 0, 0)); err != nil {
		t.Fatal(err)
	}
	all := f.requests(func(q request) bool { return q.method == http.MethodPut })
	tagged := slices.IndexFunc(all, func(q request) bool { return strings.HasSuffix(q.path, "/manifests/v1") })
	if tagged != len(all)-1 || len(all) < 6 {
		t.Errorf("the tag was number %d of %d", tagged+1, len(all))
	}
}

// TestBlobGoesOn cuts a layer in mid-read: the rest must be asked for, and not
// the whole again.
func TestBlobGoesOn(t *testing.T) {
	f := newFront(t, serve(t, t.TempDir()))
	img := newImage(t, 9<<20)
	r := client(t, f.addr)
	if _, err := r.Push(t.Context(), canonical+"/etcd:v1", img); err != nil {
		t.Fatal(err)
	}
	var cuts atomic.Int32
	f.mangle = func(resp *http.Response, _ int) {
		if resp.Request.Method == http.MethodGet && resp.ContentLength > 1<<20 && cuts.Add(1) <= 3 {
			halved(resp)
		}
	}
	got, err := r.Image(t.Context(), canonical+"/etcd:v1")
	if err == nil {
		err = readAll(got)
	}
	if err != nil {
		t.Fatal(err)
	}
	resumed := f.requests(func(q request) bool { return q.rang != "" })
	if cuts.Load() < 3 || len(resumed) < 3 {
		t.Errorf("%d cuts, resumed with %+v", cuts.Load(), resumed)
	}
}

// TestShortAnswersAreReadAgain cuts manifests and configurations.
func TestShortAnswersAreReadAgain(t *testing.T) {
	f := newFront(t, serve(t, t.TempDir()))
	r := client(t, f.addr)
	if _, err := r.Push(t.Context(), canonical+"/etcd:v1", newImage(t, 10_000)); err != nil {
		t.Fatal(err)
	}
	f.mangle = func(resp *http.Response, n int) {
		if resp.Request.Method == http.MethodGet && resp.ContentLength > 100 && n == 1 {
			halved(resp)
		}
	}
	got, err := r.Image(t.Context(), canonical+"/etcd:v1")
	if err == nil {
		err = readAll(got)
	}
	if err != nil {
		t.Error(err)
	}
}

// TestWrongBytes has the line change what it carries.
func TestWrongBytes(t *testing.T) {
	f := newFront(t, serve(t, t.TempDir()))
	r := client(t, f.addr)
	img := newImage(t, 10_000)
	if _, err := r.Push(t.Context(), canonical+"/etcd:v1", img); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"/blobs/", "/manifests/"} {
		f.mangle = func(resp *http.Response, _ int) {
			if resp.Request.Method == http.MethodGet && strings.Contains(resp.Request.URL.Path, kind) {
				flipped(resp)
			}
		}
		got, err := r.Image(t.Context(), canonical+"/etcd@"+digestOf(t, img))
		if err == nil {
			err = readAll(got)
		}
		if err == nil {
			t.Errorf("%s: wrong bytes were accepted", kind)
		}
	}
}

// TestStalled has a registry that takes requests and says nothing.
func TestStalled(t *testing.T) {
	f := newFront(t, serve(t, t.TempDir()))
	f.fault = func(_ http.ResponseWriter, r *http.Request, _ int) bool {
		if strings.Contains(r.URL.Path, "/manifests/") {
			<-r.Context().Done()
			return true
		}
		return false
	}
	r := client(t, f.addr, oci.WithPatience(2, time.Millisecond, time.Millisecond, 200*time.Millisecond))
	begun := time.Now()
	_, err := r.Resolve(t.Context(), canonical+"/etcd:v1")
	oneSentence(t, err, "no data moved for 200ms", "tried 2 times")
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
}

// TestSlowIsNotStalled sends a layer so slowly that the whole takes longer than
// the idle time.
func TestSlowIsNotStalled(t *testing.T) {
	f := newFront(t, serve(t, t.TempDir()))
	img := newImage(t, 5<<20)
	if _, err := client(t, f.addr).Push(t.Context(), canonical+"/etcd:v1", img); err != nil {
		t.Fatal(err)
	}
	f.mangle = func(resp *http.Response, _ int) {
		if resp.ContentLength > 1<<20 {
			resp.Body = &slow{ReadCloser: resp.Body, step: resp.ContentLength / 16}
		}
	}
	r := client(t, f.addr, oci.WithPatience(1, time.Millisecond, time.Millisecond, time.Second))
	begun := time.Now()
	got, err := r.Image(t.Context(), canonical+"/etcd:v1")
	if err == nil {
		err = readAll(got)
	}
	if err != nil {
		t.Error(err)
	}
	if time.Since(begun) < time.Second {
		t.Error("the test was too fast to show anything")
	}
}

type slow struct {
	io.ReadCloser
	step, left int64
}

func (s *slow) Read(p []byte) (int, error) {
	if s.left <= 0 {
		time.Sleep(100 * time.Millisecond)
		s.left = s.step
	}
	n, err := s.ReadCloser.Read(p[:min(int64(len(p)), s.left)])
	s.left -= int64(n)
	return n, err
}

// TestRefusedForAWhile starts the registry after the client.
func TestRefusedForAWhile(t *testing.T) {
	backend := serve(t, t.TempDir())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	listener.Close()

	f := newFront(t, backend)
	server := &http.Server{Handler: f, ReadHeaderTimeout: time.Minute}
	t.Cleanup(func() { server.Close() })
	go func() {
		time.Sleep(300 * time.Millisecond)
		if l, err := net.Listen("tcp", addr); err == nil {
			_ = server.Serve(l)
		}
	}()
	r := client(t, addr, oci.WithPatience(8, 50*time.Millisecond, time.Second, time.Minute))
	if _, err := r.Push(t.Context(), canonical+"/etcd:v1", newImage(t, 100)); err != nil {
		t.Error(err)
	}
}
