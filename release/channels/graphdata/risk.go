package graphdata

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/blang/semver/v4"

	"github.com/slipway-release/slipway/release/channels/graph"
)

// Risk is declared once, over ranges of versions:
//
//	apiVersion: slipway.dev/v1alpha1
//	kind: Risk
//	metadata: {name: SlowEtcdMigration}
//	to: ">=1.36.0"
//	from: "<1.36.0"
//	fixedIn: 1.36.4
//	url: https://example.com/issues/12
//	message: etcd migrates for minutes on clusters with many objects.
//	matchingRules:
//	- type: PromQL
//	  promql: {promql: "max(etcd_objects) > bool 1e6"}
//
// Ranges are those of https://github.com/blang/semver#ranges; a pre-release comes before its
// release, as semver has it, so that "<1.36.0" holds 1.36.0-rc.1.
type Risk struct {
	source     `json:"-"`
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		// Name is that of the file without .yaml, in CamelCase.
		Name string `json:"name"`
	} `json:"metadata"`
	// To are the versions whose upgrades bear the risk, From those they come from; empty
	// are all.
	To   string `json:"to"`
	From string `json:"from"`
	// FixedIn is the first version that To does not hold any more; empty while there is none.
	FixedIn string `json:"fixedIn"`
	// Architectures are those concerned; empty are all.
	Architectures []string `json:"architectures"`
	// Block says that the edges are not offered to anybody; there are no matchingRules then.
	Block         bool                 `json:"block"`
	URL           string               `json:"url"`
	Message       string               `json:"message"`
	MatchingRules []graph.MatchingRule `json:"matchingRules"`

	to, from semver.Range
	fixed    *semver.Version
}

// What a file of a risk says of itself.
const (
	riskAPIVersion = "slipway.dev/v1alpha1"
	riskKind       = "Risk"
)

// riskName is what other tools of the field accept.
var riskName = regexp.MustCompile(`^[A-Z][A-Za-z0-9_]*$`)

func (l *loader) risk(file string) (r Risk) {
	r.source = l.decode(file, &r)
	if !l.must(r.source, map[string]string{"metadata.name": r.Metadata.Name, "to": r.To, "url": r.URL, "message": r.Message}) {
		return r
	}
	bad := func(field, format string, args ...any) {
		l.badAt(file, r.Line(field), field, format, args...)
	}
	if r.APIVersion != riskAPIVersion {
		bad("apiVersion", "must be %s, not %q", riskAPIVersion, r.APIVersion)
	}
	if r.Kind != riskKind {
		bad("kind", "must be %s, not %q", riskKind, r.Kind)
	}
	if !riskName.MatchString(r.Metadata.Name) {
		bad("metadata.name", "must be in CamelCase, such as SlowEtcdMigration, not %q", r.Metadata.Name)
	}
	if want := strings.TrimSuffix(path.Base(file), extension); r.Metadata.Name != want {
		bad("metadata.name", "must be %q like the file, not %q", want, r.Metadata.Name)
	}
	for field, text := range map[string]string{"to": r.To, "from": r.From} {
		if text == "" {
			continue
		}
		if len(text) > maxExpression {
			bad(field, "is longer than %d bytes", maxExpression)
			continue
		}
		parsed, err := semver.ParseRange(text)
		if err != nil {
			bad(field, "must be a range of versions such as \">=1.36.0 <1.36.4\", not %q: %v", text, err)
		}
		if field == "to" {
			r.to = parsed
		} else {
			r.from = parsed
		}
	}
	if r.FixedIn != "" {
		v, err := semver.Parse(r.FixedIn)
		if err != nil {
			bad("fixedIn", "must be a version, not %q: %v", r.FixedIn, err)
		}
		r.fixed = &v
	}
	for i, arch := range r.Architectures {
		if !slices.Contains(architectures, arch) {
			bad(fmt.Sprintf("architectures[%d]", i), "must be one of %s, not %q", strings.Join(architectures, ", "), arch)
		}
	}
	if r.Block {
		if len(r.MatchingRules) > 0 {
			bad("matchingRules", "must be left out where block is true: the edges are not offered to anybody")
		}
		return r
	}
	l.checkRules(r.source, "matchingRules", r.MatchingRules)
	return r
}

// holds says whether upgrades to a version bear the risk.
func (r *Risk) holds(to semver.Version) bool {
	return r.to(to) && (r.fixed == nil || to.LT(*r.fixed))
}

// until says which versions fixedIn leaves out, for messages.
func (r *Risk) until() string {
	if r.fixed == nil {
		return ""
	}
	return " before " + r.FixedIn
}

// blocks are the risk, for each version it holds.
func (r *Risk) blocks(versions []version) []graph.Block {
	var risk *graph.Risk
	if !r.Block {
		risk = &graph.Risk{URL: r.URL, Name: r.Metadata.Name, Message: r.Message, MatchingRules: r.MatchingRules}
	}
	from := &rangeMatcher{r}
	var all []graph.Block
	for _, v := range versions {
		if r.holds(v.semver) {
			all = append(all, graph.Block{To: v.name, From: from, Risk: risk, Reason: r.file + ": " + r.Message})
		}
	}
	return all
}

// held are the names of the versions that the risk holds.
func (r *Risk) held(versions []version) []string {
	var names []string
	for _, v := range versions {
		if r.holds(v.semver) {
			names = append(names, v.name)
		}
	}
	return names
}

// comesFrom says whether edges from a version bear the risk.
func (r *Risk) comesFrom(from version, arch string) bool {
	return (len(r.Architectures) == 0 || slices.Contains(r.Architectures, arch)) && (r.from == nil || r.from(from.semver))
}

// version is one that was parsed.
type version struct {
	name   string
	semver semver.Version
}

// parseVersions are VERSION and VERSION+ARCH as versions without architecture, by semver
// and each once; what is no version is left out.
func parseVersions(names []string) []version {
	all := make([]version, 0, len(names))
	seen := make(map[string]bool, len(names))
	for _, name := range names {
		name, _, _ = strings.Cut(name, "+")
		if seen[name] {
			continue
		}
		seen[name] = true
		if v, err := semver.Parse(name); err == nil {
			all = append(all, version{name, v})
		}
	}
	slices.SortFunc(all, func(a, b version) int { return a.semver.Compare(b.semver) })
	return all
}

// rangeMatcher chooses the VERSION+ARCH that edges with a risk come from.
type rangeMatcher struct{ *Risk }

// MatchString implements graph.Matcher.
func (m *rangeMatcher) MatchString(full string) bool {
	name, arch, _ := strings.Cut(full, "+")
	v, err := semver.Parse(name)
	return err == nil && m.comesFrom(version{name, v}, arch)
}
