package premerge

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/slipway-release/slipway/pipelines/report"
	"github.com/slipway-release/slipway/release/inspect"
	"github.com/slipway-release/slipway/release/inspect/compare"
	"github.com/slipway-release/slipway/release/lint"
	"github.com/slipway-release/slipway/release/manifests"
)

// maxSuspects bounds what a person is told to look at.
const maxSuspects = 5

// suspects are what is most likely responsible for what was lost: what a rule found
// wrong in the change; else the fields that the change sets in components that what
// was lost depends on; else such a component's image.
func (c *check) suspects() []report.Suspect {
	var found []report.Suspect
	involved := c.involved()
	for _, f := range c.found.Static.Findings {
		if c.changed(f.Component) && (f.Level == lint.Error || slices.Contains(involved, f.Component)) {
			found = append(found, report.Suspect{
				Component: f.Component, File: f.File, Line: f.Line, Object: f.Object, Field: f.Field, Why: fmt.Sprintf("%s (%s, %s)", said(f), f.Rule, f.Level),
			})
		}
	}
	if c.measured == nil {
		return found[:min(len(found), maxSuspects)]
	}
	fields := c.fields()
	for _, component := range c.ranked(involved) {
		why := "what was lost depends on this component, and the change sets it"
		if !slices.Contains(involved, component) {
			why = "the change sets it, and nothing that is nearer to what was lost"
		}
		own := slices.Collect(func(yield func(report.Suspect) bool) {
			for _, s := range fields {
				if s.Component == component {
					s.Why = why
					if !yield(s) {
						return
					}
				}
			}
		})
		if len(own) == 0 {
			own = []report.Suspect{c.imageSuspect(component, slices.Contains(involved, component))}
		}
		found = append(found, own...)
	}
	return distinct(found)[:min(len(distinct(found)), maxSuspects)]
}

func distinct(all []report.Suspect) []report.Suspect {
	type key struct{ component, object, field string }
	seen := map[key]bool{}
	var kept []report.Suspect
	for _, s := range all {
		k := key{s.Component, s.Object, s.Field}
		if !seen[k] {
			kept = append(kept, s)
		}
		seen[k] = true
	}
	return kept
}

func (c *check) imageSuspect(component string, involved bool) report.Suspect {
	s := report.Suspect{Component: component, Why: "what was lost depends on this component, of which only the image differs"}
	if !involved {
		s.Why = "only the image of this component differs, and no component that is nearer to what was lost"
	}
	for _, ch := range c.changes {
		if ch.Component != component {
			continue
		}
		if ch.recipe != nil {
			s.File = ch.recipe.Dir
		}
		s.From, _ = c.Base.Payload.Image(component)
		s.From, s.To = digestOf(s.From), digestOf(ch.Image)
	}
	return s
}

func (c *check) changed(component string) bool {
	return slices.ContainsFunc(c.changes, func(ch *change) bool { return ch.Component == component })
}

// ranked are the changed components: those that what was lost depends on, the nearest
// first, or, when none of these was changed, all.
func (c *check) ranked(involved []string) []string {
	var near, rest []string
	for _, name := range involved {
		if c.changed(name) {
			near = append(near, name)
		}
	}
	if len(near) > 0 {
		return near
	}
	for _, ch := range c.changes {
		rest = append(rest, ch.Component)
	}
	return rest
}

