package git

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"
)

// URL is where a repository is, in a form that git cannot take for anything else.
type URL struct {
	Scheme string // https, ssh or file
	User   string // for ssh
	Host   string // lower case, with the port if one is given; empty for file
	Path   string // without slashes at its ends: openshift/oc; for file absolute
}

var (
	hostPattern = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?$`)
	userPattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)
	partPattern = regexp.MustCompile(`^[A-Za-z0-9_.~+@][A-Za-z0-9_.~+@-]*$`)
	// scpPattern is git's short form of ssh: git@github.com:openshift/oc.git.
	scpPattern = regexp.MustCompile(`^([^/@:]+)@([^/@:]+):([^/:].*)$`)
)

// ParseURL reads the location of a repository: https://HOST/PATH,
// ssh://[USER@]HOST/PATH, USER@HOST:PATH or file:///PATH. All else is refused: other
// protocols, credentials in the location, and whatever could be an option or leave a folder.
func ParseURL(s string) (URL, error) {
	if m := scpPattern.FindStringSubmatch(s); m != nil {
		s = "ssh://" + m[1] + "@" + m[2] + "/" + m[3]
	}
	u, err := url.Parse(s)
	if err != nil {
		// The parser's own message would repeat what may hold a password.
		return URL{}, errors.New("reading the location of a repository: it is no URL")
	}
	located := URL{Scheme: u.Scheme, Host: strings.ToLower(u.Host)}
	if u.User != nil {
		located.User = u.User.Username()
	}
	if reason := located.refusal(u); reason != "" {
		return URL{}, fmt.Errorf("reading the location of a repository, %q: %s", u.Redacted(), reason)
	}
	located.Path = strings.Trim(strings.TrimSuffix(strings.TrimRight(u.Path, "/"), ".git"), "/")
	if located.Scheme == "file" {
		located.Path = path.Clean(u.Path)
		return located, nil
	}
	if located.Path == "" {
		return URL{}, fmt.Errorf("reading the location of a repository, %q: it names a host and no repository", u.Redacted())
	}
	for _, part := range strings.Split(located.Path, "/") {
		if !partPattern.MatchString(part) || part == "." || part == ".." {
			return URL{}, fmt.Errorf("reading the location of a repository, %q: %q cannot be a part of its path", u.Redacted(), part)
		}
	}
	return located, nil
}

func (l URL) refusal(u *url.URL) string {
	password := false
	if u.User != nil {
		_, password = u.User.Password()
	}
	switch {
	case l.Scheme != "https" && l.Scheme != "ssh" && l.Scheme != "file":
		return fmt.Sprintf("protocol %q is not accepted, only https, ssh and file are", l.Scheme)
	case password || (l.User != "" && l.Scheme != "ssh"):
		return "it must not carry credentials"
	case l.User != "" && !userPattern.MatchString(l.User):
		return "the user is no name"
	case u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		return "a query or fragment has no meaning here"
	case l.Scheme == "file" && l.Host != "":
		return "a file has no host"
	case l.Scheme == "file" && !path.IsAbs(u.Path):
		return "the path of a file must be absolute"
	case l.Scheme != "file" && !hostPattern.MatchString(l.Host):
		return "it has no host"
	case strings.ContainsFunc(u.Path, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return "it holds a control character"
	}
	return ""
}

// String is what git is given.
func (l URL) String() string {
	if l.Scheme == "file" {
		return "file://" + l.Path
	}
	if l.User != "" {
		return l.Scheme + "://" + l.User + "@" + l.Host + "/" + l.Path
	}
	return l.Scheme + "://" + l.Host + "/" + l.Path
}

// Name is the repository, however it is reached: github.com/openshift/oc.
func (l URL) Name() string { return strings.Trim(l.hostname()+"/"+strings.Trim(l.Path, "/"), "/") }

func (l URL) hostname() string {
	host, _, _ := strings.Cut(l.Host, ":")
	return host
}

// protocols are those by which git may reach the repository. People who have
// configured git to take the one for the other may.
func (l URL) protocols() string {
	if l.Scheme == "file" {
		return "file"
	}
	return "https:ssh"
}
