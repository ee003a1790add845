package changelog

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/slipway-release/slipway/release/inspect/features"
)

// WriteMarkdown writes the changelog as the forges show it. Nothing that a commit
// says can become markup.
func (c *Changelog) WriteMarkdown(w io.Writer) error {
	b := &markdown{}
	b.printf("# %s\n\n", escape(c.To.Name))
	b.printf("Created: %s  \nImage digest: `%s`  \nChanges since: %s", c.To.Created.UTC().Format(time.DateTime+" UTC"), c.To.Digest, escape(c.From.Name))
	if c.UpgradeFrom {
		b.printf(", which may upgrade to it")
	}
	b.printf("\n")
	if len(c.Components) > 0 {
		b.printf("\n## Components\n\n")
		for _, x := range c.Components {
			b.printf("* %s %s\n", escape(x.Name), escape(x.sentence()))
		}
	}
	b.gates(c.FeatureGates)
	b.images("New images", c.NewImages)
	b.images("Removed images", c.RemovedImages)
	b.images("Rebuilt images without code change", c.RebuiltImages)
	if len(c.UpdatedImages) > 0 {
		b.printf("\n## Changes\n")
		for _, u := range c.UpdatedImages {
			b.update(u)
		}
	}
	if c.empty() {
		b.printf("\nNothing that is built from source has changed.\n")
	}
	_, err := w.Write(b.Bytes())
	return err
}

func (c *Changelog) empty() bool {
	return len(c.Components)+len(c.FeatureGates)+len(c.NewImages)+len(c.RemovedImages)+len(c.RebuiltImages)+len(c.UpdatedImages) == 0
}

// markdown is a page that is being written.
type markdown struct{ bytes.Buffer }

func (b *markdown) printf(format string, args ...any) { fmt.Fprintf(b, format, args...) }

func (b *markdown) images(title string, images []Image) {
	if len(images) == 0 {
		return
	}
	b.printf("\n## %s\n\n", title)
	for _, i := range images {
		b.printf("* %s", link(i.Name, i.Path))
		if i.Commit != "" {
			b.printf(" %s", escape(short(i.Commit)))
		}
		if _, digest, ok := strings.Cut(i.ImageRef, "@"); ok {
			b.printf(" `%s`", strings.ReplaceAll(digest, "`", ""))
		}
		b.printf("\n")
	}
}

// gates writes a table with a column for each kind of cluster, as oc does.
func (b *markdown) gates(changes []features.Change) {
	if len(changes) == 0 {
		return
	}
	b.printf("\n## Feature gates\n\n| Feature gate |")
	for _, s := range changes[0].States {
		b.printf(" %s<br/>%s |", inline(s.FeatureSet), inline(s.Profile))
	}
	b.printf("\n|:---|%s\n", strings.Repeat(":---:|", len(changes[0].States)))
	for _, c := range changes {
		b.printf("| %s<br/>(%s) |", inline(c.Name), counted(c.Tests, "test", "tests"))
		for _, s := range c.States {
			b.printf(" %s |", s)
		}
		b.printf("\n")
	}
}

func (b *markdown) update(u Update) {
	b.printf("\n### %s\n\n", link(u.Name, u.Path))
	if s := u.state(); s != "" {
		b.printf("%s.\n", escape(s))
		if len(u.sections()) > 0 || u.FullChangeLog != "" {
			b.printf("\n")
		}
	}
	for _, s := range u.sections() {
		if s.Title != "" {
			b.printf("%s:\n\n", s.Title)
		}
		b.list(s)
	}
	if u.FullChangeLog != "" {
		b.printf("* %s\n", link("Full changelog", u.FullChangeLog))
	}
}

func (b *markdown) list(s section) {
	for _, c := range s.List.People {
		b.printf("* %s\n", c.markdown())
	}
	for _, bot := range s.List.Bots {
		var labels []string
		for _, c := range bot.Commits {
			labels = append(labels, link(c.label()))
		}
		b.printf("* %s by %s: %s\n", counted(len(bot.Commits), "change", "changes"), escape(bot.Name), strings.Join(labels, ", "))
	}
	if s.Elided > 0 {
		b.printf("* … and %s\n", counted(s.Elided, "more commit", "more commits"))
	}
	if len(s.List.People)+len(s.List.Bots)+s.Elided > 0 && s.Title != "" {
		b.printf("\n")
	}
}

// leadingRevert is said by the mark before it.
var leadingRevert = regexp.MustCompile(`(?i)^revert:?\s+`)

func (c Commit) markdown() string {
	text := escape(c.Subject)
	if c.Reverted {
		text = "~~" + text + "~~ (reverted)"
	} else if c.Revert {
		text = "**Revert** " + escape(leadingRevert.ReplaceAllString(c.Subject, ""))
	}
	text += " " + link(c.label())
	for _, key := range slices.Sorted(maps.Keys(c.Issues)) {
		text += " · " + link(key, c.Issues[key])
	}
	return text
}

// link is a Markdown link, or the text alone when there is nothing to point to.
func link(text, url string) string {
	if url == "" || strings.ContainsFunc(url, func(r rune) bool { return r <= ' ' || strings.ContainsRune("()<>\\`", r) }) {
		return inline(text)
	}
	return "[" + inline(text) + "](" + url + ")"
}

// escape is inline for a text that begins an item, where some characters mean more.
func escape(s string) string {
	s = inline(s)
	if s != "" && strings.ContainsRune("#+-=", rune(s[0])) {
		return "\\" + s
	}
	return s
}

// inline takes the meaning from what Markdown and the HTML in it would read. An @
// is kept from calling people by a character without width behind it.
func inline(s string) string {
	var b strings.Builder
	for _, r := range clean(s) {
		switch r {
		case '<':
			b.WriteString("&lt;")
		case '>':
			b.WriteString("&gt;")
		case '&':
			b.WriteString("&amp;")
		case '@':
			b.WriteString("@\u200b")
		case '\\', '`', '*', '_', '[', ']', '|', '~':
			b.WriteByte('\\')
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
