package rebuild

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/pmezard/go-difflib/difflib"

	"github.com/slipway-release/slipway/internal/layer"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/assemble"
)

const (
	// maxContent is what one payload's files may have together, in bytes.
	maxContent = 128 << 20
	// maxDiff is the size of a file that is still compared line by line, in bytes.
	maxDiff = 1 << 20
	// maxHeaders bounds how many entries are named whose headers differ.
	maxHeaders = 20
)

// Compare says how a payload image and its rebuild differ.
func Compare(ctx context.Context, was, is v1.Image) (*Part, error) {
	p := &Part{}
	before, err := read(ctx, was)
	if err != nil {
		return nil, fmt.Errorf("reading the payload: %w", err)
	}
	after, err := read(ctx, is)
	if err != nil {
		return nil, fmt.Errorf("reading the rebuilt payload: %w", err)
	}
	p.Payload, p.Rebuilt = before.digest, after.digest
	if n := len(before.config.History); n > 0 {
		p.Own = before.config.History[n-1].CreatedBy == assemble.MadeBy
	}
	if before.digest == after.digest {
		return p, nil
	}
	p.files(before, after)
	p.headers(before, after)
	p.layers(before, after)
	if err := p.configs(before.config, after.config); err != nil {
		return nil, err
	}
	p.Manifest = compareValues(p.Manifest, "media type", string(before.manifest.MediaType), string(after.manifest.MediaType))
	p.Manifest = compareValues(p.Manifest, "media type of the configuration", string(before.manifest.Config.MediaType), string(after.manifest.Config.MediaType))
	p.Manifest = compareMaps(p.Manifest, "annotation ", before.manifest.Annotations, after.manifest.Annotations)
	return p, nil
}

// content is a payload image, taken apart.
type content struct {
	digest   string
	manifest *v1.Manifest
	config   *v1.ConfigFile
	at       int // index of the payload's layer
	entries  []entry
	files    map[string][]byte
}

type entry struct {
	name, header string
}

func read(ctx context.Context, img v1.Image) (*content, error) {
	digest, err := img.Digest()
	if err != nil {
		return nil, err
	}
	c := &content{digest: digest.String()}
	if c.manifest, err = img.Manifest(); err != nil {
		return nil, err
	}
	if c.config, err = img.ConfigFile(); err != nil {
		return nil, err
	}
	layers, err := img.Layers()
	if err != nil {
		return nil, err
	}
	for c.at = len(layers) - 1; c.at >= 0; c.at-- {
		if err := c.readLayer(ctx, layers[c.at]); err != nil {
			return nil, err
		}
		if len(c.files) > 0 {
			return c, nil
		}
	}
	return nil, release.ErrNoPayload
}

func (c *content) readLayer(ctx context.Context, l v1.Layer) error {
	c.entries, c.files = nil, map[string][]byte{}
	var total int64
	return layer.Walk(ctx, l, layer.Limits{}, func(e *layer.Entry) error {
		if e.Path != release.Directory && !strings.HasPrefix(e.Path, release.Directory+"/") {
			return nil
		}
		c.entries = append(c.entries, entry{name: e.Path, header: headerOf(e.Header)})
		if e.Typeflag != tar.TypeReg {
			return nil
		}
		if total += e.Size; total > maxContent {
			return errors.New("its files are larger than a payload's can be")
		}
		data, err := io.ReadAll(e.Reader)
		c.files[path.Base(e.Path)] = data
		return err
	})
}

func headerOf(h *tar.Header) string {
	return fmt.Sprintf("%s %d:%d %s %s", h.FileInfo().Mode(), h.Uid, h.Gid, h.ModTime.UTC().Format(time.RFC3339), h.Format)
}

func (p *Part) files(was, is *content) {
	names := map[string]bool{}
	for n := range was.files {
		names[n] = true
	}
	for n := range is.files {
		names[n] = true
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		before, had := was.files[name]
		after, has := is.files[name]
		switch {
		case !has:
			p.Files = append(p.Files, File{Name: name, Change: "missing from the rebuild"})
		case !had:
			p.Files = append(p.Files, File{Name: name, Change: "added by the rebuild"})
		case !bytes.Equal(before, after):
			p.Files = append(p.Files, File{Name: name, Change: "changed", Diff: unified(name, before, after)})
		}
	}
}

func unified(name string, before, after []byte) string {
	if len(before) > maxDiff || len(after) > maxDiff || !utf8.Valid(before) || !utf8.Valid(after) {
		return ""
	}
	text, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{
		A: lines(before), B: lines(after),
		FromFile: "payload/" + name, ToFile: "rebuilt/" + name, Context: 3,
	})
	if err != nil {
		return ""
	}
	return text
}

// lines cuts text into lines. The last one says so when it lacks its end.
func lines(text []byte) []string {
	all := strings.SplitAfter(string(text), "\n")
	last := len(all) - 1
	if all[last] == "" {
		return all[:last]
	}
	all[last] += "\n\\ No newline at end of file\n"
	return all
}

