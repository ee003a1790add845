package changelog

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// folded is a list of commits as people want to read it: what people did one by
// one, what programs did in one line each.
type folded struct {
	People []Commit
	Bots   []botCommits
}

type botCommits struct {
	Name    string
	Commits []Commit
}

func fold(commits []Commit) folded {
	var f folded
	bots := map[string][]Commit{}
	for _, c := range commits {
		if c.Bot == "" {
			f.People = append(f.People, c)
		} else {
			bots[c.Bot] = append(bots[c.Bot], c)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(bots)) {
		f.Bots = append(f.Bots, botCommits{name, bots[name]})
	}
	return f
}

// section is one range of history with the words that stand over it.
type section struct {
	Title  string // "" for what came in
	List   folded
	Elided int
}

func (u Update) sections() []section {
	var s []section
	if len(u.Commits) > 0 || u.Relation == Diverged {
		title := ""
		if u.Relation == Diverged {
			title = counted(len(u.Commits)+u.Elided, "commit is", "commits are") + " new"
		}
		s = append(s, section{title, fold(u.Commits), u.Elided})
	}
	if len(u.Lost) > 0 {
		s = append(s, section{counted(len(u.Lost)+u.ElidedLost, "commit is", "commits are") + " no longer in it", fold(u.Lost), u.ElidedLost})
	}
	return s
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// label names a commit by its pull request, else by its id.
func (c Commit) label() (text, link string) {
	if c.PullID > 0 {
		mark := "#"
		if strings.Contains(c.PullURL, "/-/merge_requests/") {
			mark = "!" // as GitLab writes it
		}
		return fmt.Sprintf("%s%d", mark, c.PullID), cmp.Or(c.PullURL, c.CommitURL)
	}
	return short(c.CommitID), c.CommitURL
}

// sentence says what became of a component's version.
func (c Component) sentence() string {
	switch c.Direction {
	case Added:
		return c.Version + ", which is new"
	case Removed:
		return c.From + ", which is no longer in it"
	}
	return fmt.Sprintf("%s from %s to %s", c.Direction, c.From, c.Version)
}

// state says what is to be known of an update besides its commits.
func (u Update) state() string {
	switch {
	case u.Relation == Untold:
		return "History not available: " + u.Reason
	case u.Relation == Identical:
		return "The source is the same under another name"
	case u.Reason != "":
		return strings.ToUpper(u.Reason[:1]) + u.Reason[1:]
	}
	return ""
}
