package changelog_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-release/slipway/internal/git"
	"github.com/slipway-release/slipway/internal/git/gittest"
	"github.com/slipway-release/slipway/release/inspect"
	"github.com/slipway-release/slipway/release/inspect/changelog"
	"github.com/slipway-release/slipway/release/inspect/features"
	"github.com/slipway-release/slipway/release/inspect/forge"
)

var update = flag.Bool("update", false, "write the golden files anew")

// built describes a component built from a commit.
func built(name string, digest byte, source, commit string) inspect.Component {
	d := "sha256:" + strings.Repeat(fmt.Sprintf("%02x", digest), 32)
	return inspect.Component{Name: name, Digest: d, PullSpec: "registry.example.com/skiff/" + name + "@" + d, Source: source, Commit: commit}
}

func payload(version string, components ...inspect.Component) *inspect.Info {
	slices.SortFunc(components, func(a, b inspect.Component) int { return strings.Compare(a.Name, b.Name) })
	sum := fmt.Sprintf("%064x", len(version)*7+len(components))
	return &inspect.Info{
		Version: version, Digest: "sha256:" + sum, PullSpec: "registry.example.com/skiff/release@sha256:" + sum,
		Created: time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC), Components: components,
	}
}

// mirror is a folder of local repositories, in which the test makes some.
type mirror struct {
	t    *testing.T
	root string
}

func newMirror(t *testing.T) mirror { return mirror{t, t.TempDir()} }

func (m mirror) repository(name string) *gittest.Repository {
	return gittest.New(m.t, filepath.Join(m.root, name))
}

func (m mirror) options() changelog.Options {
	return changelog.Options{
		Repositories: git.NewCache(git.Options{Dir: m.t.TempDir(), Local: m.root, Offline: true}),
	}
}

