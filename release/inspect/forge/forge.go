// Package forge makes links into the web pages of git hosting services: to a
// commit, and to what changed between two. It asks no server; which service a host
// runs is known from a table, from the host's name, or from the caller.
package forge

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Kind is the software that a host runs.
type Kind string

// The kinds whose links are known. Forgejo, and with it Codeberg, has Gitea's.
const (
	GitHub    Kind = "github"
	GitLab    Kind = "gitlab"
	Gitea     Kind = "gitea"
	Bitbucket Kind = "bitbucket"
	SourceHut Kind = "sourcehut"
	Gitiles   Kind = "gitiles"
	Cgit      Kind = "cgit"
)

// links are the forms of one kind's pages behind the repository's address: one
// %s in commit, %[1]s and %[2]s, older and newer, in compare, and one %d in pull and
// issue, which are empty where a kind numbers no such thing.
type links struct{ commit, compare, pull, issue string }

var forms = map[Kind]links{
	GitHub:    {"/commit/%s", "/compare/%[1]s...%[2]s", "/pull/%d", "/issues/%d"},
	GitLab:    {"/-/commit/%s", "/-/compare/%[1]s...%[2]s", "/-/merge_requests/%d", "/-/issues/%d"},
	Gitea:     {"/commit/%s", "/compare/%[1]s...%[2]s", "/pulls/%d", "/issues/%d"},
	Bitbucket: {"/commits/%s", "/branches/compare/%[2]s..%[1]s", "/pull-requests/%d", "/issues/%d"},
	SourceHut: {"/commit/%s", "/log/%[1]s..%[2]s", "", ""},
	Gitiles:   {"/+/%s", "/+log/%[1]s..%[2]s", "", ""},
	Cgit:      {"/commit/?id=%s", "/log/?qt=range&q=%[1]s..%[2]s", "", ""},
}

// hosts are the public services.
var hosts = map[string]Kind{
	"github.com":           GitHub,
	"gitlab.com":           GitLab,
	"salsa.debian.org":     GitLab,
	"codeberg.org":         Gitea,
	"gitea.com":            Gitea,
	"bitbucket.org":        Bitbucket,
	"git.sr.ht":            SourceHut,
	"git.kernel.org":       Cgit,
	"googlesource.com":     Gitiles,
	"gitlab.gnome.org":     GitLab,
	"invent.kde.org":       GitLab,
	"framagit.org":         GitLab,
	"git.savannah.gnu.org": Cgit,
}

// Hosts says which kind a host runs, by its name without a port. It goes before
// the table of public services.
type Hosts map[string]Kind

// ParseHosts reads HOST=KIND pairs. All that is wrong is reported at once.
func ParseHosts(pairs []string) (Hosts, error) {
	own := Hosts{}
	var bad []string
	for _, pair := range pairs {
		host, kind, ok := strings.Cut(pair, "=")
		if _, known := forms[Kind(kind)]; !ok || host == "" || !known {
			bad = append(bad, fmt.Sprintf("%q", pair))
			continue
		}
		own[strings.ToLower(host)] = Kind(kind)
	}
	if len(bad) > 0 {
		return nil, fmt.Errorf("reading %s: it must be HOST=KIND with a kind of %s", strings.Join(bad, " and "), strings.Join(Kinds(), ", "))
	}
	return own, nil
}

// Kinds returns the names of all kinds, sorted.
func Kinds() []string {
	var names []string
	for k := range forms {
		names = append(names, string(k))
	}
	slices.Sort(names)
	return names
}

// KindOf returns the kind that a host runs, or "" when nobody knows. Hosts that
// bear a kind's name in theirs, such as gitlab.example.com, are taken at their word.
func (h Hosts) KindOf(host string) Kind {
	host = strings.ToLower(host)
	if name, _, ok := strings.Cut(host, ":"); ok {
		host = name
	}
	if k, ok := h[host]; ok {
		return k
	}
	for name, k := range hosts {
		if host == name || strings.HasSuffix(host, "."+name) {
			return k
		}
	}
	for _, label := range strings.Split(host, ".") {
		switch label {
		case "github", "gitlab", "gitea", "bitbucket", "cgit":
			return Kind(label)
		case "forgejo":
			return Gitea
		}
	}
	return ""
}

// Web returns the address of a repository's web pages, without a slash and
// without .git at its end, or "" for what is not on a web host. It reads the forms
// that git does: https://host/path.git, ssh://git@host/path, git@host:path.
func Web(source string) string {
	source = strings.TrimSpace(source)
	if !strings.Contains(source, "://") {
		// git's short form of ssh has a colon before the first slash.
		login, path, ok := strings.Cut(source, ":")
		if !ok || strings.Contains(login, "/") || path == "" {
			return ""
		}
		source = "ssh://" + login + "/" + strings.TrimPrefix(path, "/")
	}
	u, err := url.Parse(source)
	if err != nil || u.Hostname() == "" {
		return ""
	}
	web := url.URL{Scheme: "https", Host: u.Host}
	switch u.Scheme {
	case "https", "http":
		web.Scheme = u.Scheme
	case "ssh", "git", "git+ssh", "git+https":
		web.Host = u.Hostname() // the port is not that of the web server
	default:
		return ""
	}
	web.Path = strings.TrimSuffix(strings.TrimRight(u.Path, "/"), ".git")
	if strings.Trim(web.Path, "/") == "" {
		return ""
	}
	return web.String()
}

// Commit returns the page of a commit, or "" where the form of its host's links
// is not known.
func (h Hosts) Commit(source, commit string) string {
	web, f, ok := h.find(source)
	if !ok || !plausible(commit) {
		return ""
	}
	return web + fmt.Sprintf(f.commit, commit)
}

// Compare returns the page of what changed between two commits, the older one
// first, or "" where the form of its host's links is not known.
func (h Hosts) Compare(source, older, newer string) string {
	web, f, ok := h.find(source)
	if !ok || !plausible(older) || !plausible(newer) {
		return ""
	}
	return web + fmt.Sprintf(f.compare, older, newer)
}

// Pull returns the page of a pull request, or "" where the form of its host's
// links is not known.
func (h Hosts) Pull(source string, number int) string {
	web, f, ok := h.find(source)
	if !ok || f.pull == "" || number <= 0 {
		return ""
	}
	return web + fmt.Sprintf(f.pull, number)
}

// Issue returns the page of an issue, or "" where the form of its host's links is
// not known.
func (h Hosts) Issue(source string, number int) string {
	web, f, ok := h.find(source)
	if !ok || f.issue == "" || number <= 0 {
		return ""
	}
	return web + fmt.Sprintf(f.issue, number)
}

func (h Hosts) find(source string) (string, links, bool) {
	web := Web(source)
	if web == "" {
		return "", links{}, false
	}
	u, err := url.Parse(web)
	if err != nil {
		return "", links{}, false
	}
	f, ok := forms[h.KindOf(u.Hostname())]
	return web, f, ok
}

// plausible reports whether something can be the name of a commit or a tag. It
// comes from a label that anybody can write, and goes into links.
func plausible(commit string) bool {
	if commit == "" || len(commit) > 128 || commit[0] == '-' || strings.Contains(commit, "..") {
		return false
	}
	return strings.IndexFunc(commit, func(r rune) bool {
		return !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune("._-+", r))
	}) < 0
}
