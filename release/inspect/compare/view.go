package compare

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/slipway-release/slipway/release/inspect"
	"github.com/slipway-release/slipway/release/inspect/permissions"
)

// View says how much of a Diff is shown.
type View struct {
	// Full shows all changes of all objects, and values in whole length.
	Full bool
	// Commits shows links to the commits between two images in text as well.
	Commits bool
}

// How much is shown of one thing unless Full is asked for.
const (
	maxChanges = 25  // of one object
	maxNames   = 12  // of objects in which only images differ
	maxWidth   = 110 // of a value, in characters
	maxHunk    = 16  // lines of a text
)

// report is a Diff in the order in which people read it. Text, Markdown and HTML
// are three ways of writing it.
type report struct {
	Title    string
	Head     table
	Summary  []line
	Sections []section
}

// section has rows, or items, or both.
type section struct {
	Title string
	Note  string
	Rows  table
	Items []item
	Alarm bool // deserves a look
}

// table has its headings in the first row; cells may be links.
type table [][]cell

type cell struct {
	Text string
	Link string
}

// item is an object and what is said of it.
type item struct {
	Mark  string // + - ~ or !
	Text  string
	Aside string // where it stands
	Lines []line
}

// line is one line below an item; the deeper it stands, the larger Depth.
type line struct {
	Mark  string
	Text  string
	Depth int
}

func row(texts ...string) []cell {
	cells := make([]cell, len(texts))
	for i, t := range texts {
		cells[i] = cell{Text: t}
	}
	return cells
}

func (d *Diff) report(v View) report {
	r := report{Title: fmt.Sprintf("%s → %s", d.From.Version, d.To.Version), Head: d.head()}
	if d.Identical {
		r.Summary = []line{{Text: "The payloads are identical: they have one digest."}}
		return r
	}
	r.Summary = d.summary()
	add := func(s section) {
		if len(s.Rows) > 0 || len(s.Items) > 0 {
			r.Sections = append(r.Sections, s)
		}
	}
	add(section{Title: "Component versions", Rows: valueRows("COMPONENT", d.Versions, d.versionName)})
	add(section{Title: "Images changed", Rows: changedRows(d.Images.Changed, v)})
	add(section{Title: "Images rebuilt", Note: "the same commit, another digest", Rows: digestRows(d.Images.Rebuilt)})
	add(section{Title: "Images added", Rows: d.oneSided(d.Images.Added)})
	add(section{Title: "Images removed", Rows: d.oneSided(d.Images.Removed)})
	add(section{Title: "Images relocated", Note: "the same digest in another repository", Rows: relocatedRows(d.Images.Relocated)})
	for _, s := range permissionSections(d.Permissions) {
		add(s)
	}
	for _, s := range d.Manifests.sections(v) {
		add(s)
	}
	add(section{Title: "Feature gates", Items: gateItems(d.FeatureGates)})
	for _, s := range d.packageSections() {
		add(s)
	}
	add(section{Title: "Metadata", Rows: valueRows("KEY", d.Metadata, nil)})
	add(section{Title: "Upgrade paths", Items: d.pathItems()})
	add(section{Title: "Warnings", Items: warningItems(d.Warnings), Alarm: true})
	return r
}

func (d *Diff) head() table {
	t := table{
		row("", "FROM", "TO"),
		row("Name", d.From.Version, d.To.Version),
		row("Digest", d.From.Identity(), d.To.Identity()),
		row("Created", d.From.Created.Format(time.RFC3339), d.To.Created.Format(time.RFC3339)),
	}
	if d.From.OSArch() != d.To.OSArch() {
		t = append(t, row("OS/Arch", d.From.OSArch(), d.To.OSArch()))
	}
	can := "no: it is not among the versions that may upgrade"
	if d.Upgradable {
		can = "yes"
	}
	if d.From.Version == d.To.Version {
		can = "the versions are the same"
	}
	return append(t, row("Upgrade", "", can))
}