func compose(t *testing.T, from, to *inspect.Info, o changelog.Options) *changelog.Changelog {
	t.Helper()
	c, err := changelog.Make(t.Context(), from, to, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// everything has one of each: styles of all forges, bots, reverts, issues, and
// each way in which a history can be unusable.
func everything(t *testing.T) (from, to *inspect.Info, o changelog.Options) {
	m := newMirror(t)
	o = m.options()

	github := m.repository("github.com/example/apiserver")
	apiOld := github.Commit("start")
	github.Git("tag", "v1.36.2")
	github.Merge("Merge pull request #101 from ada/topic\n\nOCPBUGS-4711: Do not lose *watches* when <etcd> restarts\n\nFixes #99 and closes other/project#3.")
	github.Merge("Merge pull request #102 from dependabot/go_modules/golang.org/x/net-0.40.0\n\nBump golang.org/x/net")
	github.Merge("Merge pull request #103 from renovate/all\n\nUpdate all")
	github.Commit("Serve [faster](https://evil.example.com) (#104)\n\nResolves https://github.com/example/apiserver/issues/77")
	github.Commit("Revert \"Serve [faster](https://evil.example.com) (#104)\" (#105)")
	github.CommitAs("dependabot[bot] <1+dependabot[bot]@users.noreply.example.com>", "Bump x (#106)")
	github.Commit("Straight onto the branch, thanks @ada")
	github.Git("tag", "v1.36.3")

	gitlab := m.repository("gitlab.example.com/group/sub/proxy")
	proxyOld := gitlab.Commit("start")
	gitlab.Merge("Merge branch 'faster' into 'main'\n\nMake the proxy faster\n\nSee merge request group/sub/proxy!12")
	gitlab.Commit("Squashed by GitLab\n\nSee merge request group/fork!13")
	proxyNew := gitlab.Head()

	gitea := m.repository("codeberg.org/example/dns")
	dnsOld := gitea.Commit("start")
	gitea.Merge("Merge pull request 'Answer with \"care\"' (#5) from ada/dns into main")
	dnsNew := gitea.Head()

	plain := m.repository("git.example.org/tools")
	toolsOld := plain.Commit("start")
	toolsNew := plain.Commit("Do something (#8)")

	back := m.repository("github.com/example/etcd")
	etcdNew := back.Commit("start")
	etcdOld := back.Commit("What will be lost (#3)")

	rewritten := m.repository("github.com/example/flannel")
	base := rewritten.Commit("start")
	flannelOld := rewritten.Commit("before the rewriting")
	rewritten.Git("tag", "keep")
	rewritten.Git("reset", "--quiet", "--hard", base)
	flannelNew := rewritten.Commit("after the rewriting (#9)")

	api, proxy, dns := "https://github.com/example/apiserver", "https://gitlab.example.com/group/sub/proxy.git", "git@codeberg.org:example/dns.git"
	from = payload("1.36.2-0.nightly-2026-03-01-100000",
		built("apiserver", 1, api, "v1.36.2"), built("scheduler", 2, api, "v1.36.2"),
		built("proxy", 3, proxy, proxyOld), built("dns", 4, dns, dnsOld), built("tools", 5, "https://git.example.org/tools", toolsOld),
		built("etcd", 6, "https://github.com/example/etcd", etcdOld), built("flannel", 7, "https://github.com/example/flannel", flannelOld),
		built("pause", 8, api, apiOld), built("gone", 9, api, apiOld), built("moved", 10, "https://github.com/example/old", apiOld),
		built("unknown", 11, "", ""), built("lost", 12, api, strings.Repeat("0123abcd", 5)), built("absent", 13, "https://github.com/example/absent", apiOld),
		built("hostile", 14, "ext::sh -c id", apiOld), built("same", 15, api, apiOld))
	to = payload("1.36.3-0.nightly-2026-03-02-100000",
		built("apiserver", 21, api, "v1.36.3"), built("scheduler", 22, api, "v1.36.3"),
		built("proxy", 23, proxy, proxyNew), built("dns", 24, dns, dnsNew), built("tools", 25, "https://git.example.org/tools", toolsNew),
		built("etcd", 26, "https://github.com/example/etcd", etcdNew), built("flannel", 27, "https://github.com/example/flannel", flannelNew),
		built("pause", 28, api, apiOld), built("fresh", 29, api, "v1.36.3"), built("moved", 30, "https://github.com/example/new", apiOld),
		built("unknown", 31, "", ""), built("lost", 32, api, "v1.36.3"), built("absent", 33, "https://github.com/example/absent", "v1.36.3"),
		built("hostile", 34, "ext::sh -c id", "v1.36.3"), built("same", 15, api, apiOld))
	to.Upgrades = []string{from.Version}
	from.DisplayVersions = map[string]inspect.DisplayVersion{
		"kubernetes": {Version: "1.36.2", DisplayName: "Kubernetes"}, "etcd": {Version: "3.6.6"}, "runc": {Version: "1.4.0"}, "cni": {Version: "1.0.0"},
	}
	to.DisplayVersions = map[string]inspect.DisplayVersion{
		"kubernetes": {Version: "1.36.3", DisplayName: "Kubernetes"}, "etcd": {Version: "3.6.5"}, "cni": {Version: "1.0.0"}, "machine-os": {Version: "12.0.0", DisplayName: "Debian <b>"},
	}
	pattern, err := changelog.ParseIssuePattern(`OCPBUGS-\d+=https://issues.example.com/browse/{}`)
	if err != nil {
		t.Fatal(err)
	}
	o.Issues = []changelog.IssuePattern{pattern}
	o.Hosts = forge.Hosts{}
	alone := features.Kind{Profile: "self-managed-high-availability", FeatureSet: "Default"}
	preview := features.Kind{Profile: alone.Profile, FeatureSet: "TechPreviewNoUpgrade"}
	o.FeatureGates = []features.Change{
		{Name: "Fast<Proxy>", Tests: 1, States: []features.State{{Kind: alone, From: features.Disabled, To: features.Enabled}, {Kind: preview, From: features.Enabled, To: features.Enabled}}},
		{Name: "SlowDNS", Tests: 3, States: []features.State{{Kind: alone, To: features.Disabled}, {Kind: preview, To: features.Enabled}}},
	}
	return from, to, o
}

func TestEveryForm(t *testing.T) {
	from, to, o := everything(t)
	c := compose(t, from, to, o)
	for name, write := range map[string]func(*bytes.Buffer) error{
		"changelog.md":   func(b *bytes.Buffer) error { return c.WriteMarkdown(b) },
		"issues.txt":     func(b *bytes.Buffer) error { return c.WriteIssues(b) },
		"changelog.html": func(b *bytes.Buffer) error { return c.WriteHTML(b) },
		"changelog.json": func(b *bytes.Buffer) error {
			e := json.NewEncoder(b)
			e.SetIndent("", "  ")
			e.SetEscapeHTML(false)
			return e.Encode(c)
		},
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		golden := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(golden, b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		// The messages name the folders of the test.
		if diff := cmp.Diff(string(want), b.String()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if !c.Incomplete() {
		t.Error("histories are missing, and nobody is told")
	}
}

func TestNothingThatACommitSaysBecomesMarkup(t *testing.T) {
	m := newMirror(t)
	r := m.repository("github.com/example/a")
	old := r.Commit("start")
	r.Commit("<script>alert(1)</script> ![x](javascript:alert(1)) `code` \x1b[31mred\u202etxt.exe (#2)\n\nfixes javascript:alert(1)#3, fixes https://evil.example.com/\"onload=x/issues/1")
	next := r.Head()
	source := "https://github.com/example/a"
	c := compose(t, payload("1.0.0", built("a", 1, source, old)), payload("1.0.1", built("a", 2, source, next)), m.options())
	var md, html bytes.Buffer
	if err := errors.Join(c.WriteMarkdown(&md), c.WriteHTML(&html)); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"<script", "[x](javascript", "\x1b", "\u202e", " `code`", "onload=x\""} {
		if strings.Contains(md.String(), bad) {
			t.Errorf("Markdown holds %q:\n%s", bad, md.String())
		}
	}
	for _, bad := range []string{"<script", "href=\"javascript", "\x1b", "\u202e", "\"onload"} {
		if strings.Contains(html.String(), bad) {
			t.Errorf("HTML holds %q", bad)
		}
	}
}

func TestLongHistoriesAreCut(t *testing.T) {
	m := newMirror(t)
	r := m.repository("github.com/example/a")
	old := r.Commit("start")
	for i := range 5 {
		r.Commit(fmt.Sprintf("change %d", i))
	}
	o := m.options()
	o.Limit = 2
	source := "https://github.com/example/a"
	c := compose(t, payload("1.0.0", built("a", 1, source, old)), payload("1.0.1", built("a", 2, source, r.Head())), o)
	if u := c.UpdatedImages[0]; len(u.Commits) != 2 || u.Elided != 3 || u.Commits[0].Subject != "change 4" {
		t.Errorf("%+v", u)
	}
}

func TestRepositoriesAreWatchedAndReadSideBySide(t *testing.T) {
	m := newMirror(t)
	var older, newer []inspect.Component
	for _, name := range []string{"a", "b", "c"} {
		r := m.repository("github.com/example/" + name)
		source := "https://github.com/example/" + name
		older = append(older, built(name, 1, source, r.Commit("one")))
		newer = append(newer, built(name, 2, source, r.Commit("two")))
	}
	o := m.options()
	// None may end before all have begun.
	var begun sync.WaitGroup
	begun.Add(3)
	o.Watch = func(string) func(error) {
		begun.Done()
		begun.Wait()
		return func(err error) {
			if err != nil {
				t.Error(err)
			}
		}
	}
	c := compose(t, payload("1.0.0", older...), payload("1.0.1", newer...), o)
	if len(c.UpdatedImages) != 3 || c.Incomplete() || len(c.Warnings) != 0 {
		t.Errorf("%+v", c)
	}
}

func TestEndsWithItsContext(t *testing.T) {
	from, to, o := everything(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := changelog.Make(ctx, from, to, o); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestNothingChanged(t *testing.T) {
	p := payload("1.0.0", built("a", 1, "https://github.com/example/a", "v1"))
	c := compose(t, p, p, newMirror(t).options())
	var b bytes.Buffer
	if err := c.WriteMarkdown(&b); err != nil || !strings.Contains(b.String(), "Nothing that is built") || c.Incomplete() {
		t.Errorf("%v: %s", err, b.String())
	}
}

func TestIssuePatterns(t *testing.T) {
	for in, want := range map[string]string{
		"(":                              "missing closing",
		"x*":                             "where nothing is",
		"(a)(b)":                         "one group",
		"A-\\d+=https://example.com/":    "lacks {}",
		"A-\\d+=https:///{}":             "no link",
		"A-\\d+=https://example.com/{}":  "",
		"A-\\d+":                         "",
		"a=b-(\\d+)=https://h/?q={}&x=y": "",
	} {
		_, err := changelog.ParseIssuePattern(in)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", in, err, want)
		}
	}
}
