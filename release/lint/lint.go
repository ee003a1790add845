package lint

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/slipway-release/slipway/internal/sarif"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/manifests"
)

// Level is how much a finding weighs.
type Level = sarif.Level

// The levels, the gravest first.
const (
	Error   = sarif.Error
	Warning = sarif.Warning
	Note    = sarif.Note
)

// Options says what the manifests are judged by.
type Options struct {
	// Profile is the cluster profile that the release is for. Objects of other
	// profiles are then judged by themselves only. Empty: any.
	Profile string
	// Kubernetes is the version of Kubernetes, "1.36.3", whose APIs must serve the
	// objects. Empty: the one that the references announce. Without either, rules about
	// versions of APIs report nothing.
	Kubernetes string
	// Replaced reports whether assembling a payload puts a pinned image in the place of a repository, given
	// without tag and digest. It is for sources; nil, as for payloads: none is replaced.
	Replaced func(repository string) bool
	// Origin turns the name of a payload's file into what findings call it, such
	// as the path it was read from. Nil: the name itself.
	Origin func(file string) string
	// From are payloads that clusters are upgraded from to this one, each in one step: every
	// step is judged as well.
	From []*release.Payload
	// BothWays judges the steps back too, as after an upgrade that was broken off.
	BothWays bool
	// Exceptions are those of files; objects bring more in their annotations.
	Exceptions []Exception
	// Now decides which exceptions have expired. Zero: the clock. Whoever must come to the same
	// result later gives the time of the release.
	Now time.Time
}

// Finding is one thing that a rule reports.
type Finding struct {
	ID        string     `json:"id"`   // SLW…
	Rule      string     `json:"rule"` // name of the rule
	Level     Level      `json:"level"`
	Object    string     `json:"object,omitempty"` // "Deployment kube-system/coredns"
	File      string     `json:"file,omitempty"`
	Line      int        `json:"line,omitempty"`  // from 1; 0 when it concerns the whole file
	Field     string     `json:"field,omitempty"` // of the object: spec.replicas, data["settings.yaml"].args
	Hop       string     `json:"hop,omitempty"`   // of an upgrade that was judged: "VERSION to VERSION"
	Message   string     `json:"message"`
	Fix       string     `json:"fix"`
	Exception *Exception `json:"exception,omitempty"` // why it is not counted

	name string // of the payload's file
}

// Counts are the findings by level.
type Counts struct {
	Error    int `json:"error"`
	Warning  int `json:"warning"`
	Note     int `json:"note"`
	Excepted int `json:"excepted"`
}

// Report is the outcome of a run.
type Report struct {
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"`
	Kubernetes string    `json:"kubernetes,omitempty"` // empty: not known, rules about it were silent
	Profile    string    `json:"profile,omitempty"`
	Files      int       `json:"files"`
	Objects    int       `json:"objects"`
	Hops       []string  `json:"hops,omitempty"` // upgrades that were judged, "VERSION to VERSION"
	Counts     Counts    `json:"counts"`
	Findings   []Finding `json:"findings"` // sorted by file, line and rule
	Excepted   []Finding `json:"excepted"`
}

// Failed reports whether there is a finding of this level or a graver one that no
// exception covers.
func (r Report) Failed(at Level) bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Level.AtLeast(at) })
}

// Run judges the files of a release, by the names they have in its payload. refs are
// the images of the payload; of sources, which have none yet, they are empty.
func Run(files []release.File, refs release.ImageReferences, o Options) Report {
	l := New(refs, o)
	sorted := slices.Clone(files)
	slices.SortStableFunc(sorted, func(a, b release.File) int { return strings.Compare(a.Name, b.Name) })
	for some := range slices.Chunk(sorted, filesAtOnce) {
		objects, problems := manifests.Read(some)
		l.Add(some, objects, problems)
	}
	return l.Report()
}

// filesAtOnce bounds how much is held of what no rule needs.
const filesAtOnce = 64

// Linter judges files that are parsed elsewhere, part by part. Of each it keeps
// only what the rules need.
type Linter struct{ p *payload }

// New begins a run; refs and o are those of Run.
func New(refs release.ImageReferences, o Options) *Linter {
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	if o.Origin == nil {
		o.Origin = func(file string) string { return file }
	}
	return &Linter{p: &payload{options: o, refs: refs, kubernetes: kubernetesOf(refs, o)}}
}

// Add takes some of the files, with what manifests.Read made of them.
func (l *Linter) Add(files []release.File, objects []manifests.Object, problems manifests.Problems) {
	l.p.add(files, objects, problems)
}

