package compare_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/inspect"
	"github.com/slipway-release/slipway/release/inspect/compare"
	"github.com/slipway-release/slipway/release/releasetest"
)

var update = flag.Bool("update", false, "write what the golden files should hold")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func digest(c string) string { return "sha256:" + strings.Repeat(c, 64) }

func image(name, c string) string { return "registry.example.com/okd/" + name + "@" + digest(c) }

func from(component, commit string) map[string]string {
	return map[string]string{release.LabelSource: "https://github.com/okd/" + component, release.LabelCommit: strings.Repeat(commit, 40)}
}

var small = releasetest.Small("4.15.0")

// older and newer are two payloads with one of every difference.
func older(t *testing.T) releasetest.Payload {
	p := releasetest.Payload{Version: "4.15.0", Previous: []string{"4.14.1", "4.14.2"}, Metadata: map[string]string{"url": "https://example.com/1", "gone": "x"},
		Images: map[string]string{"proxy": image("proxy", "1"), "metrics": image("metrics", "2"), "dns": image("dns", "3"), "old": image("old", "4"), "moved": image("moved", "5"), "same": image("same", "6"), "unknown": image("unknown", "7")},
		Labels: map[string]map[string]string{"proxy": from("proxy", "a"), "metrics": from("metrics", "b"), "dns": from("dns", "c"), "old": from("old", "d")}}
	p.Labels["dns"][release.LabelVersions] = "kubernetes=1.28.2"
	return fill(t, p, "from")
}

func newer(t *testing.T) releasetest.Payload {
	p := releasetest.Payload{Version: "4.15.1", Previous: []string{"4.14.2", "4.15.0"}, Metadata: map[string]string{"url": "https://example.com/2"},
		Created: time.Date(2026, 11, 21, 10, 15, 0, 0, time.UTC),
		Images:  map[string]string{"proxy": image("proxy", "8"), "metrics": image("metrics", "2"), "dns": image("dns", "9"), "new": image("new", "0"), "moved": strings.Replace(image("moved", "5"), "okd/", "mirror/", 1), "same": image("same", "6"), "unknown": image("unknown", "b")},
		Labels:  map[string]map[string]string{"proxy": from("proxy", "e"), "metrics": from("metrics", "b"), "dns": from("dns", "c"), "new": from("new", "f")}}
	p.Labels["dns"][release.LabelVersions] = "kubernetes=1.28.3"
	p.Labels["dns"][release.LabelVersionDisplayNames] = "kubernetes=Kubernetes"
	return fill(t, p, "to")
}

// fill adds the manifests of a folder, with images and version in place.
func fill(t *testing.T, p releasetest.Payload, folder string) releasetest.Payload {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", folder, "*"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("testdata/%s: %v", folder, err)
	}
	put := []string{"$VERSION", p.Version}
	for name, ref := range p.Images {
		put = append(put, "$"+strings.ToUpper(name), ref)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		p.Manifests = append(p.Manifests, releasetest.File{Name: filepath.Base(path), Data: []byte(strings.NewReplacer(put...).Replace(string(data)))})
	}
	return p
}

func side(t *testing.T, p releasetest.Payload) compare.Side {
	t.Helper()
	img := p.Image(t)
	loaded, err := release.Load(t.Context(), img)
	if err != nil {
		t.Fatal(err)
	}
	ref := "registry.example.com/okd/release@" + loaded.Digest.String()
	info, err := inspect.Describe(inspect.Subject{Named: p.Version, Reference: ref, Image: img, Payload: loaded}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return compare.Side{Info: info, Payload: loaded}
}

func bothBills(t *testing.T, from, to *compare.Side) {
	t.Helper()
	for file, s := range map[string]*compare.Side{"from.spdx.json": from, "to.spdx.json": to} {
		data, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		s.SBOM = &compare.SBOM{Document: data, Trust: compare.Unverified}
	}
	to.SBOM.Trust = "signed by key AAAA"
}

func TestForms(t *testing.T) {
	from, to := side(t, older(t)), side(t, newer(t))
	bothBills(t, &from, &to)
	d := compare.Payloads(from, to, nil)
	for name, write := range map[string]func(*bytes.Buffer) error{
		"diff.txt":      func(b *bytes.Buffer) error { return d.WriteText(b, compare.View{}) },
		"diff-full.txt": func(b *bytes.Buffer) error { return d.WriteText(b, compare.View{Full: true, Commits: true}) },
		"diff.md":       func(b *bytes.Buffer) error { return d.WriteMarkdown(b, compare.View{}) },
		"diff.html":     func(b *bytes.Buffer) error { return d.WriteHTML(b, compare.View{}) },
		"diff.json": func(b *bytes.Buffer) error {
			short := *d // what info says is tested there
			short.From, short.To, short.ChangedManifests = nil, nil, nil
			e := json.NewEncoder(b)
			e.SetIndent("", "  ")
			return e.Encode(short)
		},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := write(&b); err != nil {
				t.Fatal(err)
			}
			golden(t, name, b.Bytes())
		})
	}
}

