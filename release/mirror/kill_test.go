package mirror_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/oci/ocitest"
	"github.com/slipway-release/slipway/release/mirror"
	"github.com/slipway-release/slipway/release/releasetest"
)

// childVariable holds, for the test's own program started again, what to copy.
const childVariable = "SLIPWAY_TEST_MIRROR"

type child struct {
	Address, Reference, Kind, Path string
}

func TestMain(m *testing.M) {
	if task := os.Getenv(childVariable); task != "" {
		if err := runChild(task); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func runChild(task string) error {
	var c child
	if err := json.Unmarshal([]byte(task), &c); err != nil {
		return err
	}
	ctx := context.Background()
	source, err := oci.NewRegistry(c.Address+"/any", "", quick)
	if err != nil {
		return err
	}
	to, closeTarget, err := c.target(ctx)
	if err != nil {
		return err
	}
	defer closeTarget()
	_, err = mirror.Run(ctx, mirror.Options{Source: source, Reference: c.Reference, To: to, Unverified: true, Jobs: 4})
	return err
}

func (c child) target(ctx context.Context) (mirror.Destination, func() error, error) {
	switch c.Kind {
	case "layout":
		l, err := oci.CreateLayout(c.Path)
		if err != nil {
			return nil, nil, err
		}
		return mirror.ToLayout(l), l.Close, nil
	case "archive", "series":
		var limit int64
		if c.Kind == "series" {
			limit = 500_000
		}
		a, err := oci.CreateArchive(ctx, c.Path, limit)
		if err != nil {
			return nil, nil, err
		}
		return mirror.ToArchive(a), a.Close, nil
	}
	registry, err := oci.NewRegistry(c.Path, "", quick)
	if err != nil {
		return nil, nil, err
	}
	to, err := mirror.ToRegistry(registry, c.Path, "")
	return to, func() error { return nil }, err
}

// start runs the copy in a process of its own.
func (c child) start(t *testing.T) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	task, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+string(task))
	said := &bytes.Buffer{}
	cmd.Stderr = said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, said
}

// killed runs the copy and kills it when the source has sent so many blobs. What it
// asks for beyond them is never answered, so that it cannot come to its end however
// late the kill is.
func (c child) killed(t *testing.T, source *ocitest.Server, after int) {
	t.Helper()
	blobs := ocitest.Match{Method: "GET", Kind: ocitest.Blob}
	source.Heal()
	source.Inject(ocitest.Fault{On: blobs, Skip: after, Do: ocitest.Hang()}, ocitest.Fault{On: blobs, Do: ocitest.Slow(3_000_000)})
	cmd, said := c.start(t)
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for source.Total(blobs).Requests <= after {
		select {
		case err := <-ended:
			t.Fatalf("it ended before it could be killed: %v\n%s", err, said)
		case <-time.After(time.Millisecond):
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-ended
}

func TestKilledInTheMiddleAndStartedAgain(t *testing.T) {
	for _, kind := range []string{"registry", "layout", "archive", "series"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := newOrigin(t, releasetest.Options{Components: 12, Operators: 4, LayerBytes: 150_000})
			w.speak(t)
			target := ocitest.Registry(t)
			c := child{Address: w.server.Addr(), Reference: w.reference, Kind: kind, Path: filepath.Join(t.TempDir(), "copy")}
			if kind == "registry" {
				c.Path = target.Addr() + "/copy"
			}
			for _, after := range []int{8, 6, 6} {
				there := c.there(t, w, target)
				w.server.Forget()
				c.killed(t, w.server, after)
				c.notAgain(t, w, there)
			}
			there := c.there(t, w, target)
			if len(there) == 0 || len(there) >= len(w.set.Blobs) {
				t.Fatalf("killed with %d of %d blobs copied, which tests nothing", len(there), len(w.set.Blobs))
			}
			w.server.Forget()
			w.server.Heal()
			cmd, said := c.start(t)
			if err := cmd.Wait(); err != nil {
				t.Fatalf("%v\n%s", err, said)
			}
			c.notAgain(t, w, there)
			c.complete(t, w, target)
		})
	}
}

// there returns the blobs that are at the target.
func (c child) there(t *testing.T, w *origin, target *ocitest.Server) map[v1.Hash]bool {
	t.Helper()
	has := func(v1.Descriptor) bool { return false }
	switch c.Kind {
	case "registry":
		registry := client(t, target.Addr())
		has = func(d v1.Descriptor) bool {
			body, err := registry.Blob(t.Context(), c.Path, d)
			if err != nil {
				return false
			}
			body.Close()
			return true
		}
	case "layout":
		if l, err := oci.OpenLayout(c.Path); err == nil {
			defer l.Close()
			has = l.Has
		}
	default:
		var limit int64
		if c.Kind == "series" {
			limit = 500_000
		}
		a, err := oci.CreateArchive(t.Context(), c.Path, limit)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		has = a.Has
	}
	found := map[v1.Hash]bool{}
	for digest, size := range w.set.Blobs {
		if has(v1.Descriptor{Digest: digest, Size: size}) {
			found[digest] = true
		}
	}
	return found
}

// notAgain fails the test when the source was asked for what was there.
func (c child) notAgain(t *testing.T, w *origin, there map[v1.Hash]bool) {
	t.Helper()
	for _, r := range w.server.Requests(ocitest.Match{Method: "GET", Kind: ocitest.Blob}) {
		if digest, err := v1.NewHash(r.Digest); err == nil && there[digest] {
			t.Errorf("blob %s was copied again", digest)
		}
	}
}

func (c child) complete(t *testing.T, w *origin, target *ocitest.Server) {
	t.Helper()
	if c.Kind == "registry" {
		w.holds(t, client(t, target.Addr()), within(c.Path))
		return
	}
	l, err := oci.OpenLayout(c.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	w.holds(t, l, within("any.example/repository"))
}