// Report judges all that was added.
func (l *Linter) Report() Report {
	p := l.p
	p.prepare()
	var raised []raise
	for _, rule := range rules {
		if rule.check != nil {
			rule.check(p, func(at place, message string) { raised = append(raised, raise{rule, at, message}) })
		}
	}
	report := Report{
		APIVersion: "slipway.dev/v1alpha1", Kind: "LintReport", Kubernetes: p.kubernetes.String(), Profile: p.options.Profile,
		Files: len(p.files), Objects: len(p.objects), Hops: p.judged, Findings: []Finding{}, Excepted: []Finding{},
	}
	report.divide(p.findings(raised), p.exceptions())
	return report
}

// divide sorts the findings and sets those apart that exceptions cover.
func (r *Report) divide(findings []Finding, x *exceptions) {
	for _, f := range findings {
		if e := x.cover(f); e != nil {
			f.Exception = e
			r.Excepted = append(r.Excepted, f)
		} else {
			r.Findings = append(r.Findings, f)
		}
	}
	r.Findings = append(r.Findings, x.findings()...)
	sortFindings(r.Findings)
	sortFindings(r.Excepted)
	r.Findings = slices.CompactFunc(r.Findings, func(a, b Finding) bool { return a == b })
	for _, f := range r.Findings {
		switch f.Level {
		case Error:
			r.Counts.Error++
		case Warning:
			r.Counts.Warning++
		default:
			r.Counts.Note++
		}
	}
	r.Counts.Excepted = len(r.Excepted)
}

func sortFindings(findings []Finding) {
	slices.SortStableFunc(findings, func(a, b Finding) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), strings.Compare(a.ID, b.ID), strings.Compare(a.Hop, b.Hop), strings.Compare(a.Message, b.Message))
	})
}

// place is where a finding is: in a file, or at a value of an object.
type place struct {
	file   string
	line   int
	object string // what Object.String says

	of   *manifests.Object
	path []any  // as for manifests.Lines.Of; empty: the object's first line
	text string // what the value holds, in the place of a path

	// The value at path may be a text with places of its own:
	within []any // the way to a value of the YAML document that it is
	nth    int   // its line, from 1

	hop string
}

// at is the place of a value of an object.
func at(o manifests.Object, path ...any) place {
	return place{file: o.File, line: o.Line, object: o.String(), of: &o, path: path}
}

// raise is what a rule reported.
type raise struct {
	rule    *Rule
	at      place
	message string
}

// findings looks up the lines of all that was reported. That parses an object's
// document again, and is done once for each.
func (p *payload) findings(raised []raise) []Finding {
	order := make([]int, len(raised))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return strings.Compare(raised[a].at.key(), raised[b].at.key()) })
	var lines manifests.Lines
	last := ""
	for _, i := range order {
		at := &raised[i].at
		if len(at.path) == 0 && at.text == "" {
			continue
		}
		if key := at.key(); key != last {
			last, lines = key, at.of.Lines()
		}
		at.line = at.in(lines)
	}
	found := make([]Finding, 0, len(raised))
	for _, r := range raised {
		found = append(found, p.finding(r.rule, r.at, r.message))
	}
	return found
}

// in looks the place up in the lines of its object.
func (a place) in(lines manifests.Lines) int {
	switch {
	case a.text != "":
		return lines.Containing(a.text)
	case len(a.within) > 0:
		return lines.Within(a.path...).Of(a.within...)
	case a.nth > 0:
		return lines.OfText(a.nth, a.path...)
	}
	return lines.Of(a.path...)
}

// plainKey needs no quotes within the name of a field.
var plainKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// field names the value as people write it: spec.template.spec.containers[0].
func (a place) field() string {
	var b strings.Builder
	for _, step := range slices.Concat(a.path, a.within) {
		switch step := step.(type) {
		case int:
			fmt.Fprintf(&b, "[%d]", step)
		case string:
			switch {
			case !plainKey.MatchString(step):
				fmt.Fprintf(&b, "[%q]", step)
			case b.Len() == 0:
				b.WriteString(step)
			default:
				b.WriteString("." + step)
			}
		}
	}
	return b.String()
}

func (a place) key() string {
	if a.of == nil {
		return ""
	}
	return fmt.Sprintf("%s\x00%08d", a.file, a.of.Line)
}

func (p *payload) finding(r *Rule, at place, message string) Finding {
	return Finding{
		ID: r.ID, Rule: r.Name, Level: r.Level, Object: at.object, File: p.options.Origin(at.file), Line: at.line,
		Field: at.field(), Hop: at.hop, Message: message, Fix: r.Fix, name: at.file,
	}
}
