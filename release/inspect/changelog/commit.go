package changelog

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/slipway-release/slipway/internal/git"
)

// Commit is one change. Keys are oc's where it has one.
type Commit struct {
	Subject string `json:"subject"`
	// Issues are the keys found in the message, with their pages, "" where unknown.
	Issues    map[string]string `json:"issues,omitempty"`
	PullID    int               `json:"pullID,omitempty"`
	PullURL   string            `json:"pullURL,omitempty"`
	CommitID  string            `json:"commitID"`
	CommitURL string            `json:"commitURL,omitempty"`
	Date      time.Time         `json:"commitDate"`
	Author    string            `json:"author,omitempty"` // of a merge, who merged
	Bot       string            `json:"bot,omitempty"`    // which program made the change
	Revert    bool              `json:"revert,omitempty"` // it takes another change back
	Reverted  bool              `json:"reverted,omitempty"`

	reverts string // the id or subject of what it takes back
}

// message is what a commit's message says about where the change comes from.
type message struct {
	subject string
	pull    int
	// project is the path of the repository whose pull request it is, when the
	// message names it: group/project.
	project string
	// branch is what was merged, OWNER/BRANCH or BRANCH.
	branch string
}

var (
	// Merge commits of GitHub and Bitbucket Server.
	githubMerge = regexp.MustCompile(`^Merge pull request #(\d{1,9}) from (\S+)`)
	// Merge commits of Gitea and Forgejo.
	giteaMerge = regexp.MustCompile(`^Merge pull request '(.*)' \(#(\d{1,9})\) from (\S+)( into \S+)?$`)
	// Merge commits of Bitbucket Cloud.
	bitbucketMerge = regexp.MustCompile(`^Merged in (\S+) \(pull request #(\d{1,9})\)$`)
	// Merge commits of GitLab name the request in a line of their own.
	gitlabMerge  = regexp.MustCompile(`(?m)^See merge request (?:https://[^\s/]+/)?([\w./~-]*?)(?:/-/merge_requests/|!)(\d{1,9})\s*$`)
	gitlabBranch = regexp.MustCompile(`^Merge branch '(.*)' into '.*'$`)
	// Squashed requests carry the number behind the title: #12 on most forges, !12 on GitLab.
	squashed = regexp.MustCompile(`^(.*\S)\s+\((?:#|!)(\d{1,9})\)$`)
)

// parseMessage reads the message of a commit. What follows no form is a subject
// without a pull request.
func parseMessage(text string) message {
	first, body, _ := strings.Cut(strings.TrimSpace(text), "\n")
	first = clean(first)
	if m := githubMerge.FindStringSubmatch(first); m != nil {
		return message{subject: title(body, first), pull: number(m[1]), branch: m[2]}
	}
	if m := giteaMerge.FindStringSubmatch(first); m != nil {
		return message{subject: m[1], pull: number(m[2]), branch: m[3]}
	}
	if m := bitbucketMerge.FindStringSubmatch(first); m != nil {
		return message{subject: title(body, first), pull: number(m[2]), branch: m[1]}
	}
	if m := gitlabMerge.FindStringSubmatch(body); m != nil {
		found := message{subject: first, pull: number(m[2]), project: strings.Trim(m[1], "/")}
		if b := gitlabBranch.FindStringSubmatch(first); b != nil {
			found.branch, found.subject = b[1], title(body, first)
		}
		return found
	}
	if m := squashed.FindStringSubmatch(first); m != nil {
		return message{subject: m[1], pull: number(m[2])}
	}
	return message{subject: first}
}

// title is the first line of a merge's body that says something; the merge's own
// first line where there is none.
func title(body, first string) string {
	for _, line := range strings.Split(body, "\n") {
		if line = clean(line); line != "" && !gitlabMerge.MatchString(line) {
			return line
		}
	}
	return first
}

// number reads digits that a pattern has bounded.
func number(digits string) int {
	n, _ := strconv.Atoi(digits)
	return n
}

// clean makes one printable line of a text.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == '\t' {
			return ' '
		}
		// Besides control characters, those that turn the direction of a line or
		// are not seen could show a reader something else than is written.
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
	return strings.TrimSpace(s)
}

