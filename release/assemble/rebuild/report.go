package rebuild

import (
	"fmt"
	"io"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Report says how a payload and its rebuild differ.
type Report struct {
	Payload string `json:"payload"` // digest
	Rebuilt string `json:"rebuilt"` // digest
	Same    bool   `json:"same"`    // the digests are equal
	// SameContent says that every file of the payload has the same bytes, whatever
	// differs in how they are packed.
	SameContent bool `json:"sameContent"`
	// Own says that Slipway made the payload, so that a rebuild must be the same to the byte.
	Own bool `json:"own"`
	// Index is what differs between the indexes of a multi-platform payload.
	Index []Difference `json:"index,omitempty"`
	// Parts are the platforms of a multi-platform payload, one for any other.
	Parts []Part `json:"parts"`
	// From says what the components were taken from.
	From string `json:"from,omitempty"`
	// Components are images that came out otherwise when they were built again.
	Components []Difference `json:"components,omitempty"`
	// Built is the number of images that were built again.
	Built int `json:"built,omitempty"`
}

// Part compares the payload images of one platform.
type Part struct {
	Platform string       `json:"platform,omitempty"`
	Payload  string       `json:"payload"` // digest
	Rebuilt  string       `json:"rebuilt"` // digest
	Own      bool         `json:"-"`
	Files    []File       `json:"files,omitempty"`    // that differ in content
	Headers  []Difference `json:"headers,omitempty"`  // of entries in the payload's layer
	Layers   []Difference `json:"layers,omitempty"`   // below the payload's, and how it is packed
	Config   []Difference `json:"config,omitempty"`   // of the image
	Manifest []Difference `json:"manifest,omitempty"` // media types and annotations
	Notes    []string     `json:"notes,omitempty"`
}

// File is a file of a payload that differs.
type File struct {
	Name   string `json:"name"`
	Change string `json:"change"` // changed, missing from the rebuild, or added by it
	// Diff is a unified diff from the payload to its rebuild; empty for what is no
	// text or is very long.
	Diff string `json:"diff,omitempty"`
}

// Difference is one value that differs.
type Difference struct {
	What    string `json:"what"`
	Payload string `json:"payload"`
	Rebuilt string `json:"rebuilt"`
}

// Passes reports whether the payload counts as reproduced: to the byte when
// Slipway made it, otherwise in the content of all its files.
// Components that were built again must be the same in any case.
func (r *Report) Passes() bool {
	return (r.Same || (!r.Own && r.SameContent)) && len(r.Components) == 0
}

// CompareComponents adds to the report what became of the component images when
// they were built again; both are pull specs by digest, by component. Where the
// images are does not count.
func (r *Report) CompareComponents(was, built map[string]string) {
	r.Built = len(built)
	digests := func(images map[string]string) map[string]string {
		all := map[string]string{}
		for name, ref := range images {
			_, all[name], _ = strings.Cut(ref, "@")
		}
		return all
	}
	r.Components = compareMaps(nil, "", digests(was), digests(built))
}

func (r *Report) add(p *Part) {
	r.Parts = append(r.Parts, *p)
	r.SameContent = r.SameContent && len(p.Files) == 0
	r.Own = r.Own || p.Own
}

func reportOf(p *Part) *Report {
	r := &Report{Payload: p.Payload, Rebuilt: p.Rebuilt, Same: p.Payload == p.Rebuilt, SameContent: true}
	r.add(p)
	return r
}

func (r *Report) indexes(was, is v1.ImageIndex) error {
	wasDigest, err := was.Digest()
	if err != nil {
		return err
	}
	isDigest, err := is.Digest()
	if err != nil {
		return err
	}
	r.Payload, r.Rebuilt, r.Same = wasDigest.String(), isDigest.String(), wasDigest == isDigest
	if r.Same {
		return nil
	}
	before, err := was.IndexManifest()
	if err != nil {
		return err
	}
	after, err := is.IndexManifest()
	if err != nil {
		return err
	}
	r.Index = compareValues(r.Index, "media type", string(before.MediaType), string(after.MediaType))
	r.Index = compareMaps(r.Index, "annotation ", before.Annotations, after.Annotations)
	r.Index = compareValues(r.Index, "images", describe(before.Manifests), describe(after.Manifests))
	return nil
}

func describe(manifests []v1.Descriptor) string {
	lines := make([]string, len(manifests))
	for i, d := range manifests {
		lines[i] = fmt.Sprintf("%s %s %s %d", d.Platform, d.MediaType, d.Digest, d.Size)
	}
	return strings.Join(lines, "; ")
}

// Summary is the verdict in one sentence.
func (r *Report) Summary() string {
	switch {
	case len(r.Components) > 0:
		return fmt.Sprintf("%d of the component images came out otherwise when they were built again", len(r.Components))
	case r.Same:
		return "the rebuild is the same to the byte"
	case r.SameContent && !r.Own:
		return "same content, other packing: every file of the payload has the same bytes, what differs is how they are packed"
	case r.SameContent:
		return "every file of the payload has the same bytes, but it is packed otherwise"
	}
	return "the rebuild differs in the content of files"
}

// Text writes the report for people.
func (r *Report) Text(w io.Writer) {
	fmt.Fprintf(w, "Payload:  %s\nRebuilt:  %s\n", r.Payload, r.Rebuilt)
	if r.From != "" {
		fmt.Fprintf(w, "From:     %s\n", r.From)
	}
	fmt.Fprintf(w, "Result:   %s\n", r.Summary())
	if r.Built > 0 {
		fmt.Fprintf(w, "Built:    %d component images, %d of them otherwise\n", r.Built, len(r.Components))
	}
	differences(w, "Components", r.Components)
	differences(w, "Index", r.Index)
	for _, p := range r.Parts {
		if p.Platform != "" {
			fmt.Fprintf(w, "\nPlatform %s: %s, rebuilt %s\n", p.Platform, p.Payload, p.Rebuilt)
		}
		p.text(w)
	}
}

func (p *Part) text(w io.Writer) {
	for _, n := range p.Notes {
		fmt.Fprintf(w, "Note:     %s\n", n)
	}
	for _, f := range p.Files {
		fmt.Fprintf(w, "\n%s: %s\n%s", f.Name, f.Change, f.Diff)
	}
	differences(w, "Entries of the layer", p.Headers)
	differences(w, "Layers", p.Layers)
	differences(w, "Configuration", p.Config)
	differences(w, "Manifest", p.Manifest)
}

func differences(w io.Writer, title string, all []Difference) {
	if len(all) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s:\n", title)
	for _, d := range all {
		fmt.Fprintf(w, "  %s\n    - %s\n    + %s\n", d.What, d.Payload, d.Rebuilt)
	}
}