// headers compares the entries of the two layers: their order, and what their
// headers say.
func (p *Part) headers(was, is *content) {
	order := func(c *content) (names []string, headers map[string]string) {
		headers = map[string]string{}
		for _, e := range c.entries {
			names, headers[e.name] = append(names, e.name), e.header
		}
		return names, headers
	}
	wasNames, wasHeaders := order(was)
	isNames, isHeaders := order(is)
	both := func(names []string, other map[string]string) []string {
		return slices.DeleteFunc(slices.Clone(names), func(n string) bool { _, ok := other[n]; return !ok })
	}
	wasBoth, isBoth := both(wasNames, isHeaders), both(isNames, wasHeaders)
	for i := range min(len(wasBoth), len(isBoth)) {
		if wasBoth[i] != isBoth[i] {
			p.Headers = append(p.Headers, Difference{What: fmt.Sprintf("order of entries, from the %d. on", i+1), Payload: wasBoth[i], Rebuilt: isBoth[i]})
			break
		}
	}
	rest := 0
	for _, name := range wasBoth {
		if wasHeaders[name] == isHeaders[name] {
			continue
		}
		if len(p.Headers) >= maxHeaders {
			rest++
			continue
		}
		p.Headers = append(p.Headers, Difference{What: name, Payload: wasHeaders[name], Rebuilt: isHeaders[name]})
	}
	if rest > 0 {
		p.Headers = append(p.Headers, Difference{What: "further entries", Payload: fmt.Sprint(rest), Rebuilt: "differ as well"})
	}
}

func (p *Part) layers(was, is *content) {
	p.Layers = compareValues(p.Layers, "number of layers", fmt.Sprint(len(was.manifest.Layers)), fmt.Sprint(len(is.manifest.Layers)))
	p.Layers = compareValues(p.Layers, "layer that holds the payload", fmt.Sprint(was.at+1), fmt.Sprint(is.at+1))
	for i := range min(was.at, is.at) {
		a, b := was.manifest.Layers[i], is.manifest.Layers[i]
		p.Layers = compareValues(p.Layers, fmt.Sprintf("base layer %d", i+1), a.Digest.String(), b.Digest.String())
		p.Layers = compareValues(p.Layers, fmt.Sprintf("media type of base layer %d", i+1), string(a.MediaType), string(b.MediaType))
	}
	a, b := was.manifest.Layers[was.at], is.manifest.Layers[is.at]
	p.Layers = compareValues(p.Layers, "media type of the payload's layer", string(a.MediaType), string(b.MediaType))
	if a.Digest == b.Digest {
		return
	}
	if was.diffID() != "" && was.diffID() == is.diffID() {
		p.Layers = append(p.Layers, Difference{What: "compression of the payload's layer; unpacked it is the same", Payload: packed(a), Rebuilt: packed(b)})
		return
	}
	p.Layers = compareValues(p.Layers, "payload's layer", packed(a), packed(b))
}

func packed(d v1.Descriptor) string { return fmt.Sprintf("%s, %d bytes", d.Digest, d.Size) }

func (c *content) diffID() string {
	if c.at >= len(c.config.RootFS.DiffIDs) {
		return ""
	}
	return c.config.RootFS.DiffIDs[c.at].String()
}

// configs compares the images' configurations, field by field.
func (p *Part) configs(was, is *v1.ConfigFile) error {
	before, err := fields(was)
	if err != nil {
		return err
	}
	after, err := fields(is)
	if err != nil {
		return err
	}
	p.Config = compareMaps(p.Config, "", before, after)
	return nil
}

// fields returns a configuration as a path for every value. What is said of
// layers is left out, for the layers are compared themselves.
func fields(c *v1.ConfigFile) (map[string]string, error) {
	bare := c.DeepCopy()
	bare.RootFS = v1.RootFS{}
	data, err := json.Marshal(bare)
	if err != nil {
		return nil, err
	}
	var value any
	if err := json.Unmarshal(data, &value); err != nil {
		return nil, err
	}
	all := map[string]string{}
	flatten("", value, all)
	return all, nil
}

func flatten(at string, value any, all map[string]string) {
	switch v := value.(type) {
	case map[string]any:
		for key, item := range v {
			flatten(strings.TrimPrefix(at+"."+key, "."), item, all)
		}
	case []any:
		for i, item := range v {
			flatten(fmt.Sprintf("%s[%d]", at, i), item, all)
		}
	default:
		all[at] = fmt.Sprint(v)
	}
}

func compareValues(to []Difference, what, was, is string) []Difference {
	if was == is {
		return to
	}
	return append(to, Difference{What: what, Payload: orNothing(was), Rebuilt: orNothing(is)})
}

func compareMaps(to []Difference, prefix string, was, is map[string]string) []Difference {
	keys := map[string]bool{}
	for k := range was {
		keys[k] = true
	}
	for k := range is {
		keys[k] = true
	}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		to = compareValues(to, prefix+k, was[k], is[k])
	}
	return to
}

func orNothing(s string) string {
	if s == "" {
		return "(nothing)"
	}
	return s
}
