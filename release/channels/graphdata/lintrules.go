package graphdata

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/blang/semver/v4"
)

// loadRule reports what Load refuses.
var loadRule = Rule{ID: "SLG001", Name: "unreadable", Level: LevelError, Title: "A file cannot be understood.",
	Why: "Readers that leave such a file out offer the edges that it blocks; Slipway keeps serving the last graph that was good.",
	Fix: "Correct the file, or remove it on purpose."}

var rules = []Rule{
	loadRule,
	{ID: "SLG002", Name: "pattern-matches-nothing", Level: LevelError, Title: "A block's pattern is found in no known version.",
		Why:   "The block has no effect: the edges that it is about are offered without their risk.",
		Fix:   "Correct the pattern, or remove the file.",
		check: patternsMatch},
	{ID: "SLG003", Name: "dead-alternative", Level: LevelError, Title: "An alternative of a pattern can be found in no version.",
		Why:   "A misspelt alternative leaves out the versions it was written for, while the pattern as a whole still matches others.",
		Fix:   "Correct the alternative; a bracket too many is the usual reason.",
		check: deadAlternatives},
	{ID: "SLG004", Name: "pattern-not-anchored", Level: LevelWarning, Title: "A block's pattern may be found anywhere in a version.",
		Why:   "Patterns are searched in VERSION+ARCH: 4[.]1 is found in 4.10.3 and in 14.1.0 as well.",
		Fix:   "Begin it with ^ and end it with [+].*$, as in ^4[.]1[.].*[+].*$.",
		check: anchored},
	{ID: "SLG005", Name: "promql", Level: LevelError, Title: "A rule's PromQL is wrong.",
		Why:   "Clusters cannot evaluate the rule, and do not recommend the update to anybody.",
		Fix:   "Correct the query; it must give one sample, 0 or 1.",
		check: promQL},
	{ID: "SLG006", Name: "risk-fields", Level: LevelError, Title: "A risk's name, link or rules are not as clients take them.",
		Why:   "Clients drop a target whose risks they do not understand, and show name and link to people.",
		Fix:   "Name it in CamelCase, link to https://, and use each type of rule once.",
		check: riskFields},
	{ID: "SLG007", Name: "duplicate-block", Level: LevelError, Title: "Two files block the same edges for the same reason.",
		Why:   "Whoever removes one of them believes to have unblocked the edges; other readers take only one of several blocks without a risk.",
		Fix:   "Remove one of the files, or join their patterns in one.",
		check: duplicateBlocks},
	{ID: "SLG008", Name: "contradictory-block", Level: LevelError, Title: "Files contradict each other.",
		Why:   "An edge that is blocked and bears a risk as well is offered by some readers; two texts under one name confuse those who read them.",
		Fix:   "Decide for one of them in both files.",
		check: contradictoryBlocks},
	{ID: "SLG009", Name: "version-misspelt", Level: LevelError, Title: "What should be a version is none.",
		Why:   "It names no release, so that nothing is offered or blocked.",
		Fix:   "Write it as in 4.16.3, 4.16.0-rc.1 or 4.16.3+arm64.",
		check: versionsSpelt},
	{ID: "SLG010", Name: "versions-unsorted", Level: LevelWarning, Title: "A channel's versions are not in the order of semver.",
		Why:   "People and tools look for the newest at the end.",
		Fix:   "Move the version to its place.",
		check: versionsSorted},
	{ID: "SLG011", Name: "version-twice", Level: LevelError, Title: "A version stands in a channel twice.",
		Why:   "Whoever removes one of them believes to have removed the version.",
		Fix:   "Remove one of them.",
		check: versionsOnce},
	{ID: "SLG012", Name: "file-name", Level: LevelError, Title: "A file's name does not fit its content.",
		Why:   "Files are found by their names.",
		Fix:   "Rename the file, or correct what stands in it.",
		check: fileNames},
	{ID: "SLG013", Name: "block-of-unknown-version", Level: LevelWarning, Title: "A block is about a version that is in no channel.",
		Why:   "It has no effect, and may be meant for another version.",
		Fix:   "Correct the version, or remove the file.",
		check: blocksKnown},
	{ID: "SLG014", Name: "fixed-in", Level: LevelError, Title: "A risk is fixed in a version before the one it is declared for.",
		Why:   "Promotion takes fixedIn for the end of the risk, and would offer the next version without it.",
		Fix:   "Set fixedIn to the first version that is newer than to and has the fix.",
		check: fixedIn},
	{ID: "SLG015", Name: "feeder", Level: LevelError, Title: "A channel's feeder makes no sense.",
		Why:   "Nothing would ever be promoted into the channel.",
		Fix:   "Name a channel that there is, and a delay such as P1W or PT48H.",
		check: feeders},
	{ID: "SLG016", Name: "feeder-filter", Level: LevelNote, Title: "A channel holds versions that its filter would not let in.",
		Why:   "They were let in before the filter was narrowed, or by hand.",
		Fix:   "Nothing, if that is meant; versions that are removed strand clusters.",
		check: filters},
	{ID: "SLG017", Name: "channel-subset", Level: LevelWarning, Title: "A channel holds a version that the less stable one of its minor version lacks.",
		Why:   "Clusters that change to the less stable channel do not find their own version.",
		Fix:   "Add the version to the other channel.",
		check: subsets},
	{ID: "SLG018", Name: "schema-newer", Level: LevelWarning, Title: "The folder's schema is newer than what is understood.",
		Why:   "What is new in it has no effect.",
		Fix:   "Use a newer Slipway.",
		check: schemaNewer},
}

