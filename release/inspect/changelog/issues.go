package changelog

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// IssuePattern finds keys of issues in messages.
type IssuePattern struct {
	key *regexp.Regexp
	// link is the address of an issue with {} for its key; "" when there is none.
	link string
}

// ParseIssuePattern reads PATTERN=LINK, such as OCPBUGS-\d+=https://issues.example.com/{}, or
// a PATTERN alone. The pattern is a regular expression of Go; of one with a group, the
// group is the key. {} in the link stands for the key.
func ParseIssuePattern(s string) (IssuePattern, error) {
	pattern, link := s, ""
	for _, scheme := range []string{"=https://", "=http://"} {
		if at := strings.LastIndex(s, scheme); at >= 0 {
			pattern, link = s[:at], s[at+1:]
			break
		}
	}
	key, err := regexp.Compile(pattern)
	if err != nil {
		return IssuePattern{}, fmt.Errorf("reading issue pattern %q: %w", s, err)
	}
	switch {
	case key.MatchString(""):
		return IssuePattern{}, fmt.Errorf("reading issue pattern %q: it matches where nothing is", s)
	case key.NumSubexp() > 1:
		return IssuePattern{}, fmt.Errorf("reading issue pattern %q: it must have one group at most", s)
	case link != "" && !strings.Contains(link, "{}"):
		return IssuePattern{}, fmt.Errorf("reading issue pattern %q: the link lacks {}, which stands for the key", s)
	}
	if link != "" {
		if u, err := url.Parse(strings.ReplaceAll(link, "{}", "x")); err != nil || u.Host == "" {
			return IssuePattern{}, fmt.Errorf("reading issue pattern %q: %q is no link", s, link)
		}
	}
	return IssuePattern{key: key, link: link}, nil
}

// closing are the words with which GitHub, GitLab and Gitea close issues:
// https://docs.github.com/issues/tracking-your-work-with-issues/linking-a-pull-request-to-an-issue.
var closing = regexp.MustCompile(`(?i)\b(?:close[sd]?|fix(?:e[sd])?|resolve[sd]?):?[ \t]+` +
	`(?:([\w.-]+/[\w./-]*[\w-])?#(\d{1,9})\b|(https://[^\s<>"'\x60()\[\]]+/issues/\d{1,9})\b)`)

// maxIssues bounds what one message adds to a changelog.
const maxIssues = 20

// issues returns what a message refers to, key to page.
func (o Options) issues(source string, m message, text string) map[string]string {
	found := map[string]string{}
	add := func(key, link string) {
		if key = shorten(clean(key)); key != "" && len(found) < maxIssues {
			found[key] = link
		}
	}
	for _, match := range closing.FindAllStringSubmatch(text, maxIssues) {
		if page := match[3]; page != "" {
			add(pageKey(page), page)
			continue
		}
		of := match[1]
		if of == "" {
			of = m.project
		}
		add(match[1]+"#"+match[2], o.Hosts.Issue(sibling(source, of), number(match[2])))
	}
	for _, p := range o.Issues {
		for _, match := range p.key.FindAllStringSubmatch(text, maxIssues) {
			key := match[len(match)-1]
			link := ""
			if p.link != "" {
				link = strings.ReplaceAll(p.link, "{}", url.PathEscape(key))
			}
			add(key, link)
		}
	}
	if len(found) == 0 {
		return nil
	}
	return found
}

// pageKey shortens the address of an issue: https://github.com/o/r/issues/1 to o/r#1.
func pageKey(page string) string {
	u, err := url.Parse(page)
	if err != nil {
		return page
	}
	project, n, ok := strings.Cut(u.Path, "/issues/")
	if !ok {
		return page
	}
	return strings.Trim(strings.TrimSuffix(project, "/-"), "/") + "#" + n
}