// shorten bounds what one text takes of a page.
func shorten(s string) string {
	const limit = 400
	if runes := []rune(s); len(runes) > limit {
		return string(runes[:limit]) + "…"
	}
	return s
}

// describe makes an entry of a commit of the repository at source.
func (o Options) describe(source string, c git.Commit) Commit {
	m := parseMessage(c.Message)
	d := Commit{
		Subject: shorten(m.subject), PullID: m.pull, CommitID: c.ID, CommitURL: o.Hosts.Commit(source, c.ID),
		Date: c.Time, Author: shorten(clean(c.Author)),
	}
	if m.pull > 0 {
		d.PullURL = o.Hosts.Pull(sibling(source, m.project), m.pull)
	}
	d.Issues = o.issues(source, m, c.Message)
	d.Bot = o.bot(m, c)
	d.reverts, d.Revert = reverts(m.subject, c.Message)
	return d
}

// sibling is the repository of another path on the same host.
func sibling(source, project string) string {
	u, err := git.ParseURL(source)
	if err != nil || project == "" || u.Scheme == "file" {
		return source
	}
	u.Path = project
	if other, err := git.ParseURL(u.String()); err == nil {
		return other.String()
	}
	return source
}

var (
	revertTitle = regexp.MustCompile(`(?i)^(?:revert|reverts|reverted|back ?out|rollback)(?:\([\w./-]+\))?:?\s+["“]?(.+?)["”]?$`)
	revertBody  = regexp.MustCompile(`(?i)\bthis reverts commit ([0-9a-f]{7,64})\b`)
)

// reverts reports whether a change takes another one back, and the id or the
// title of that.
func reverts(subject, text string) (what string, ok bool) {
	if m := revertBody.FindStringSubmatch(text); m != nil {
		return strings.ToLower(m[1]), true
	}
	if m := revertTitle.FindStringSubmatch(subject); m != nil {
		return m[1], true
	}
	return "", false
}

// markReverted marks what a later change of the list takes back. The newest stand
// first.
func markReverted(commits []Commit) {
	for i, later := range commits {
		if !later.Revert {
			continue
		}
		for k := i + 1; k < len(commits); k++ {
			if c := &commits[k]; c.is(later.reverts) {
				c.Reverted = true
				break
			}
		}
	}
}

func (c *Commit) is(what string) bool {
	if strings.HasPrefix(c.CommitID, what) {
		return true
	}
	title := c.Subject
	if c.PullID > 0 && what == title+" (#"+strconv.Itoa(c.PullID)+")" {
		return true
	}
	return what == title
}

// knownBots make changes on many forges. Their branches bear these names as well.
var knownBots = []string{
	"dependabot", "renovate", "renovate-bot", "greenkeeper", "snyk-bot", "pre-commit-ci", "github-actions",
	"weblate", "transifex", "allcontributors", "mergify", "imgbot", "openshift-bot", "konflux", "mend",
}

// bot names the program that made a change, or "". Of a merge that is known by
// its branch: who merged it tells nothing, for that may be a program as well.
func (o Options) bot(m message, c git.Commit) string {
	if m.branch != "" || len(c.Parents) > 1 {
		for _, part := range strings.Split(strings.ToLower(m.branch), "/") {
			if i := slices.Index(knownBots, strings.TrimSuffix(part, "[bot]")); i >= 0 {
				return knownBots[i]
			}
			if slices.ContainsFunc(o.Bots, func(b string) bool { return strings.EqualFold(b, part) }) {
				return part
			}
		}
		return ""
	}
	name := strings.ToLower(clean(c.Author))
	if bare, ok := strings.CutSuffix(name, "[bot]"); ok {
		return strings.TrimSpace(bare)
	}
	if slices.Contains(knownBots, strings.ReplaceAll(name, " ", "-")) {
		return name
	}
	if strings.Contains(strings.ToLower(c.Email), "[bot]@") {
		return name
	}
	for _, b := range o.Bots {
		if strings.EqualFold(b, name) || strings.EqualFold(b, c.Email) {
			return name
		}
	}
	return ""
}