func patternsMatch(k *knowledge, report func(source, string, string)) {
	for _, b := range k.Blocks {
		if len(k.sources(b.pattern)) == 0 {
			report(b.source, "from", fmt.Sprintf("%q is found in none of the %d versions known", b.From, len(k.versions)))
		}
	}
	for i := range k.Risks {
		r := &k.Risks[i]
		if r.from != nil && !slices.ContainsFunc(k.parsed, func(v version) bool { return r.from(v.semver) }) {
			report(r.source, "from", fmt.Sprintf("%q holds none of the %d versions known", r.From, len(k.versions)))
		}
	}
}

func anchored(k *knowledge, report func(source, string, string)) {
	for _, b := range k.Blocks {
		begin, end := anchors(b.From)
		missing := ""
		switch {
		case !begin && !end:
			missing = "^ at its begin and $ at its end"
		case !begin:
			missing = "^ at its begin"
		case !end:
			missing = "$ at its end"
		default:
			continue
		}
		report(b.source, "from", fmt.Sprintf("%q lacks %s", b.From, missing))
	}
}

func promQL(k *knowledge, report func(source, string, string)) {
	for _, b := range k.declared() {
		for i, r := range b.rules {
			if r.Type != rulePromQL {
				continue
			}
			if err := k.promQL(r.PromQL.PromQL); err != nil {
				report(b.source, fmt.Sprintf("matchingRules[%d].promql.promql", i), err.Error())
			}
		}
	}
}

func riskFields(k *knowledge, report func(source, string, string)) {
	for _, b := range k.declared() {
		if !riskName.MatchString(b.name) {
			report(b.source, "name", fmt.Sprintf("%q is not in CamelCase", b.name))
		}
		if !strings.HasPrefix(b.url, "https://") {
			report(b.source, "url", fmt.Sprintf("%q does not begin with https://", b.url))
		}
		types := map[string]bool{}
		for i, r := range b.rules {
			at := fmt.Sprintf("matchingRules[%d]", i)
			if r.Type != ruleAlways && r.Type != rulePromQL {
				report(b.source, at, fmt.Sprintf("there is no rule of type %q", r.Type))
			}
			if types[r.Type] {
				report(b.source, at, fmt.Sprintf("type %s stands there twice; clients take the first that they can evaluate", r.Type))
			}
			types[r.Type] = true
		}
	}
}

func duplicateBlocks(k *knowledge, report func(source, string, string)) {
	type reason struct{ to, name string }
	before := map[reason][]*Block{}
	for i := range k.Blocks {
		b := &k.Blocks[i]
		key := reason{b.To, b.Name}
		for _, other := range before[key] {
			if b.Conditional() && len(k.both(b, other)) == 0 {
				continue // they are about different edges
			}
			what := "block it without a risk"
			if b.Conditional() {
				what = "declare risk " + b.Name
			}
			report(b.source, "to", fmt.Sprintf("it and %s both %s for upgrades to %s", other.file, what, b.To))
			break
		}
		before[key] = append(before[key], b)
	}
}

func contradictoryBlocks(k *knowledge, report func(source, string, string)) {
	k.contradictions(report)
	named := map[string]declaredRisk{}
	for _, b := range k.declared() {
		before, known := named[b.name]
		if !known {
			named[b.name] = b
			continue
		}
		if field := differ(before, b); field != "" {
			report(b.source, field, fmt.Sprintf("risk %s has another %s in %s", b.name, field, before.file))
		}
	}
}

