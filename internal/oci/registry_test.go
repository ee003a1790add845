package oci_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/oci/ocitest"
)

func TestLocate(t *testing.T) {
	const hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	for _, test := range []struct{ address, ref, want string }{
		{"127.0.0.1:5000", canonical + "/etcd:v1", "127.0.0.1:5000/skiff/etcd:v1"},
		{"127.0.0.1:5000", canonical + "/etcd@sha256:" + hex, "127.0.0.1:5000/skiff/etcd@sha256:" + hex},
		{"127.0.0.1:5000", canonical + ":v1", "127.0.0.1:5000/skiff:v1"},
		{"quay.io/me/dev", canonical + "/etcd:v1", "quay.io/me/dev/etcd:v1"},
		{"quay.io/me/dev/", canonical + "/etcd:v1", "quay.io/me/dev/etcd:v1"},
		{"", canonical + "/etcd:v1", canonical + "/etcd:v1"},
		// Foreign: another host, and another path that only begins the same way.
		{"127.0.0.1:5000", "quay.io/okd/scos:1", "quay.io/okd/scos:1"},
		{"127.0.0.1:5000", canonical + "er/etcd:v1", canonical + "er/etcd:v1"},
		// A reference that names no version is a mistake, never "latest".
		{"127.0.0.1:5000", canonical + "/etcd", ""},
		{"127.0.0.1:5000", canonical + "/Etcd:v1", ""},
		{"127.0.0.1:5000", "", ""},
	} {
		t.Run(test.ref, func(t *testing.T) {
			r, err := oci.NewRegistry(canonical, test.address)
			if err != nil {
				t.Fatal(err)
			}
			got, err := r.Locate(test.ref)
			if test.want == "" {
				oneSentence(t, err, "reading image reference")
				return
			}
			if err != nil || got.Name() != test.want {
				t.Errorf("got %v, %v, want %s", got, err, test.want)
			}
		})
	}
}

func TestSchemes(t *testing.T) {
	for _, test := range []struct {
		address, want string
		opts          []oci.Option
	}{
		{"127.0.0.1:5000", "http", nil},
		{"localhost:5000", "http", nil},
		{"registry.example.com", "https", nil},
		{"registry.example.com", "http", []oci.Option{oci.WithInsecure()}},
	} {
		r, err := oci.NewRegistry(canonical, test.address, test.opts...)
		if err != nil {
			t.Fatal(err)
		}
		own, err := r.Locate(canonical + "/etcd:v1")
		if err != nil || own.Context().Scheme() != test.want {
			t.Errorf("%s: got %v, %v, want %s", test.address, own.Context().Scheme(), err, test.want)
		}
		foreign, err := r.Locate("quay.io/okd/scos:1")
		if err != nil || foreign.Context().Scheme() != "https" {
			t.Errorf("%s: a foreign registry is reached by %s", test.address, foreign.Context().Scheme())
		}
	}
}

func TestNewRegistryRefuses(t *testing.T) {
	for _, test := range []struct{ canonical, address, want string }{
		{"skiff", "127.0.0.1:5000", "repository"},
		{canonical, "http://127.0.0.1:5000", "without a scheme"},
		{canonical, "127.0.0.1:5000/UPPER", "registry address"},
	} {
		_, err := oci.NewRegistry(test.canonical, test.address)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s at %s: got %v, want %q", test.canonical, test.address, err, test.want)
		}
	}
	if _, err := oci.NewRegistry(canonical, "127.0.0.1:5000", oci.WithJobs(0)); err == nil {
		t.Error("no jobs at all were accepted")
	}
}

func TestRoundTrip(t *testing.T) {
	ctx := t.Context()
	r := client(t, ocitest.Registry(t).Addr())
	img := newImage(t, 3000, 0)
	pushed, err := r.Push(ctx, canonical+"/etcd:v1", img)
	if err != nil {
		t.Fatal(err)
	}
	if pushed.String() != digestOf(t, img) {
		t.Errorf("Push returned %s", pushed)
	}
	pinned := canonical + "/etcd@" + pushed.String()
	if _, err := r.Push(ctx, pinned, img); err != nil {
		t.Errorf("pushing by digest: %v", err)
	}
	if _, err := r.Push(ctx, pinned, newImage(t, 1)); err == nil {
		t.Error("an image was stored under another one's digest")
	}
	if err := r.Tag(ctx, pinned, "v2"); err != nil {
		t.Fatal(err)
	}
	tags, err := r.Tags(ctx, canonical+"/etcd")
	if diff := cmp.Diff([]string{"v1", "v2"}, tags); diff != "" || err != nil {
		t.Errorf("tags: %v %s", err, diff)
	}
	for _, ref := range []string{pinned, canonical + "/etcd:v2"} {
		if got, err := r.Resolve(ctx, ref); err != nil || got != pushed {
			t.Errorf("%s resolves to %v, %v", ref, got, err)
		}
		got, err := r.Image(ctx, ref)
		if err != nil {
			t.Fatal(err)
		}
		if err := readAll(got); err != nil {
			t.Error(err)
		}
	}
	if err := r.Delete(ctx, canonical+"/etcd:v2"); err != nil {
		t.Error(err)
	}
	if _, err := r.Resolve(ctx, canonical+"/etcd:v2"); !errors.Is(err, oci.ErrNotFound) {
		t.Errorf("after deleting: %v", err)
	}
}

