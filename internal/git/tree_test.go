package git_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/slipway-release/slipway/internal/git"
	"github.com/slipway-release/slipway/internal/git/gittest"
)

// component makes a repository with a folder, a second version of it on a branch, and
// a third one in a ref that is neither branch nor tag.
func component(t *testing.T) *gittest.Repository {
	t.Helper()
	r := gittest.New(t, t.TempDir())
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(r.Dir, "components", "dns", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("component.yaml", "one")
	write("manifests/a.yaml", "a")
	if err := os.Symlink("a.yaml", filepath.Join(r.Dir, "components/dns/manifests/b.yaml")); err != nil {
		t.Fatal(err)
	}
	r.Commit("first")
	r.Git("tag", "v1")
	r.Git("checkout", "--quiet", "-b", "topic/dns")
	write("component.yaml", "two")
	r.Commit("second")
	r.Git("checkout", "--quiet", "--detach")
	write("component.yaml", "three")
	r.Git("update-ref", "refs/pull/7/head", r.Commit("third"))
	r.Git("checkout", "--quiet", "main")
	return r
}

func exported(t *testing.T, r *git.Repository, commit string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "out")
	for range 2 { // the second time it is there
		if err := r.Export(t.Context(), commit, "components/dns", dir); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, "component.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if linked, err := os.ReadFile(filepath.Join(dir, "manifests", "b.yaml")); err != nil || string(linked) != "a" {
		t.Errorf("the link leads to %q: %v", linked, err)
	}
	return string(data)
}

func TestExportFromACheckout(t *testing.T) {
	made := component(t)
	r, inside, err := git.Around(filepath.Join(made.Dir, "components", "dns"))
	if err != nil || inside != "components/dns" {
		t.Fatalf("%q, %v", inside, err)
	}
	for ref, want := range map[string]string{"main": "one", "v1": "one", "topic/dns": "two", "topic/dns~1": "one", "topic/dns^": "one", made.Head(): "one"} {
		commit, err := r.Find(t.Context(), ref)
		if err != nil {
			t.Errorf("%s: %v", ref, err)
			continue
		}
		if got := exported(t, r, commit); got != want {
			t.Errorf("%s: got %q, want %q", ref, got, want)
		}
	}
	for _, ref := range []string{"none", strings.Repeat("0", 40), "--help", "main..v1", "main:components", "@{u}", ""} {
		if _, err := r.Find(t.Context(), ref); err == nil {
			t.Errorf("%q was found", ref)
		}
	}
	if _, err := r.Find(t.Context(), "none"); !errors.Is(err, git.ErrMissing) {
		t.Errorf("got %v", err)
	}
	if _, _, err := git.Around(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestExportFromElsewhere(t *testing.T) {
	made := component(t)
	c, _ := cache(t)
	location := parse(t, made.URL())
	for ref, want := range map[string]string{"main": "one", "v1": "one", "topic/dns": "two", "pull/7/head": "three", made.Head(): "one"} {
		r, commit, err := c.Newest(t.Context(), location, ref)
		if err != nil {
			t.Errorf("%s: %v", ref, err)
			continue
		}
		if got := exported(t, r, commit); got != want {
			t.Errorf("%s: got %q, want %q", ref, got, want)
		}
	}
	for _, ref := range []string{"none", "pull/8/head"} {
		if _, _, err := c.Newest(t.Context(), location, ref); !errors.Is(err, git.ErrMissing) {
			t.Errorf("%s: got %v", ref, err)
		}
	}
	// A branch goes on, and the copy with it.
	made.Git("checkout", "--quiet", "topic/dns")
	want := made.Commit("fourth")
	if _, commit, err := c.Newest(t.Context(), location, "topic/dns"); err != nil || commit != want {
		t.Errorf("got %s, %v; want %s", commit, err, want)
	}
}

func TestHasFolder(t *testing.T) {
	made := component(t)
	r, _, err := git.Around(made.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for folder, want := range map[string]bool{"components/dns": true, ".": true, "components/dns/component.yaml": false, "components/none": false} {
		if got, err := r.HasFolder(t.Context(), made.Head(), folder); err != nil || got != want {
			t.Errorf("%s: %v, %v", folder, got, err)
		}
	}
	if err := r.Export(t.Context(), made.Head(), "components/none", filepath.Join(t.TempDir(), "x")); err == nil {
		t.Error("a folder that does not exist was exported")
	}
}
