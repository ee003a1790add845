package git_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-release/slipway/internal/git"
	"github.com/slipway-release/slipway/internal/git/gittest"
)

func parse(t testing.TB, s string) git.URL {
	t.Helper()
	u, err := git.ParseURL(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func cache(t testing.TB) (*git.Cache, string) {
	dir := filepath.Join(t.TempDir(), "cache")
	return git.NewCache(git.Options{Dir: dir, Files: true}), dir
}

func TestLocations(t *testing.T) {
	for in, want := range map[string][2]string{ // what git is given, and the name
		"https://github.com/openshift/oc":          {"https://github.com/openshift/oc", "github.com/openshift/oc"},
		"https://GitHub.com/openshift/oc.git":      {"https://github.com/openshift/oc", "github.com/openshift/oc"},
		"https://git.example.com:8443/a/b/":        {"https://git.example.com:8443/a/b", "git.example.com/a/b"},
		"git@github.com:openshift/oc.git":          {"ssh://git@github.com/openshift/oc", "github.com/openshift/oc"},
		"ssh://git@git.example.com:2222/a/sub/b":   {"ssh://git@git.example.com:2222/a/sub/b", "git.example.com/a/sub/b"},
		"https://git.example.com/~user/group_1/c+": {"https://git.example.com/~user/group_1/c+", "git.example.com/~user/group_1/c+"},
		"file:///srv/../srv/a.git":                 {"file:///srv/a.git", "srv/a.git"},
	} {
		u, err := git.ParseURL(in)
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		if diff := cmp.Diff(want, [2]string{u.String(), u.Name()}); diff != "" {
			t.Errorf("%s: %s", in, diff)
		}
	}
}

func TestHostileLocationsAreRefused(t *testing.T) {
	for in, want := range map[string]string{
		"":                                       "protocol",
		"ext::sh -c touch% /tmp/x":               "",
		"http://example.com/a":                   "protocol",
		"git://example.com/a":                    "protocol",
		"fd::17":                                 "",
		"--upload-pack=touch /tmp/x":             "",
		"-oProxyCommand=x@example.com:a":         "",
		"ssh://-oProxyCommand=touch/a":           "no host",
		"ssh://-l@example.com/a":                 "no name",
		"git@-oProxyCommand=x:a":                 "",
		"https://user:secret@example.com/a":      "credentials",
		"https://token@example.com/a":            "credentials",
		"ssh://git:secret@example.com/a":         "credentials",
		"https://example.com/":                   "no repository",
		"https://example.com/a/../../b":          "part of its path",
		"https://example.com/--upload-pack=x":    "part of its path",
		"https://example.com/a/%2e%2e/b":         "part of its path",
		"https://example.com/a%0ab":              "control character",
		"https://example.com/a?x=y":              "query",
		"https://example.com/a#x":                "query",
		"https:///a":                             "no host",
		"https://exa mple.com/a":                 "no URL",
		"file://host/a":                          "no host",
		"file:a":                                 "absolute",
		"/srv/a":                                 "protocol",
		"https://example.com/a;rm":               "part of its path",
		"https://[::1]/a":                        "no host",
		"https://example.com:port/a":             "",
		"https://example.com/" + "a\x7f":         "",
		"https://example.com/$(touch x)/b":       "part of its path",
		"https://" + "user:sec\x01ret@h/" + "a/": "",
	} {
		u, err := git.ParseURL(in)
		if err == nil {
			t.Errorf("%q was read as %q", in, u)
			continue
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %q", in, err, want)
		}
		if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "ret@") {
			t.Errorf("%q: the message shows a password: %v", in, err)
		}
	}
}

func TestRepositoryIsFetchedOnlyWhenACommitIsMissing(t *testing.T) {
	source := gittest.New(t, filepath.Join(t.TempDir(), "source"))
	first := source.Commit("one")
	source.Git("tag", "v1.0.0")
	second := source.Commit("two (#2)")
	c, dir := cache(t)

	repo, err := c.Open(t.Context(), parse(t, source.URL()), first, "v1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	if id, err := repo.Commit(t.Context(), "v1.0.0"); err != nil || id != first {
		t.Errorf("tag: %q, %v", id, err)
	}
	if id, err := repo.Commit(t.Context(), second[:10]); err != nil || id != second {
		t.Errorf("short id: %q, %v", id, err)
	}
	if _, err := repo.Commit(t.Context(), "main"); !errors.Is(err, git.ErrMissing) {
		t.Errorf("a branch is no revision, got %v", err)
	}
	// The source is out of reach now, and nothing is missing.
	moved := source.Dir + ".moved"
	if err := os.Rename(source.Dir, moved); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Open(t.Context(), parse(t, source.URL()), first, second); err != nil {
		t.Error(err)
	}
	unknown := strings.Repeat("0123abcd", 5)
	if _, err := c.Open(t.Context(), parse(t, source.URL()), unknown); err == nil || errors.Is(err, git.ErrMissing) {
		t.Errorf("a source that is gone: %v", err)
	}
	if err := os.Rename(moved, source.Dir); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Open(t.Context(), parse(t, source.URL()), unknown); !errors.Is(err, git.ErrMissing) {
		t.Errorf("a commit that is nowhere: %v", err)
	}
	third := source.Commit("three")
	if _, err := c.Open(t.Context(), parse(t, source.URL()), third); err != nil {
		t.Errorf("a commit made since: %v", err)
	}
	if blobs := objects(t, dir, "blob"); blobs != 0 {
		t.Errorf("%d file contents were fetched", blobs)
	}
}

// objects counts what one repository in the cache holds of a kind.
func objects(t *testing.T, dir, kind string) int {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "*.git"))
	if err != nil || len(found) != 1 {
		t.Fatalf("%v: %v", found, err)
	}
	at := &gittest.Repository{Dir: found[0]}
	return strings.Count(gitIn(t, at.Dir, "cat-file", "--batch-all-objects", "--batch-check=%(objecttype)"), kind)
}

