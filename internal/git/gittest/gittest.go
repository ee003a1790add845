// Package gittest makes repositories for tests, without any server.
package gittest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Repository is a repository in a folder of the test, which clients may fetch
// from as they do from the large hosts: with filters, and any commit by its id.
type Repository struct {
	Dir string

	t     testing.TB
	clock time.Time
}

// New makes an empty repository in dir, with the branch main.
func New(t testing.TB, dir string) *Repository {
	t.Helper()
	r := &Repository{Dir: dir, t: t, clock: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	r.Git("init", "--quiet", "--initial-branch=main")
	r.Git("config", "uploadpack.allowFilter", "true")
	r.Git("config", "uploadpack.allowAnySHA1InWant", "true")
	// A commit would leave a process behind that still writes while the folder is removed.
	r.Git("config", "gc.auto", "0")
	r.Git("config", "maintenance.auto", "false")
	return r
}

// URL is where the repository is fetched from.
func (r *Repository) URL() string { return "file://" + r.Dir }

// Git runs git in the repository and returns what it printed. Names and times
// are fixed, so that the same calls give the same commits.
func (r *Repository) Git(args ...string) string {
	return r.as("Ada Example <ada@example.com>", args...)
}

func (r *Repository) as(author string, args ...string) string {
	r.t.Helper()
	name, email, ok := strings.Cut(strings.TrimSuffix(author, ">"), " <")
	if !ok {
		r.t.Fatalf("author %q is not NAME <EMAIL>", author)
	}
	date := fmt.Sprintf("%d +0000", r.clock.Unix())
	cmd := exec.Command("git", args...)
	cmd.Dir = r.Dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_CEILING_DIRECTORIES="+filepath.Dir(r.Dir),
		"GIT_AUTHOR_NAME="+name, "GIT_AUTHOR_EMAIL="+email, "GIT_AUTHOR_DATE="+date,
		"GIT_COMMITTER_NAME="+name, "GIT_COMMITTER_EMAIL="+email, "GIT_COMMITTER_DATE="+date)
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// Commit makes a commit that changes a file, and returns its id.
func (r *Repository) Commit(message string) string {
	r.t.Helper()
	return r.CommitAs("Ada Example <ada@example.com>", message)
}

// CommitAs is Commit by another author, NAME <EMAIL>.
func (r *Repository) CommitAs(author, message string) string {
	r.t.Helper()
	r.clock = r.clock.Add(time.Minute)
	file := filepath.Join(r.Dir, fmt.Sprintf("file-%d", r.clock.Unix()))
	if err := os.WriteFile(file, []byte(message), 0o644); err != nil {
		r.t.Fatal(err)
	}
	r.as(author, "add", ".")
	r.as(author, "commit", "--quiet", "-m", message)
	return r.Head()
}

// Merge makes a commit on a branch of its own and merges it with the message.
func (r *Repository) Merge(message string) string {
	r.t.Helper()
	main := r.Git("symbolic-ref", "--short", "HEAD")
	r.Git("checkout", "--quiet", "-b", "topic")
	r.Commit("work that the merge brings in")
	r.Git("checkout", "--quiet", main)
	r.clock = r.clock.Add(time.Minute)
	r.Git("merge", "--quiet", "--no-ff", "-m", message, "topic")
	r.Git("branch", "--quiet", "-D", "topic")
	return r.Head()
}

// Head is the id of the newest commit.
func (r *Repository) Head() string { return r.Git("rev-parse", "HEAD") }