func (d *Diff) summary() []line {
	var lines []line
	say := func(what, text string) {
		lines = append(lines, line{Text: fmt.Sprintf("%-12s %s", what, text)})
	}
	i, m := d.Images, d.Manifests
	say("Images", counts("unchanged", i.Unchanged, count{len(i.Changed), "changed"}, count{len(i.Rebuilt), "rebuilt"},
		count{len(i.Added), "added"}, count{len(i.Removed), "removed"}, count{len(i.Relocated), "relocated"}))
	say("Objects", counts("unchanged", m.Unchanged, count{len(m.Added), "added"}, count{len(m.Removed), "removed"},
		count{len(m.Changed), "changed"}, count{len(m.OnlyImages), "in images or version only"}))
	if all, risky := d.Permissions.Count(); all > 0 {
		mark := ""
		if risky > 0 {
			mark = "!"
		}
		lines = append(lines, line{Mark: mark, Text: fmt.Sprintf("%-12s %d gained, %d of them worth a look", "Permissions", all, risky)})
	} else {
		say("Permissions", "none gained")
	}
	if p := d.Packages; p != nil {
		say("Packages", counts("unchanged", 0, count{len(p.System), "of operating systems changed"}, count{len(p.Others), "of other kinds changed"}))
	} else {
		say("Packages", "not compared: not both payloads have a bill of materials that can be read")
	}
	return lines
}

type count struct {
	n    int
	what string
}

// counts leaves out what there is none of.
func counts(rest string, same int, all ...count) string {
	var parts []string
	for _, c := range append(all, count{same, rest}) {
		if c.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", c.n, c.what))
		}
	}
	return cmp.Or(strings.Join(parts, ", "), "none")
}

func (d *Diff) versionName(key string) string {
	name := cmp.Or(d.To.DisplayVersions[key].DisplayName, d.From.DisplayVersions[key].DisplayName)
	if name == "" {
		return key
	}
	return key + " (" + name + ")"
}

func valueRows(heading string, changes []ValueChange, name func(string) string) table {
	if len(changes) == 0 {
		return nil
	}
	t := table{row(heading, "FROM", "TO")}
	for _, c := range changes {
		shown := c.Name
		if name != nil {
			shown = name(c.Name)
		}
		t = append(t, row(shown, cmp.Or(c.From, "-"), cmp.Or(c.To, "-")))
	}
	return t
}

// pathItems are the versions between which clusters may upgrade.
func (d *Diff) pathItems() []item {
	var items []item
	for _, l := range []struct {
		mark, text string
		versions   []string
	}{
		{"+", "from %s", d.Previous.Added}, {"-", "from %s", d.Previous.Removed},
		{"+", "on to %s", d.Next.Added}, {"-", "on to %s", d.Next.Removed},
	} {
		for _, v := range l.versions {
			items = append(items, item{Mark: l.mark, Text: fmt.Sprintf(l.text, v)})
		}
	}
	return items
}

func changedRows(changes []ImageChange, v View) table {
	if len(changes) == 0 {
		return nil
	}
	t := table{row("NAME", "FROM", "TO")}
	if v.Commits {
		t = table{row("NAME", "FROM", "TO", "COMMITS")}
	}
	for _, c := range changes {
		cells := row(c.Name, version(*c.From), version(*c.To))
		cells[2].Link = c.CompareURL
		if v.Commits {
			cells = append(cells, cell{Text: cmp.Or(c.CompareURL, c.To.Where())})
		}
		t = append(t, cells)
	}
	return t
}

// version tells one build of a component from another: its commit, or its digest
// where nobody told the commit.
func version(c inspect.Component) string {
	if c.Commit != "" {
		return "commit " + short(c.Commit)
	}
	return short(c.Digest)
}

func short(id string) string {
	algorithm, hex, ok := strings.Cut(id, ":")
	if !ok {
		algorithm, hex = "", id
	} else {
		algorithm += ":"
	}
	return algorithm + hex[:min(len(hex), 12)]
}

func digestRows(changes []ImageChange) table {
	if len(changes) == 0 {
		return nil
	}
	t := table{row("NAME", "FROM", "TO")}
	for _, c := range changes {
		t = append(t, row(c.Name, short(c.From.Digest), short(c.To.Digest)))
	}
	return t
}

func relocatedRows(changes []ImageChange) table {
	if len(changes) == 0 {
		return nil
	}
	t := table{row("NAME", "FROM", "TO")}
	for _, c := range changes {
		t = append(t, row(c.Name, strings.TrimSuffix(c.From.PullSpec, "@"+c.From.Digest), strings.TrimSuffix(c.To.PullSpec, "@"+c.To.Digest)))
	}
	return t
}