// A payload does not differ from itself, whatever is in it.
func TestSameIsEmpty(t *testing.T) {
	for name, p := range map[string]releasetest.Payload{"older": older(t), "newer": newer(t), "small": small} {
		t.Run(name, func(t *testing.T) {
			d := compare.Payloads(side(t, p), side(t, p), nil)
			if !d.Identical || !d.Empty() || !d.Permissions.Empty() || len(d.ChangedImages)+len(d.ChangedManifests) > 0 {
				t.Errorf("%+v", d)
			}
			if met := d.Met(slices.DeleteFunc(compare.Conditions(), func(c string) bool { return c == "packages" })); len(met) > 0 {
				t.Errorf("conditions %q are met", met)
			}
		})
	}
}

// What a new build of the same manifests changes by itself is no change of objects.
func TestOnlyImagesAndVersion(t *testing.T) {
	first, second := older(t), older(t)
	second.Version = "4.15.0-0.nightly-2026-11-21-101500"
	for name, ref := range second.Images {
		other := "registry.example.com/other/" + name + "@" + digest("e")
		for i, f := range second.Manifests {
			f.Data = bytes.ReplaceAll(f.Data, []byte(ref), []byte(other[:len(other)-len(name)]+strings.Repeat("f", len(name))))
			f.Data = bytes.ReplaceAll(f.Data, []byte(`"4.15.0"`), []byte(`"`+second.Version+`"`))
			second.Manifests[i].Data = f.Data
		}
		second.Images[name] = other[:len(other)-len(name)] + strings.Repeat("f", len(name))
	}
	d := compare.Payloads(side(t, first), side(t, second), nil)
	if !d.Manifests.Empty() || len(d.Manifests.OnlyImages) != 2 || !d.Permissions.Empty() {
		t.Errorf("%+v\n%+v", d.Manifests, d.Permissions)
	}
	if len(d.Images.Changed)+len(d.Images.Rebuilt) != len(first.Images) {
		t.Errorf("%+v", d.Images)
	}
}

// One image under two names in one of the payloads is still that image.
func TestSharedImage(t *testing.T) {
	manifest := func(ref string) []releasetest.File {
		return []releasetest.File{{Name: "0000_10_a_pod.yaml", Data: []byte("apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: b}\nspec: {containers: [{name: c, image: \"" + ref + "\"}]}\n")}}
	}
	one := releasetest.Payload{Version: "4.15.0", Images: map[string]string{"a": image("x", "1"), "b": image("x", "1")}, Manifests: manifest(image("x", "1"))}
	two := releasetest.Payload{Version: "4.15.1", Images: map[string]string{"a": image("x", "2"), "b": image("x", "3")}, Manifests: manifest(image("x", "3"))}
	if d := compare.Payloads(side(t, one), side(t, two), nil); !d.Manifests.Empty() || len(d.Manifests.OnlyImages) != 1 {
		t.Errorf("%+v", d.Manifests)
	}
	other := releasetest.Payload{Version: "4.15.0", Images: map[string]string{"a": image("x", "1"), "b": image("x", "4")}, Manifests: manifest(image("x", "1"))}
	if d := compare.Payloads(side(t, other), side(t, two), nil); len(d.Manifests.Changed) != 1 {
		t.Errorf("the pod runs another component, and nobody says so: %+v", d.Manifests)
	}
}