func versionsSpelt(k *knowledge, report func(source, string, string)) {
	check := func(s source, field, text string) {
		if problem := misspelt(text); problem != "" {
			report(s, field, problem)
		}
	}
	for _, c := range k.all {
		for i, v := range c.Versions {
			check(c.source, fmt.Sprintf("versions[%d]", i), v)
		}
		for i, v := range c.Tombstones {
			check(c.source, fmt.Sprintf("tombstones[%d]", i), v)
		}
	}
	for _, b := range k.Blocks {
		check(b.source, "to", b.To)
		if b.FixedIn != "" {
			check(b.source, "fixedIn", b.FixedIn)
		}
	}
	for _, s := range k.Suggestions {
		for arch, of := range s.ByArch {
			for field, v := range map[string]string{"minor_min": of.MinorMin, "minor_max": of.MinorMax, "z_min": of.ZMin, "z_max": of.ZMax} {
				if v != "" {
					check(s.source, arch+"."+field, v)
				}
			}
		}
	}
}

func versionsSorted(k *knowledge, report func(source, string, string)) {
	for _, c := range k.all {
		for i := 1; i < len(c.Versions); i++ {
			if misspelt(c.Versions[i-1]) == "" && misspelt(c.Versions[i]) == "" && compareVersions(c.Versions[i-1], c.Versions[i]) > 0 {
				report(c.source, fmt.Sprintf("versions[%d]", i), fmt.Sprintf("%s stands behind %s, which is newer", c.Versions[i], c.Versions[i-1]))
			}
		}
	}
}

func versionsOnce(k *knowledge, report func(source, string, string)) {
	for _, c := range k.all {
		for field, list := range map[string][]string{"versions": c.Versions, "tombstones": c.Tombstones} {
			seen := map[string]int{}
			for i, v := range list {
				at := fmt.Sprintf("%s[%d]", field, i)
				if first, twice := seen[v]; twice {
					report(c.source, at, fmt.Sprintf("%s stands there twice; the first time in line %d", v, first))
					continue
				}
				seen[v] = c.Line(at)
			}
		}
	}
}

func fileNames(k *knowledge, report func(source, string, string)) {
	for _, c := range k.all {
		if want := strings.TrimSuffix(path.Base(c.file), extension); c.Name != want {
			report(c.source, "name", fmt.Sprintf("channel %q stands in a file for channel %q", c.Name, want))
		}
	}
	for _, b := range k.Blocks {
		base := strings.TrimSuffix(path.Base(b.file), extension)
		if rest, ok := strings.CutPrefix(base, b.To); !ok || rest != "" && rest[0] != '-' {
			// 4.4.12-to-4.5.4 is an old form of a name.
			if !strings.HasSuffix(base, "-to-"+b.To) {
				report(b.source, "to", fmt.Sprintf("a block of %s stands in a file whose name does not begin with that", b.To))
			}
			continue
		}
		for _, v := range k.versions { // 4.1.0-rc.1.yaml is no file for 4.1.0
			if rest, ok := strings.CutPrefix(base, v); ok && strings.HasPrefix(v, b.To+"-") && (rest == "" || rest[0] == '-') {
				report(b.source, "to", fmt.Sprintf("a block of %s stands in a file for %s", b.To, v))
				break
			}
		}
	}
}

func blocksKnown(k *knowledge, report func(source, string, string)) {
	for _, b := range k.Blocks {
		version, _, _ := strings.Cut(b.To, "+")
		if !slices.Contains(k.versions, version) {
			report(b.source, "to", fmt.Sprintf("%s is in no channel", b.To))
		}
	}
	for i := range k.Risks {
		r := &k.Risks[i]
		if !slices.ContainsFunc(k.parsed, func(v version) bool { return r.holds(v.semver) }) {
			report(r.source, "to", fmt.Sprintf("%q holds no version of any channel%s", r.To, r.until()))
		}
	}
}

func fixedIn(k *knowledge, report func(source, string, string)) {
	for _, b := range k.Blocks {
		to, errTo := semver.Parse(b.To)
		fixed, errFixed := semver.Parse(b.FixedIn)
		if b.FixedIn != "" && errTo == nil && errFixed == nil && fixed.LE(to) {
			report(b.source, "fixedIn", fmt.Sprintf("the risk of %s is said to be fixed in %s", b.To, b.FixedIn))
		}
	}
}

func schemaNewer(k *knowledge, report func(source, string, string)) {
	have, err := semver.Parse(k.Schema)
	if known := semver.MustParse(expectedSchema); err == nil && have.GT(known) && have.Minor > known.Minor {
		report(source{file: path.Join(k.Path, versionFile)}, "", fmt.Sprintf("schema %s is newer than %s", k.Schema, expectedSchema))
	}
}