func (d *Diff) oneSided(changes []ImageChange) table {
	if len(changes) == 0 {
		return nil
	}
	t := table{row("NAME", "DIGEST", "SOURCE")}
	for _, c := range changes {
		side := cmp.Or(c.To, c.From)
		where := side.Where()
		t = append(t, []cell{{Text: c.Name}, {Text: short(side.Digest)}, {Text: where, Link: side.CommitURL}})
	}
	return t
}

func permissionSections(g permissions.Gains) []section {
	rights := section{Title: "Permissions gained by accounts", Note: "! is worth a look", Alarm: true}
	for _, s := range g.Subjects {
		it := item{Mark: "+", Text: s.Subject.String()}
		switch {
		case s.Kind == "ClusterRole" || s.Kind == "Role":
			it.Aside = "whoever is bound to it"
		case s.New:
			it.Aside = "new"
		}
		for _, right := range s.Grants {
			it.Lines = append(it.Lines, riskLines(sentence(right), right.Risk)...)
		}
		rights.Items = append(rights.Items, it)
	}
	pods := section{Title: "Permissions gained by pods", Alarm: true}
	for _, p := range g.Pods {
		it := item{Mark: "+", Text: p.Object, Aside: p.File}
		if p.New {
			it.Aside = "new, " + it.Aside
		}
		for _, power := range p.Powers {
			text := power.What
			if power.Where != "" {
				text += " (container " + power.Where + ")"
			}
			it.Lines = append(it.Lines, riskLines(text, power.Risk)...)
		}
		pods.Items = append(pods.Items, it)
	}
	hooks := section{Title: "Permissions gained by webhooks", Alarm: true}
	for _, h := range g.Hooks {
		hooks.Items = append(hooks.Items, item{Mark: "+", Text: h.Object, Aside: h.File, Lines: riskLines(h.Name+" "+h.What, h.Risk)})
	}
	return []section{rights, pods, hooks}
}

func riskLines(text, risk string) []line {
	if risk == "" {
		return []line{{Mark: "+", Text: text}}
	}
	return []line{{Mark: "!", Text: text + "  — " + risk}}
}

// sentence says what a grant allows: "get, list secrets in namespace x".
func sentence(g permissions.Grant) string {
	var b strings.Builder
	switch {
	case g.Role != "":
		fmt.Fprintf(&b, "all that %s allows, which is not in the payload", g.Role)
	case slices.Contains(g.Verbs, "*"):
		fmt.Fprintf(&b, "every verb (*) on %s", strings.Join(slices.Concat(g.Resources, g.URLs), ", "))
	default:
		fmt.Fprintf(&b, "%s %s", strings.Join(g.Verbs, ", "), strings.Join(slices.Concat(g.Resources, g.URLs), ", "))
	}
	if len(g.Names) > 0 {
		fmt.Fprintf(&b, " named %s", strings.Join(g.Names, ", "))
	}
	if g.Namespace != "" {
		fmt.Fprintf(&b, " in namespace %s", g.Namespace)
	}
	return b.String()
}

func (d *Diff) packageSections() []section {
	if d.Packages == nil {
		return nil
	}
	note := fmt.Sprintf("from bills of materials: of the older payload %s, of the newer %s", d.Packages.FromTrust, d.Packages.ToTrust)
	sections := []section{
		{Title: "Operating system packages", Note: note, Rows: packageRows(d.Packages.System)},
		{Title: "Other packages", Note: note, Rows: packageRows(d.Packages.Others)},
	}
	return sections
}

func packageRows(changes []PackageChange) table {
	if len(changes) == 0 {
		return nil
	}
	t := table{row("KIND", "NAME", "FROM", "TO", "IMAGES")}
	for _, c := range changes {
		images := strings.Join(c.Images, ", ")
		if len(c.Images) > 4 {
			images = fmt.Sprintf("%s and %d more", strings.Join(c.Images[:3], ", "), len(c.Images)-3)
		}
		t = append(t, row(cmp.Or(c.Kind, "-"), c.Name, cmp.Or(strings.Join(c.From, ", "), "-"), cmp.Or(strings.Join(c.To, ", "), "-"), images))
	}
	return t
}

func warningItems(warnings []string) []item {
	var items []item
	for _, w := range warnings {
		items = append(items, item{Mark: "!", Text: w})
	}
	return items
}