// involved are the components that what was lost depends on: by the objects that
// rules are about, then by the backends, the gravest loss first.
func (c *check) involved() []string {
	var names []string
	add := func(more ...string) {
		for _, name := range more {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	for _, l := range c.found.Losses {
		if l.Object != "" {
			add(c.componentOf(l.Object)...)
		}
	}
	for _, l := range c.found.Losses {
		add(l.Components...)
	}
	for _, m := range c.measured {
		if m.result.Failure != "" {
			add(c.named(m.result.Failure)...)
		}
	}
	return names
}

// podSuffix is what controllers put behind the name of what they make.
var podSuffix = regexp.MustCompile(`(-[a-z0-9]{8,10})?-([a-z0-9]{5}|[0-9]+)$`)

// componentOf finds the component whose manifest an object of a cluster comes from:
// "Deployment kube-system/coredns", its pod "kube-system/coredns-6d9f-x7k2p", or a
// static pod, which bears the name of its component and of its node.
func (c *check) componentOf(object string) []string {
	if i := strings.LastIndexByte(object, ' '); i >= 0 {
		object = object[i+1:]
	}
	namespace, name, ok := strings.Cut(object, "/")
	if !ok {
		return nil
	}
	for _, wanted := range []string{name, podSuffix.ReplaceAllString(name, ""), name[:max(strings.LastIndexByte(name, '-'), 0)]} {
		for _, o := range c.draft.objects() {
			if component := c.draft.owners[o.File].component; component != "" && o.Namespace == namespace && o.Name == wanted {
				return []string{component}
			}
		}
	}
	for _, component := range c.draft.payload.Components() {
		if strings.HasPrefix(name, component+"-") {
			return []string{component}
		}
	}
	return nil
}

// named are the components whose objects a message names.
func (c *check) named(message string) []string {
	var names []string
	for _, o := range c.draft.objects() {
		if o.Namespace != "" && strings.Contains(message, o.String()) {
			names = append(names, c.draft.owners[o.File].component)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// objects are the payload's.
func (d *draft) objects() []manifests.Object {
	if d.read == nil {
		d.read, _ = manifests.Read(d.payload.Manifests)
	}
	return d.read
}

// fields are what the change sets otherwise than the base, those first by which
// availability stands and falls.
func (c *check) fields() []report.Suspect {
	d, err := c.compare()
	if err != nil {
		return nil // it says what is likely; nothing is decided by it
	}
	var found []report.Suspect
	for _, o := range d.Manifests.Changed {
		for _, change := range o.Changes {
			s := c.suspectOf(o.Object)
			s.Field = change.Path
			s.From, s.To = difference(change.From, change.To)
			found = append(found, s)
		}
	}
	for _, o := range d.Manifests.Removed {
		s := c.suspectOf(o)
		s.From = "there"
		found = append(found, s)
	}
	for _, o := range d.Manifests.Added {
		s := c.suspectOf(o)
		s.To = "there"
		found = append(found, s)
	}
	slices.SortStableFunc(found, func(a, b report.Suspect) int { return weight(a) - weight(b) })
	return found
}

func (c *check) suspectOf(o compare.Object) report.Suspect {
	s := report.Suspect{Object: o.String(), File: o.File, Component: c.draft.owners[o.File].component}
	if source := c.draft.owners[o.File].source; source != "" {
		s.File = source
	}
	if s.Component == "" { // a file that the change took away
		s.Component = c.fileComponent(o.File)
	}
	return s
}

// fileComponent reads the component in a file's name, 0000_NN_<component>_<file>.
func (c *check) fileComponent(file string) string {
	best := ""
	for _, name := range c.Base.Payload.Components() {
		if strings.Contains(file, "_"+name+"_") && len(name) > len(best) {
			best = name
		}
	}
	return best
}

// compare is what the change does to the manifests of the base.
func (c *check) compare() (*compare.Diff, error) {
	if c.diff != nil {
		return c.diff, nil
	}
	var sides [2]compare.Side
	for i, s := range []inspect.Subject{
		{Named: c.Base.Payload.Version.String(), Reference: c.Base.Payload.Reference, Image: c.Base.Image, Payload: c.Base.Payload},
		{Named: c.version.String(), Image: c.draft.image, Payload: c.draft.payload},
	} {
		info, err := inspect.Describe(s, nil)
		if err != nil {
			return nil, err
		}
		sides[i] = compare.Side{Info: info, Payload: s.Payload}
	}
	c.diff = compare.Payloads(sides[0], sides[1], nil)
	return c.diff, nil
}

// telling are parts of fields by which availability stands and falls, the most telling first.
var telling = regexp.MustCompile(`(?i)readiness|replicas|strategy|lifecycle|grace|disruption|unavailable|surge|shutdown|Corefile|settings\.yaml|probe|affinity|spread|tolerations|args|command|data`)

func weight(s report.Suspect) int {
	if telling.MatchString(s.Field) || telling.MatchString(s.Object) {
		return 0
	}
	return 1
}

// maxShown bounds a value that is shown, in characters.
const maxShown = 120

// difference shows two values in one line each; of texts of many lines, the first
// line that differs.
func difference(from, to any) (string, string) {
	a, aText := from.(string)
	b, bText := to.(string)
	if aText && bText && (strings.Contains(a, "\n") || strings.Contains(b, "\n")) {
		x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
		for len(x) > 0 && len(y) > 0 && x[0] == y[0] {
			x, y = x[1:], y[1:]
		}
		for len(x) > 0 && len(y) > 0 && x[len(x)-1] == y[len(y)-1] {
			x, y = x[:len(x)-1], y[:len(y)-1]
		}
		return brief(strings.TrimSpace(strings.Join(x, "\n"))), brief(strings.TrimSpace(strings.Join(y, "\n")))
	}
	return brief(from), brief(to)
}

func brief(v any) string {
	if v == nil {
		return ""
	}
	text, isText := v.(string)
	if !isText {
		data, err := json.Marshal(v)
		if err != nil {
			return fmt.Sprint(v)
		}
		text = string(data)
	}
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > maxShown {
		text = string(runes[:maxShown]) + "…"
	}
	return text
}
