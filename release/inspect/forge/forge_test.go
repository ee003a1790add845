package forge_test

import (
	"strings"
	"testing"

	"github.com/slipway-release/slipway/release/inspect/forge"
)

func TestLinks(t *testing.T) {
	own, err := forge.ParseHosts([]string{"git.example.com=gitea", "Code.example.com=gitlab"})
	if err != nil {
		t.Fatal(err)
	}
	for source, want := range map[string][2]string{
		"https://github.com/o/r":                     {"https://github.com/o/r/commit/b2", "https://github.com/o/r/compare/a1...b2"},
		"https://github.com/o/r.git":                 {"https://github.com/o/r/commit/b2", "https://github.com/o/r/compare/a1...b2"},
		"git@github.com:o/r.git":                     {"https://github.com/o/r/commit/b2", "https://github.com/o/r/compare/a1...b2"},
		"ssh://git@github.com:22/o/r/":               {"https://github.com/o/r/commit/b2", "https://github.com/o/r/compare/a1...b2"},
		"https://gitlab.com/g/s/r":                   {"https://gitlab.com/g/s/r/-/commit/b2", "https://gitlab.com/g/s/r/-/compare/a1...b2"},
		"https://gitlab.example.com:8443/g/r":        {"https://gitlab.example.com:8443/g/r/-/commit/b2", "https://gitlab.example.com:8443/g/r/-/compare/a1...b2"},
		"https://codeberg.org/o/r":                   {"https://codeberg.org/o/r/commit/b2", "https://codeberg.org/o/r/compare/a1...b2"},
		"https://git.example.com/o/r":                {"https://git.example.com/o/r/commit/b2", "https://git.example.com/o/r/compare/a1...b2"},
		"https://code.example.com/o/r":               {"https://code.example.com/o/r/-/commit/b2", "https://code.example.com/o/r/-/compare/a1...b2"},
		"https://bitbucket.org/o/r":                  {"https://bitbucket.org/o/r/commits/b2", "https://bitbucket.org/o/r/branches/compare/b2..a1"},
		"https://go.googlesource.com/net":            {"https://go.googlesource.com/net/+/b2", "https://go.googlesource.com/net/+log/a1..b2"},
		"https://git.kernel.org/pub/scm/x/linux.git": {"https://git.kernel.org/pub/scm/x/linux/commit/?id=b2", "https://git.kernel.org/pub/scm/x/linux/log/?qt=range&q=a1..b2"},
		"https://unknown.example.com/o/r":            {"", ""},
		"https://evilgithub.com/o/r":                 {"", ""},
		"https://github.com":                         {"", ""},
		"javascript://github.com/o/r":                {"", ""},
		"file:///srv/r":                              {"", ""},
		"/srv/r":                                     {"", ""},
		"":                                           {"", ""},
	} {
		if got := own.Commit(source, "b2"); got != want[0] {
			t.Errorf("Commit(%q) = %q, want %q", source, got, want[0])
		}
		if got := own.Compare(source, "a1", "b2"); got != want[1] {
			t.Errorf("Compare(%q) = %q, want %q", source, got, want[1])
		}
	}
}

// Labels are written by anybody; they must not reach a link as they are.
func TestHostileCommits(t *testing.T) {
	for _, commit := range []string{"", "--upload-pack=x", "a b", "../..", "a\"onclick=", strings.Repeat("a", 129)} {
		if got := (forge.Hosts)(nil).Commit("https://github.com/o/r", commit); got != "" {
			t.Errorf("Commit with %q = %q", commit, got)
		}
	}
}

func TestParseHostsReportsAll(t *testing.T) {
	_, err := forge.ParseHosts([]string{"a=svn", "=github", "git.example.com=gitea", "b"})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{`"a=svn"`, `"=github"`, `"b"`, "gitlab"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q lacks %s", err, want)
		}
	}
}