func TestCommitThatNoBranchHolds(t *testing.T) {
	source := gittest.New(t, filepath.Join(t.TempDir(), "source"))
	base := source.Commit("one")
	stray := source.Commit("two")
	source.Git("reset", "--quiet", "--hard", base)
	c, _ := cache(t)
	repo, err := c.Open(t.Context(), parse(t, source.URL()), stray)
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := repo.IsAncestor(t.Context(), base, stray); err != nil || !ok {
		t.Errorf("%v, %v", ok, err)
	}
	if ok, err := repo.IsAncestor(t.Context(), stray, base); err != nil || ok {
		t.Errorf("%v, %v", ok, err)
	}
}

func TestHistoryAlongFirstParents(t *testing.T) {
	source := gittest.New(t, filepath.Join(t.TempDir(), "source"))
	from := source.Commit("one")
	merged := source.Merge("Merge pull request #7 from ada/topic\n\nA title\n\nBody.")
	to := source.CommitAs("Renovate <bot@example.com>", "update x\n\nwith ä body\n\n")
	c, _ := cache(t)
	repo, err := c.Open(t.Context(), parse(t, source.URL()), from, to)
	if err != nil {
		t.Fatal(err)
	}
	commits, err := repo.Log(t.Context(), from, to, 10)
	if err != nil {
		t.Fatal(err)
	}
	if len(commits) != 2 || commits[0].ID != to || commits[1].ID != merged || len(commits[1].Parents) != 2 {
		t.Fatalf("%+v", commits)
	}
	got := commits[0]
	if got.Author != "Renovate" || got.Email != "bot@example.com" || got.Message != "update x\n\nwith ä body" || got.Time.Year() != 2026 {
		t.Errorf("%+v", got)
	}
	if n, err := repo.Count(t.Context(), from, to); err != nil || n != 2 {
		t.Errorf("%d, %v", n, err)
	}
	if commits, err = repo.Log(t.Context(), from, to, 1); err != nil || len(commits) != 1 {
		t.Errorf("%d commits, %v", len(commits), err)
	}
}