func TestNotFound(t *testing.T) {
	ctx := t.Context()
	addr := ocitest.Registry(t).Addr()
	r := client(t, addr)
	_, err := r.Image(ctx, canonical+"/none:v1")
	oneSentence(t, err, `reading image "`+canonical+`/none:v1" from registry `+addr, "404")
	if !errors.Is(err, oci.ErrNotFound) {
		t.Errorf("Image: %v is not ErrNotFound", err)
	}
	if _, err := r.Resolve(ctx, canonical+"/none:v1"); !errors.Is(err, oci.ErrNotFound) {
		t.Errorf("Resolve: %v is not ErrNotFound", err)
	}
	if tags, err := r.Tags(ctx, canonical+"/none"); err != nil || len(tags) != 0 {
		t.Errorf("Tags: %v, %v", tags, err)
	}

	// A registry that is not there is another matter.
	gone := httptest.NewServer(nil)
	gone.Close()
	r = client(t, strings.TrimPrefix(gone.URL, "http://"))
	_, err = r.Resolve(ctx, canonical+"/etcd:v1")
	oneSentence(t, err, "resolving image", "connection refused", "tried 6 times")
	if errors.Is(err, oci.ErrNotFound) {
		t.Error("a registry that is down counts as one without the image")
	}
}

// TestSharedLayersAreMounted pushes one layer to two repositories: the second
// must cost no transfer.
func TestSharedLayersAreMounted(t *testing.T) {
	ctx := t.Context()
	s := ocitest.Registry(t)
	r := client(t, s.Addr())
	img := newImage(t, 50_000, 0)
	for _, repo := range []string{"/one:v1", "/two:v1"} {
		if _, err := r.Push(ctx, canonical+repo, img); err != nil {
			t.Fatal(err)
		}
	}
	sent := s.Requests(ocitest.Match{Method: "PATCH"})
	if len(sent) != 3 {
		t.Errorf("%d blobs were sent, want 3: two layers and the configuration, once", len(sent))
	}
	got, err := r.Image(ctx, canonical+"/two:v1")
	if err != nil {
		t.Fatal(err)
	}
	if err := readAll(got); err != nil {
		t.Error(err)
	}
}

// TestPushHealsDamage truncates each stored file, and pushes the same image to
// the same tag again, as a run does that goes on after a crash.
func TestPushHealsDamage(t *testing.T) {
	ctx := t.Context()
	root := t.TempDir()
	r := client(t, ocitest.Serve(t, root).Addr())
	img := newImage(t, 1<<20)
	ref := canonical + "/etcd:v1"
	if _, err := r.Push(ctx, ref, img); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(root, "docker/registry/v2/blobs/sha256/*/*/data"))
	if err != nil || len(files) != 3 {
		t.Fatalf("found %v, %v", files, err)
	}
	for _, file := range files {
		if err := os.Truncate(file, 100); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Push(ctx, ref, img); err != nil {
			t.Fatal(err)
		}
		got, err := r.Image(ctx, ref)
		if err == nil {
			err = readAll(got)
		}
		if err != nil {
			t.Errorf("after pushing over the damaged %s: %v", filepath.Base(filepath.Dir(file)), err)
		}
	}
}

// TestRemoteOptions uses the library directly, through our transport: it reads
// although every first request fails.
func TestRemoteOptions(t *testing.T) {
	s := ocitest.Registry(t)
	r := client(t, s.Addr())
	if _, err := r.Push(t.Context(), canonical+"/etcd:v1", newImage(t, 100)); err != nil {
		t.Fatal(err)
	}
	ref, err := r.Locate(canonical + "/etcd:v1")
	if err != nil {
		t.Fatal(err)
	}
	s.Inject(ocitest.Fault{Times: 1, Each: true, Do: ocitest.Status(503)})
	tags, err := remote.List(ref.Context(), r.RemoteOptions(t.Context())...)
	if diff := cmp.Diff([]string{"v1"}, tags); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
}

type fixed struct{ user, password string }

func (f fixed) Resolve(authn.Resource) (authn.Authenticator, error) {
	return &authn.Basic{Username: f.user, Password: f.password}, nil
}

func TestCredentials(t *testing.T) {
	s := ocitest.Registry(t)
	s.Inject(ocitest.Fault{Do: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if user, password, _ := r.BasicAuth(); user == "me" && password == "s3cret" {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		w.WriteHeader(http.StatusUnauthorized)
	}})
	img := newImage(t, 100)
	if _, err := client(t, s.Addr(), oci.WithKeychain(fixed{"me", "s3cret"})).Push(t.Context(), canonical+"/etcd:v1", img); err != nil {
		t.Error(err)
	}
	for name, opts := range map[string][]oci.Option{
		"none":  nil,
		"wrong": {oci.WithKeychain(fixed{"me", "wr0ng-s3cret"})},
	} {
		_, err := client(t, s.Addr(), opts...).Push(t.Context(), canonical+"/etcd:v1", img)
		oneSentence(t, err, "pushing image", "401", "log in")
		if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: the error shows the password: %v", name, err)
		}
	}
}

func TestInterrupted(t *testing.T) {
	s := ocitest.Registry(t)
	ctx, cancel := context.WithCancel(t.Context())
	s.Inject(ocitest.Fault{On: ocitest.Match{Method: "PATCH"}, Do: func(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
		cancel()
		_, _ = io.Copy(io.Discard, r.Body) // ends when the client goes
	}})
	begun := time.Now()
	_, err := client(t, s.Addr()).Push(ctx, canonical+"/etcd:v1", newImage(t, 1<<20))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(begun); took > time.Minute { // it would wait for two
		t.Errorf("it took %s to stop", took)
	}
}
