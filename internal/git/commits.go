package git

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Commit is one change of a history.
type Commit struct {
	ID      string // full, hexadecimal
	Parents []string
	Author  string
	Email   string    // of the author
	Time    time.Time // when it was committed, in UTC
	Message string    // subject and body; at most 64 KiB of it
}

var (
	fullID  = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)
	shortID = regexp.MustCompile(`^[0-9a-f]{7,64}$`)
	// tagName is what of git's rules for names of references tags really use.
	tagName = regexp.MustCompile(`^[0-9A-Za-z_][0-9A-Za-z_.+/-]*$`)
)

func checkRevision(rev string) error {
	if len(rev) > 255 || !tagName.MatchString(rev) || strings.Contains(rev, "..") || strings.Contains(rev, "//") ||
		strings.HasSuffix(rev, ".lock") || strings.HasSuffix(rev, "/") || strings.HasSuffix(rev, ".") {
		return fmt.Errorf("%q is neither the id of a commit nor the name of a tag", rev)
	}
	return nil
}

// Commit returns the full id of the commit that a revision names: an id, at least
// seven digits of one, or a tag. Branches are no revisions, for they move. The error
// wraps ErrMissing when there is none.
func (r *Repository) Commit(ctx context.Context, rev string) (string, error) {
	if err := checkRevision(rev); err != nil {
		return "", err
	}
	names := []string{"refs/tags/" + rev}
	if shortID.MatchString(rev) {
		names = []string{rev, "refs/tags/" + rev}
	}
	for _, name := range names {
		id, err := call{dir: r.dir, args: []string{"rev-parse", "--verify", "--quiet", name + "^{commit}"}}.output(ctx)
		if err == nil && fullID.MatchString(id) {
			return id, nil
		}
		// 128 is how git reports a commit it would have to fetch, which this call
		// must not, and a repository that is none.
		if err != nil && !ended(err, 1) && !ended(err, 128) {
			return "", err
		}
	}
	if _, err := (call{dir: r.dir, args: []string{"rev-parse", "--git-dir"}}).output(ctx); err != nil {
		return "", err
	}
	return "", fmt.Errorf("%q: %w", rev, ErrMissing)
}

// IsAncestor reports whether a commit is the other one or part of its history.
func (r *Repository) IsAncestor(ctx context.Context, ancestor, descendant string) (bool, error) {
	err := call{dir: r.dir, args: []string{"merge-base", "--is-ancestor", ancestor, descendant}}.run(ctx)
	if ended(err, 1) {
		return false, nil
	}
	return err == nil, err
}

// Count returns how many commits on the first-parent line of to are not in from.
func (r *Repository) Count(ctx context.Context, from, to string) (int, error) {
	out, err := call{dir: r.dir, args: []string{"rev-list", "--count", "--first-parent", to, "^" + from}}.output(ctx)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(out)
}

// Log returns the commits on the first-parent line of to that are not in from,
// the newest first, at most limit. from and to are full ids.
func (r *Repository) Log(ctx context.Context, from, to string, limit int) ([]Commit, error) {
	for _, id := range []string{from, to} {
		if !fullID.MatchString(id) {
			return nil, fmt.Errorf("reading the history of %s: %q is no full id", r.URL.Name(), id)
		}
	}
	log := &logParser{}
	err := call{dir: r.dir, stdout: log, args: []string{
		"log", "-z", "--first-parent", "--no-show-signature", "--no-decorate", "--no-notes", "--no-color", "--no-patch", "--no-mailmap",
		"--encoding=UTF-8", "--format=tformat:" + logFormat, "--max-count=" + strconv.Itoa(limit), to, "^" + from, "--",
	}}.run(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the history of %s: %w", r.URL.Name(), err)
	}
	return log.commits, log.err
}

// logFormat gives what the parser reads: six fields, each ended by NUL, the last
// one by -z.
const logFormat = "%H%x00%P%x00%an%x00%ae%x00%ct%x00%B"

const (
	logFields = 6
	maxField  = 64 << 10 // bytes of a message that are kept
)

// logParser reads commits from what git prints, of which it keeps a bounded part.
type logParser struct {
	commits []Commit
	err     error
	fields  [logFields]string
	n       int
	field   []byte
}

// Write takes the next part of the output.
func (p *logParser) Write(b []byte) (int, error) {
	total := len(b)
	for p.err == nil && len(b) > 0 {
		end := bytes.IndexByte(b, 0)
		part := b
		if end >= 0 {
			part = b[:end]
		}
		p.field = append(p.field, part[:min(len(part), maxField-len(p.field))]...)
		if end < 0 {
			break
		}
		b = b[end+1:]
		p.fields[p.n] = strings.ToValidUTF8(string(p.field), "\ufffd")
		p.field = p.field[:0]
		if p.n++; p.n == logFields {
			p.n = 0
			p.add()
		}
	}
	return total, p.err
}

func (p *logParser) add() {
	id := strings.TrimSpace(p.fields[0])
	seconds, err := strconv.ParseInt(p.fields[4], 10, 64)
	if err != nil || !fullID.MatchString(id) {
		p.err = fmt.Errorf("reading the output of git log: %q at %q is no commit", id, p.fields[4])
		return
	}
	message := p.fields[5]
	if len(message) >= maxField {
		// The cut may have gone through a character.
		for !utf8.ValidString(message) {
			message = message[:len(message)-1]
		}
	}
	p.commits = append(p.commits, Commit{
		ID: id, Parents: strings.Fields(p.fields[1]), Author: p.fields[2], Email: p.fields[3],
		Time: time.Unix(seconds, 0).UTC(), Message: strings.TrimRight(message, "\n"),
	})
}