func TestManyAtOnceFetchOnce(t *testing.T) {
	source := gittest.New(t, filepath.Join(t.TempDir(), "source"))
	id := source.Commit("one")
	c, _ := cache(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := c.Open(t.Context(), parse(t, source.URL()), id); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestFetchThatWasKilledIsTakenUpAgain(t *testing.T) {
	source := gittest.New(t, filepath.Join(t.TempDir(), "source"))
	first := source.Commit("one")
	c, dir := cache(t)
	if _, err := c.Open(t.Context(), parse(t, source.URL()), first); err != nil {
		t.Fatal(err)
	}
	repos, err := filepath.Glob(filepath.Join(dir, "*.git"))
	if err != nil || len(repos) != 1 {
		t.Fatalf("%v: %v", repos, err)
	}
	for _, left := range []string{"packed-refs.lock", "refs/heads/main.lock", "objects/pack/tmp_pack_x", "config.lock"} {
		if err := os.WriteFile(filepath.Join(repos[0], left), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(repos[0]+".new/half", 0o755); err != nil {
		t.Fatal(err)
	}
	second := source.Commit("two")
	if _, err := c.Open(t.Context(), parse(t, source.URL()), second); err != nil {
		t.Error(err)
	}
}

func TestLocalRepositoriesAreReadAndNeverWritten(t *testing.T) {
	root := t.TempDir()
	for _, place := range []string{"github.com/o/one", "github.com/o/two.git", "three", "four.git"} {
		gittest.New(t, filepath.Join(root, place)).Commit(place)
	}
	c := git.NewCache(git.Options{Dir: filepath.Join(t.TempDir(), "cache"), Local: root, Offline: true})
	for _, name := range []string{"one", "two", "three", "four"} {
		if _, err := c.Open(t.Context(), parse(t, "https://github.com/o/"+name)); err != nil {
			t.Error(err)
		}
	}
	_, err := c.Open(t.Context(), parse(t, "https://github.com/o/five"))
	if err == nil || !strings.Contains(err.Error(), "nothing may be fetched") {
		t.Error(err)
	}
	_, err = c.Open(t.Context(), parse(t, "https://github.com/o/one"), strings.Repeat("0123abcd", 5))
	if !errors.Is(err, git.ErrMissing) {
		t.Error(err)
	}
}

func TestRefusals(t *testing.T) {
	source := gittest.New(t, filepath.Join(t.TempDir(), "source"))
	source.Commit("one")
	closed := git.NewCache(git.Options{Dir: filepath.Join(t.TempDir(), "cache")})
	if _, err := closed.Open(t.Context(), parse(t, source.URL())); err == nil || !strings.Contains(err.Error(), "allowed first") {
		t.Errorf("a file without being allowed: %v", err)
	}
	c, _ := cache(t)
	for _, rev := range []string{"", "--all", "a..b", "HEAD^", "a b", "x\n", "@{1}", "a.lock", "main:file", strings.Repeat("a", 300)} {
		if _, err := c.Open(t.Context(), parse(t, source.URL()), rev); err == nil || errors.Is(err, git.ErrMissing) {
			t.Errorf("revision %q: %v", rev, err)
		}
	}
}

// What the user's environment says about some other repository must not count.
func TestEnvironmentOfHooks(t *testing.T) {
	source := gittest.New(t, filepath.Join(t.TempDir(), "source"))
	id := source.Commit("one")
	t.Setenv("GIT_DIR", "/nonexistent")
	t.Setenv("GIT_INDEX_FILE", "/nonexistent")
	t.Setenv("GIT_CONFIG_COUNT", "1")
	c, _ := cache(t)
	if _, err := c.Open(t.Context(), parse(t, source.URL()), id); err != nil {
		t.Error(err)
	}
}

func TestCheckout(t *testing.T) {
	source := gittest.New(t, filepath.Join(t.TempDir(), "source"))
	first := source.Commit("one")
	second := source.Commit("two")
	c, cacheDir := cache(t)
	repo, err := c.Open(t.Context(), parse(t, source.URL()), first)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "deep", "checkout")
	if err := repo.Checkout(t.Context(), dir, first); err != nil {
		t.Fatal(err)
	}
	if files := visible(t, dir); len(files) != 1 {
		t.Errorf("files %v", files)
	}
	// A second time, at another commit, and without the cache.
	if err := repo.Checkout(t.Context(), dir, second); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(cacheDir); err != nil {
		t.Fatal(err)
	}
	if files := visible(t, dir); len(files) != 2 {
		t.Errorf("files %v", files)
	}
	if out := gitIn(t, dir, "status", "--porcelain"); out != "" {
		t.Errorf("the checkout is not clean: %s", out)
	}
	if out := gitIn(t, dir, "log", "--format=%s"); out != "two\none" {
		t.Errorf("history: %s", out)
	}
	// What the user changed is not overwritten.
	changed := filepath.Join(dir, visible(t, dir)[1])
	if err := os.WriteFile(changed, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := repo.Checkout(t.Context(), dir, first); err == nil {
		t.Error("a change of the user was lost")
	}
	if data, err := os.ReadFile(changed); err != nil || string(data) != "mine" {
		t.Errorf("%q, %v", data, err)
	}
	other := t.TempDir()
	if err := repo.Checkout(t.Context(), other, first); err == nil || !strings.Contains(err.Error(), "no checkout of this repository") {
		t.Errorf("another folder: %v", err)
	}
}

// A repository may ask for programs to be run on checkout; none is.
func TestCheckoutRunsNothing(t *testing.T) {
	source := gittest.New(t, filepath.Join(t.TempDir(), "source"))
	witness := filepath.Join(t.TempDir(), "ran")
	for name, data := range map[string]string{
		".gitattributes": "* filter=lfs\n", ".lfsconfig": "[lfs]\nurl = file:///nonexistent\n",
		".gitmodules": "[submodule \"x\"]\npath = x\nurl = ext::touch% " + witness + "\n",
	} {
		if err := os.WriteFile(filepath.Join(source.Dir, name), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	id := source.Commit("one")
	home := t.TempDir()
	config := fmt.Sprintf("[filter \"lfs\"]\nsmudge = touch %s\nrequired = true\n[core]\nhooksPath = %s\n[submodule]\nrecurse = true\n", witness, home)
	for name, data := range map[string]string{".gitconfig": config, "post-checkout": "#!/bin/sh\ntouch " + witness + "\n"} {
		if err := os.WriteFile(filepath.Join(home, name), []byte(data), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", home)
	c, _ := cache(t)
	repo, err := c.Open(t.Context(), parse(t, source.URL()), id)
	if err != nil {
		t.Fatal(err)
	}
	if err := repo.Checkout(t.Context(), filepath.Join(t.TempDir(), "out"), id); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(witness); err == nil {
		t.Error("a program that the repository or the user named was run")
	}
}

func visible(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "file-*"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range found {
		found[i] = filepath.Base(found[i])
	}
	return found
}
