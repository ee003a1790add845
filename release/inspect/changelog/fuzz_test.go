package changelog

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/slipway-release/slipway/internal/git"
	"github.com/slipway-release/slipway/release/inspect/forge"
)

// FuzzMessage feeds messages of commits, which anybody writes, through to the pages.
func FuzzMessage(f *testing.F) {
	for _, seed := range []string{
		"Merge pull request #7 from ada/topic\n\nTitle\n\nFixes #1",
		"Merge pull request 'A ''title''' (#12) from a/b into main",
		"Merge branch 'x' into 'main'\n\nTitle\n\nSee merge request group/proj!9",
		"Merged in x (pull request #3)\n\nTitle",
		"Title (#12)\n\ncloses o/r#3, fixes https://h/o/r/issues/4",
		"Revert \"Title (#12)\" (#13)\n\nThis reverts commit 0123456789abcdef.",
		"", "\n\n", "(#1)", "See merge request !1", "fixes #999999999999",
	} {
		f.Add(seed, "Ada", "a@example.com", false)
	}
	f.Add("Bump x", "dependabot[bot]", "1+x[bot]@users", true)
	o := Options{Hosts: forge.Hosts{}}
	f.Fuzz(func(t *testing.T, text, author, email string, merge bool) {
		c := git.Commit{ID: strings.Repeat("0123abcd", 5), Parents: []string{"a"}, Message: text, Author: author, Email: email, Time: time.Unix(0, 0)}
		if merge {
			c.Parents = append(c.Parents, "b")
		}
		d := o.describe("https://github.com/o/r", c)
		if strings.ContainsAny(d.Subject+d.Author, "\n\r\x00\x1b") || len([]rune(d.Subject)) > 401 || d.PullID < 0 || len(d.Issues) > maxIssues {
			t.Errorf("%+v", d)
		}
		if d.PullURL != "" && !strings.HasPrefix(d.PullURL, "https://github.com/") {
			t.Errorf("link %q leaves the host", d.PullURL)
		}
		all := []Commit{d, d}
		markReverted(all)
		log := Changelog{UpdatedImages: []Update{{Name: "x", Relation: Forward, Commits: all}}}
		var md, html bytes.Buffer
		if err := log.WriteMarkdown(&md); err != nil {
			t.Fatal(err)
		}
		if err := log.WriteHTML(&html); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(strings.ToLower(html.String()), "<script") {
			t.Errorf("a script in the page: %q", text)
		}
		// One line for every commit, whatever it says.
		if n := strings.Count(md.String(), "\n* "); n < 1 || n > 2 {
			t.Errorf("%d lines for two commits:\n%s", n, md.String())
		}
	})
}

func FuzzIssuePattern(f *testing.F) {
	f.Add(`OCPBUGS-\d+=https://issues.example.com/{}`, "OCPBUGS-1: x")
	f.Add(`#(\d+)`, "closes #1")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		p, err := ParseIssuePattern(pattern)
		if err != nil {
			return
		}
		o := Options{Issues: []IssuePattern{p}}
		for key := range o.issues("https://github.com/o/r", message{}, text) {
			if key == "" || strings.ContainsAny(key, "\n\x1b") {
				t.Errorf("key %q", key)
			}
		}
	})
}