// A manifest that cannot be read is compared by its bytes, and a check on
// permissions does not pass over it.
func TestUnreadableManifest(t *testing.T) {
	p := older(t)
	before := side(t, p)
	p.Manifests = append(slices.Clone(p.Manifests), releasetest.File{Name: "0000_50_x_broken.yaml", Data: []byte("kind: [")})
	d := compare.Payloads(before, side(t, p), nil)
	if !slices.Equal(d.Manifests.FilesAdded, []string{"0000_50_x_broken.yaml"}) || len(d.Warnings) != 1 {
		t.Errorf("%+v, warnings %q", d.Manifests, d.Warnings)
	}
	if met := d.Met([]string{"permissions"}); len(met) != 1 {
		t.Errorf("met: %q", met)
	}
}

func TestMet(t *testing.T) {
	d := compare.Payloads(side(t, older(t)), side(t, newer(t)), nil)
	want := slices.DeleteFunc(compare.Conditions(), func(c string) bool { return c == "no-upgrade" })
	if got := d.Met(compare.Conditions()); !slices.Equal(got, want) {
		t.Errorf("met: %q, want %q", got, want)
	}
	if back := compare.Payloads(side(t, newer(t)), side(t, older(t)), nil); !slices.Contains(back.Met(compare.Conditions()), "no-upgrade") {
		t.Error("the way back is taken for an upgrade")
	}
}

// What others wrote reaches no terminal, no comment and no page as more than text.
func TestHostileText(t *testing.T) {
	p := newer(t)
	evil := "</pre><script>alert(1)</script> ``` | [x](javascript:alert(1)) @everybody \x1b[2J"
	p.Manifests = append(p.Manifests, releasetest.File{Name: "0000_99_x_evil.yaml", Data: []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + string(quoted(evil)) + ", namespace: x}\n")})
	p.Labels["proxy"][release.LabelSource] = "https://github.com/okd/\"><script>"
	p.Labels["new"][release.LabelSource] = evil
	d := compare.Payloads(side(t, older(t)), side(t, p), nil)
	var text, markdown, page bytes.Buffer
	if err := d.WriteText(&text, compare.View{Commits: true}); err != nil {
		t.Fatal(err)
	}
	if err := d.WriteMarkdown(&markdown, compare.View{}); err != nil {
		t.Fatal(err)
	}
	if err := d.WriteHTML(&page, compare.View{}); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text.String(), "\x1b") || strings.Contains(markdown.String(), "\x1b") {
		t.Error("an escape sequence is in the output")
	}
	if strings.Contains(page.String(), "<script>") || strings.Contains(page.String(), "</pre><script") {
		t.Error("a script is in the page")
	}
	for _, l := range strings.Split(markdown.String(), "\n") {
		if strings.HasPrefix(l, "|") && (strings.Contains(strings.ReplaceAll(l, `\]`, ""), "](javascript") || strings.Contains(l, "<script") || strings.Contains(l, "@everybody")) {
			t.Errorf("markup of others: %s", l)
		}
	}
	if !strings.Contains(markdown.String(), "````diff") {
		t.Error("a fence can be closed from inside")
	}
}

func quoted(s string) []byte {
	data, _ := json.Marshal(s)
	return data
}

// A comment must fit into what hosts accept.
func TestMarkdownIsBounded(t *testing.T) {
	p := newer(t)
	for range 3000 {
		p.Manifests = append(p.Manifests, releasetest.File{Name: "0000_60_many_" + strings.Repeat("x", 10) + "-" + string(quoted(p.Version))[1:5] + "-" + time.Duration(len(p.Manifests)).String() + ".yaml",
			Data: []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: many-" + time.Duration(len(p.Manifests)).String() + ", namespace: x}\n")})
	}
	d := compare.Payloads(side(t, older(t)), side(t, p), nil)
	var b bytes.Buffer
	if err := d.WriteMarkdown(&b, compare.View{}); err != nil {
		t.Fatal(err)
	}
	if b.Len() > 65_536 || !strings.Contains(b.String(), "Left out") {
		t.Errorf("%d bytes", b.Len())
	}
	var full bytes.Buffer
	if err := d.WriteMarkdown(&full, compare.View{Full: true}); err != nil {
		t.Fatal(err)
	}
	if full.Len() < b.Len() || strings.Contains(full.String(), "Left out") {
		t.Errorf("%d bytes in full", full.Len())
	}
}
