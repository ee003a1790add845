package images_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/slipway-release/slipway/images"
	"github.com/slipway-release/slipway/internal/oci"
)

// killMe makes this test binary a process that builds and waits to be killed.
const killMe = "SLIPWAY_TEST_BUILD_AND_WAIT"

// victim is what the process is told.
type victim struct {
	Registry, Cache string
	Environ         []string
	Stop            string // the line of progress to wait at
}

func TestMain(m *testing.M) {
	if told := os.Getenv(killMe); told != "" {
		if err := buildAndWait(told); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func buildAndWait(told string) error {
	var v victim
	if err := json.Unmarshal([]byte(told), &v); err != nil {
		return err
	}
	r, err := oci.NewRegistry("registry.example.com/test", v.Registry)
	if err != nil {
		return err
	}
	ctx := context.Background()
	recipes := crashRecipes()
	lock, err := images.Lock(ctx, recipes, images.LockOptions{Cache: v.Cache, Environ: v.Environ})
	if err != nil {
		return err
	}
	_, err = images.Build(ctx, recipes, lock, images.BuildOptions{Registry: r, Cache: v.Cache, Environ: v.Environ, Progress: stopper(v.Stop)})
	return err
}

// stopper waits for ever when the build says a certain thing.
type stopper string

func (s stopper) Start(string)       {}
func (s stopper) Done(string, error) {}
func (s stopper) Log(name, text string) {
	if strings.HasPrefix(name+": "+text, string(s)) {
		fmt.Println("here")
		select {}
	}
}

func crashRecipes() []*images.Recipe {
	return []*images.Recipe{
		recipe("one", goLayer(map[string]string{"./cmd/one": "/one"})),
		recipe("two", goLayer(map[string]string{"./cmd/two": "/two"})),
	}
}

// TestKilled kills a build at several points; the next one ends as if nothing
// had happened, and leaves nothing of the dead one.
func TestKilled(t *testing.T) {
	proxy := modules(t)
	undisturbed := newPlace(t, proxy)
	want, err := undisturbed.build(t.Context(), crashRecipes(), undisturbed.lock(t, crashRecipes()))
	check(t, err)
	for _, stop := range []string{"example.com/tool@v1.2.3: compiling", "one: writing layer", "two: pushing"} {
		t.Run(stop, func(t *testing.T) {
			p := newPlace(t, proxy)
			kill(t, p, stop)
			got, err := p.build(t.Context(), crashRecipes(), p.lock(t, crashRecipes()))
			check(t, err)
			for name := range want {
				if got[name].Digest != want[name].Digest {
					t.Errorf("%s is %s, want %s", name, got[name].Digest, want[name].Digest)
				}
			}
			for _, pattern := range []string{"tmp/build-*", "blobs/.*", "layers/.*", "programs/*"} {
				left, err := filepath.Glob(filepath.Join(p.cache, pattern))
				check(t, err)
				if len(left) > 0 {
					t.Errorf("left behind: %q", left)
				}
			}
		})
	}
}

func kill(t *testing.T, p *place, stop string) {
	t.Helper()
	told, err := json.Marshal(victim{Registry: p.registry.Address(), Cache: p.cache, Environ: p.environ, Stop: stop})
	check(t, err)
	cmd := exec.Command(p.self)
	cmd.Env = append(os.Environ(), killMe+"="+string(told))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	defer cmd.Wait()
	defer cmd.Process.Kill()
	reached := make(chan error, 1)
	go func() {
		_, err := out.Read(make([]byte, 4))
		reached <- err
	}()
	select {
	case err := <-reached:
		check(t, err)
	case <-time.After(2 * time.Minute):
		t.Fatalf("the build did not reach %q", stop)
	}
}

// TestDamagedCache cuts a layer short and breaks the records.
func TestDamagedCache(t *testing.T) {
	p := newPlace(t, modules(t))
	lock := p.lock(t, crashRecipes())
	want, err := p.build(t.Context(), crashRecipes(), lock)
	check(t, err)
	blobs, err := filepath.Glob(filepath.Join(p.cache, "blobs", "*"))
	check(t, err)
	records, err := filepath.Glob(filepath.Join(p.cache, "records", "*"))
	check(t, err)
	if len(blobs) == 0 || len(records) == 0 {
		t.Fatalf("%d blobs and %d records: the test looks at nothing", len(blobs), len(records))
	}
	check(t, os.Truncate(blobs[0], 100))
	check(t, os.Remove(blobs[1]))
	for _, r := range records {
		check(t, os.WriteFile(r, []byte("{"), 0o644))
	}
	again, err := p.build(t.Context(), crashRecipes(), lock)
	check(t, err)
	fresh := newPlace(t, modules(t))
	p.registry = fresh.registry // empty: the layers are needed now
	rebuilt, err := p.build(t.Context(), crashRecipes(), lock)
	check(t, err)
	for name := range want {
		if again[name].Digest != want[name].Digest || !again[name].Cached || len(again[name].Packages) != len(want[name].Packages) {
			t.Errorf("%s: %+v, want %s from the registry", name, again[name], want[name].Digest)
		}
		if rebuilt[name].Digest != want[name].Digest || rebuilt[name].Cached {
			t.Errorf("%s: %+v, want %s built again", name, rebuilt[name], want[name].Digest)
		}
	}
}

// TestCancelled ends a build in the middle.
func TestCancelled(t *testing.T) {
	p := newPlace(t, modules(t))
	lock := p.lock(t, crashRecipes())
	ctx, cancel := context.WithCancel(t.Context())
	p.progress = cancelling{cancel}
	_, err := p.build(ctx, crashRecipes(), lock)
	if err == nil || ctx.Err() == nil || !strings.Contains(err.Error(), context.Canceled.Error()) {
		t.Errorf("error %v, want that it was cancelled", err)
	}
}

type cancelling struct{ cancel func() }

func (c cancelling) Start(string)       {}
func (c cancelling) Done(string, error) {}
func (c cancelling) Log(_, text string) {
	if strings.HasPrefix(text, "compiling") {
		c.cancel()
	}
}
