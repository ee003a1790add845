package inspect

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/manifests"
)

// Column is what the list of images shows beside the names.
type Column int

// The columns. Sizes needs Info.Sizes.
const (
	ColumnDigest Column = iota
	ColumnCommit
	ColumnCommitURL
	ColumnPullSpec
	ColumnSize
)

// WriteText writes what there is to know about a payload for people, in the order
// and words of oc. now is what ages are counted to.
func (i *Info) WriteText(w io.Writer, column Column, now time.Time) error {
	var b bytes.Buffer
	i.writeHead(&b)
	i.writeMetadata(&b)
	i.writeVersions(&b)
	b.WriteString("\nImages:\n")
	i.writeImages(&b, column, now)
	if len(i.Warnings) > 0 {
		b.WriteString("\nWarnings:\n")
		for _, warning := range i.Warnings {
			fmt.Fprintf(&b, "* %s\n", Printable(warning))
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

func (i *Info) writeHead(b *bytes.Buffer) {
	lines := [][]string{
		{"Name:", i.Version},
		{"Digest:", i.Identity()},
		{"Created:", i.Created.Format(time.RFC3339)},
		{"OS/Arch:", i.OSArch()},
		{"Manifests:", fmt.Sprint(len(i.Manifests))},
	}
	if len(i.Files) > 0 {
		lines = append(lines, []string{"Metadata files:", fmt.Sprint(len(i.Files))})
	}
	rows(b, "", lines)
	if len(i.Platforms) > 0 {
		b.WriteString("\nPlatforms:\n")
		lines = nil
		for _, p := range i.Platforms {
			lines = append(lines, []string{p.Platform, p.Digest})
		}
		rows(b, "  ", lines)
	}
	fmt.Fprintf(b, "\nPull From: %s\n", i.PullSpec)
}

func (i *Info) writeMetadata(b *bytes.Buffer) {
	b.WriteString("\nRelease Metadata:\n")
	lines := [][]string{{"Version:", i.Version}, {"Upgrades:", cmp.Or(strings.Join(i.Upgrades, ", "), "<none>")}}
	if len(i.Next) > 0 {
		lines = append(lines, []string{"Next:", strings.Join(i.Next, ", ")})
	}
	rows(b, "  ", lines)
	lines = nil
	for _, key := range slices.Sorted(maps.Keys(i.Values)) {
		if i.Values[key] != "" {
			lines = append(lines, []string{key + ":", i.Values[key]})
		}
	}
	if len(lines) > 0 {
		b.WriteString("  Metadata:\n")
		rows(b, "    ", lines)
	}
}

func (i *Info) writeVersions(b *bytes.Buffer) {
	if len(i.DisplayVersions) == 0 {
		return
	}
	b.WriteString("\nComponent Versions:\n")
	var lines [][]string
	for _, key := range slices.Sorted(maps.Keys(i.DisplayVersions)) {
		v := i.DisplayVersions[key]
		lines = append(lines, []string{key, v.Version, v.DisplayName})
	}
	rows(b, "  ", lines)
}

func (i *Info) writeImages(b *bytes.Buffer, column Column, now time.Time) {
	var lines [][]string
	switch column {
	case ColumnSize:
		i.writeSizes(b, now)
		return
	case ColumnCommit:
		lines = append(lines, []string{"NAME", "REPO", "COMMIT"})
	case ColumnCommitURL:
		lines = append(lines, []string{"NAME", "URL"})
	case ColumnPullSpec:
		lines = append(lines, []string{"NAME", "PULL SPEC"})
	default:
		lines = append(lines, []string{"NAME", "DIGEST"})
	}
	for _, c := range i.Components {
		switch column {
		case ColumnCommit:
			lines = append(lines, []string{c.Name, cmp.Or(c.Source, "<unknown>"), cmp.Or(c.Commit, "<unknown>")})
		case ColumnCommitURL:
			lines = append(lines, []string{c.Name, c.Where()})
		case ColumnPullSpec:
			lines = append(lines, []string{c.Name, c.PullSpec})
		default:
			lines = append(lines, []string{c.Name, c.Digest})
		}
	}
	rows(b, "  ", lines)
}

// Where is the link to the component's commit; for hosts whose links are not
// known, the repository and the commit.
func (c Component) Where() string {
	return cmp.Or(c.CommitURL, strings.TrimSpace(c.Source+" "+c.Commit), "<unknown>")
}

func (i *Info) writeSizes(b *bytes.Buffer, now time.Time) {
	if i.Sizes == nil {
		return
	}
	sized := map[string]ImageSize{}
	for _, s := range i.Sizes.Images {
		sized[s.Name] = s
	}
	lines := [][]string{{"NAME", "AGE", "LAYERS", "SIZE MB", "UNIQUE MB", "BASE"}}
	for _, c := range i.Components {
		s, ok := sized[c.Name]
		if !ok {
			lines = append(lines, []string{c.Name, "?", "?", "?", "?", "?"})
			continue
		}
		unique, base := megabytes(s.Unique), s.Base
		if s.SameAs != "" {
			unique, base = "-", base+"  the image of "+s.SameAs
		}
		lines = append(lines, []string{c.Name, age(s.Created, now), fmt.Sprint(s.Layers), megabytes(s.Bytes), unique, base})
	}
	widths := make([]int, 5)
	for _, line := range lines {
		for n := range widths {
			widths[n] = max(widths[n], len(line[n]))
		}
	}
	for _, line := range lines {
		text := fmt.Sprintf("  %-*s", widths[0], Printable(line[0]))
		for n := 1; n < len(widths); n++ {
			text += fmt.Sprintf("  %*s", widths[n], line[n])
		}
		fmt.Fprintf(b, "%s  %s\n", text, Printable(line[5]))
	}
	fmt.Fprintf(b, "\n  %s across %d layers", humanSize(i.Sizes.Total), i.Sizes.Layers)
	if i.Sizes.Bases > 1 {
		fmt.Fprintf(b, ", %d different base images", i.Sizes.Bases)
	}
	b.WriteByte('\n')
}

// rows aligns columns with one blank between them, and leaves none at the ends of lines.
func rows(b *bytes.Buffer, indent string, lines [][]string) {
	var widths []int
	for _, line := range lines {
		for n, cell := range line {
			cell = Printable(cell)
			line[n] = cell
			if n == len(widths) {
				widths = append(widths, 0)
			}
			widths[n] = max(widths[n], len([]rune(cell)))
		}
	}
	for _, line := range lines {
		var text strings.Builder
		for n, cell := range line {
			text.WriteString(cell)
			if n < len(line)-1 {
				text.WriteString(strings.Repeat(" ", widths[n]-len([]rune(cell))+1))
			}
		}
		fmt.Fprintf(b, "%s%s\n", indent, strings.TrimRight(text.String(), " "))
	}
}

// Printable takes out what would move a cursor or begin a line of its own: labels
// and manifests are written by others, and end up on terminals.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case unicode.IsControl(r), r == '\u2028', r == '\u2029':
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// WriteContents writes all manifests of a payload as one YAML stream, each behind a
// comment with its file's name.
func WriteContents(w io.Writer, p *release.Payload) error {
	for _, f := range p.Manifests {
		if !manifests.IsManifest(f.Name) {
			continue
		}
		end := ""
		if !bytes.HasSuffix(f.Data, []byte("\n")) {
			end = "\n"
		}
		if _, err := fmt.Fprintf(w, "---\n# %s\n%s%s", f.Name, f.Data, end); err != nil {
			return err
		}
	}
	return nil
}
