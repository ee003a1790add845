package registryserver_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/slipway-release/slipway/internal/oci/ocitest"
	"github.com/slipway-release/slipway/internal/oci/registryserver"
)

func serve(t *testing.T, root string) *registryserver.Server {
	t.Helper()
	s, err := registryserver.Serve(t.Context(), registryserver.Options{Root: root, Log: &logs{t: t}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// logs shows what the registry complains about, until the test is over.
type logs struct {
	t  *testing.T
	mu sync.Mutex
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.t.Context().Err() == nil {
		l.t.Log(strings.TrimSpace(string(p)))
	}
	return len(p), nil
}

func image(t *testing.T, size int64) v1.Image {
	t.Helper()
	img, err := random.Image(size, 1)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func reference(t *testing.T, s string) name.Reference {
	t.Helper()
	ref, err := name.ParseReference(s)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// TestDataSurvives opens a folder again, as after a crash.
func TestDataSurvives(t *testing.T) {
	root := t.TempDir()
	img := image(t, 4096)
	first := serve(t, root)
	if err := remote.Write(reference(t, first.Addr()+"/skiff/etcd:v1"), img); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := serve(t, root)
	got, err := remote.Image(reference(t, second.Addr()+"/skiff/etcd:v1"))
	if err != nil {
		t.Fatal(err)
	}
	want, _ := img.Digest()
	if digest, _ := got.Digest(); digest != want {
		t.Errorf("got %s, want %s", digest, want)
	}
}

// TestKilled ends a registry with SIGKILL while images are pushed to it. What it
// said it has must be there, and pushing must go on.
func TestKilled(t *testing.T) {
	root := t.TempDir()
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledHelper$")
	c.Env = append(os.Environ(), "REGISTRY_TEST_ROOT="+root)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	addr, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	kept := map[string]v1.Image{}
	interrupted := image(t, 8<<20)
	timer := time.AfterFunc(500*time.Millisecond, func() { _ = c.Process.Kill() })
	defer timer.Stop()
	for i := range 10_000 {
		img := image(t, 300_000)
		tag := fmt.Sprintf("/skiff/etcd:v%d", i)
		if err := remote.Write(reference(t, strings.TrimSpace(addr)+tag), img, remote.WithRetryBackoff(remote.Backoff{Duration: time.Millisecond, Steps: 1})); err != nil {
			interrupted = img
			break
		}
		kept[tag] = img
	}
	_ = c.Wait()
	if len(kept) == 0 {
		t.Skip("the machine is too slow to push anything before the kill")
	}

	s := serve(t, root)
	for tag, img := range kept {
		if err := readBack(reference(t, s.Addr()+tag)); err != nil {
			t.Errorf("%s: %v", tag, err)
		}
		want, _ := img.Digest()
		if got, err := remote.Head(reference(t, s.Addr()+tag)); err != nil || got.Digest != want {
			t.Errorf("%s: %v, %v", tag, got, err)
		}
	}
	again := reference(t, s.Addr()+"/skiff/etcd:again")
	if err := remote.Write(again, interrupted); err != nil {
		t.Fatal(err)
	}
	if err := readBack(again); err != nil {
		t.Errorf("what was interrupted, pushed again: %v", err)
	}
}

// TestKilledHelper is the process that TestKilled kills.
func TestKilledHelper(t *testing.T) {
	root := os.Getenv("REGISTRY_TEST_ROOT")
	if root == "" {
		t.Skip("runs inside TestKilled only")
	}
	s, err := registryserver.Serve(t.Context(), registryserver.Options{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println(s.Addr())
	<-t.Context().Done()
}

func TestEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s, err := registryserver.Serve(ctx, registryserver.Options{Root: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	deadline := time.Now().Add(time.Minute)
	for {
		resp, err := http.Get("http://" + s.Addr() + "/v2/")
		if err != nil {
			break
		}
		resp.Body.Close()
		if time.Now().After(deadline) {
			t.Fatal("the registry still answers")
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, want string
		options    registryserver.Options
	}{
		{"remote address", "loopback", registryserver.Options{Root: t.TempDir(), Addr: "0.0.0.0:0"}},
		{"no port", "HOST:PORT", registryserver.Options{Root: t.TempDir(), Addr: "127.0.0.1"}},
		{"no folder", "no folder", registryserver.Options{}},
		{"file for a folder", "not a directory", registryserver.Options{Root: filepath.Join(file, "sub")}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := registryserver.Serve(t.Context(), test.options)
			if err == nil {
				s.Close()
				t.Fatal("it was served")
			}
			if !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q does not say %q", err, test.want)
			}
		})
	}
}

// TestDamagedBlobsAreDropped damages each file of an image in turn, and sees
// that a further push brings it back, by a client that knows nothing of it.
func TestDamagedBlobsAreDropped(t *testing.T) {
	root := t.TempDir()
	s := serve(t, root)
	img := image(t, 1<<20) // the layer is larger than what is checked on lookup
	tag := reference(t, s.Addr()+"/skiff/etcd:v1")
	if err := remote.Write(tag, img); err != nil {
		t.Fatal(err)
	}
	for _, damage := range []struct {
		name string
		do   func(data []byte) []byte
	}{
		{"truncated", func(d []byte) []byte { return d[:len(d)/2] }},
		{"empty", func([]byte) []byte { return nil }},
		{"flipped", func(d []byte) []byte { d[len(d)/2] ^= 1; return d }},
	} {
		for i, file := range blobs(t, root) {
			t.Run(damage.name, func(t *testing.T) {
				data, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, damage.do(data), 0o600); err != nil {
					t.Fatal(err)
				}
				if err := readBack(tag); err == nil {
					t.Fatal("reading the damaged image succeeded")
				}
				// A tag of its own, for the library sends nothing when the tag
				// it is given names the image already.
				again := tag.Context().Tag(fmt.Sprintf("again-%s-%d", damage.name, i))
				if err := remote.Write(again, img); err != nil {
					t.Fatal(err)
				}
				if err := readBack(again); err != nil {
					t.Errorf("after pushing again: %v", err)
				}
			})
		}
	}
}

func blobs(t *testing.T, root string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "docker/registry/v2/blobs/sha256/*/*/data"))
	if err != nil || len(files) != 3 {
		t.Fatalf("found %v, %v, want manifest, configuration and layer", files, err)
	}
	return files
}

// readBack reads an image to its last byte.
func readBack(ref name.Reference) error {
	img, err := remote.Image(ref)
	if err != nil {
		return err
	}
	return ocitest.ReadAll(img)
}

func TestReferrersAPI(t *testing.T) {
	s := serve(t, t.TempDir())
	subject := image(t, 64)
	repo := reference(t, s.Addr()+"/skiff/release:v1")
	if err := remote.Write(repo, subject); err != nil {
		t.Fatal(err)
	}
	digest, _ := subject.Digest()

	if got := list(t, s, digest, ""); len(got.Manifests) != 0 || got.MediaType != "application/vnd.oci.image.index.v1+json" {
		t.Fatalf("an image nobody referred to has %+v", got)
	}
	first := attach(t, s, subject, "application/x.one")
	attach(t, s, subject, "application/x.one") // again: nothing changes
	attach(t, s, subject, "application/x.two")

	if got := list(t, s, digest, ""); len(got.Manifests) != 2 {
		t.Errorf("all: got %+v", got.Manifests)
	}
	got := list(t, s, digest, "application/x.one")
	if len(got.Manifests) != 1 || got.Manifests[0].Digest != first || got.Manifests[0].ArtifactType != "application/x.one" || got.Manifests[0].Annotations["kind"] != "application/x.one" {
		t.Errorf("filtered: got %+v", got.Manifests)
	}

	// What was deleted is gone from the list, and does not stand in the way of
	// what comes next.
	if err := remote.Delete(repo.Context().Digest(first.String())); err != nil {
		t.Fatal(err)
	}
	if got := list(t, s, digest, "application/x.one"); len(got.Manifests) != 0 {
		t.Errorf("after deleting: got %+v", got.Manifests)
	}
	attach(t, s, subject, "application/x.three")
	if got := list(t, s, digest, ""); len(got.Manifests) != 2 {
		t.Errorf("after attaching another: got %+v", got.Manifests)
	}
}

func TestReferrersAtOnce(t *testing.T) {
	s := serve(t, t.TempDir())
	subject := image(t, 64)
	if err := remote.Write(reference(t, s.Addr()+"/skiff/release:v1"), subject); err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	for i := range 20 {
		wait.Go(func() { attach(t, s, subject, "application/x."+string(rune('a'+i))) })
	}
	wait.Wait()
	digest, _ := subject.Digest()
	if got := list(t, s, digest, ""); len(got.Manifests) != 20 {
		t.Errorf("got %d entries, want 20", len(got.Manifests))
	}
}

func list(t *testing.T, s *registryserver.Server, subject v1.Hash, artifactType string) *v1.IndexManifest {
	t.Helper()
	resp, err := http.Get("http://" + s.Addr() + "/v2/skiff/release/referrers/" + subject.String() + "?artifactType=" + artifactType)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/vnd.oci.image.index.v1+json" {
		t.Fatalf("got %s, %s", resp.Status, resp.Header.Get("Content-Type"))
	}
	if applied := resp.Header.Get("OCI-Filters-Applied"); (applied == "artifactType") != (artifactType != "") {
		t.Errorf("OCI-Filters-Applied is %q for artifact type %q", applied, artifactType)
	}
	index, err := v1.ParseIndexManifest(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return index
}

// attach puts a manifest about subject by plain requests, as any client would.
func attach(t *testing.T, s *registryserver.Server, subject v1.Image, artifactType string) v1.Hash {
	t.Helper()
	digest, _ := subject.Digest()
	size, _ := subject.Size()
	manifest, _ := subject.Manifest()
	manifest = manifest.DeepCopy()
	manifest.ArtifactType = artifactType
	manifest.Annotations = map[string]string{"kind": artifactType}
	manifest.Subject = &v1.Descriptor{MediaType: manifest.MediaType, Digest: digest, Size: size}
	manifest.MediaType = "application/vnd.oci.image.manifest.v1+json"
	raw, err := json.Marshal(manifest)
	if err != nil {
		t.Fatal(err)
	}
	own, _, _ := v1.SHA256(bytes.NewReader(raw))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+s.Addr()+"/v2/skiff/release/manifests/"+own.String(), bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Error(err)
		return own
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated || resp.Header.Get("OCI-Subject") != digest.String() {
		said, _ := io.ReadAll(resp.Body)
		t.Errorf("got %s with OCI-Subject %q: %s", resp.Status, resp.Header.Get("OCI-Subject"), said)
	}
	return own
}
