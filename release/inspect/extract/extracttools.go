package extract

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/slipway-release/slipway/release"
)

// Files that stand beside the archives.
const (
	checksumFile = "sha256sum.txt"
	releaseFile  = "release.txt"
)

// Source is what component images are read from, by digest.
type Source interface {
	Image(ctx context.Context, ref string) (v1.Image, error)
}

// Signature signs the list of checksums. Its result is written to File.
type Signature struct {
	File string // sha256sum.txt.asc
	Sign func(ctx context.Context, checksums []byte) ([]byte, error)
}

// ToolsOptions say which tools are extracted, and to where.
type ToolsOptions struct {
	Dir       string
	Overwrite bool
	Tools     []Tool
	Choice    Choice
	// Programs asks for the programs themselves. Otherwise each gets its
	// archive, and the list of their checksums stands beside them.
	Programs bool
	// Reference is the pull spec that markers are filled with: of the index where
	// there is one.
	Reference string
	// Arch is the payload's architecture; Multi says that it has several, which is
	// what markers are told then.
	Arch  string
	Multi bool
	// Release is the text of release.txt.
	Release    []byte
	Signatures []Signature
	// Jobs is how many images are read and archives are written side by side.
	Jobs int
	// Watch is told about each piece of work when it begins; it returns what is
	// told of the end. It may be nil.
	Watch func(work string) (done func(error))
}

// Artifact is a file that was extracted.
type Artifact struct {
	Name     string `json:"name"`
	Tool     string `json:"tool,omitempty"`
	Platform string `json:"platform,omitempty"`
	Bytes    int64  `json:"bytes"`
	SHA256   string `json:"sha256"` // hexadecimal
}

// Extracted is what came out.
type Extracted struct {
	Files []Artifact `json:"files"`
	// Missing are tools that the table says payloads may lack, and why this one does.
	Missing []string `json:"missing,omitempty"`
}

// Tools takes client tools out of a payload's images. Either all that is wanted
// is there in the end, or nothing: what is missing is reported at once.
func Tools(ctx context.Context, src Source, p *release.Payload, o ToolsOptions) (*Extracted, error) {
	o.Jobs = cmp.Or(o.Jobs, 4)
	if o.Watch == nil {
		o.Watch = func(string) func(error) { return func(error) {} }
	}
	if err := CheckTools(o.Tools); err != nil {
		return nil, err
	}
	targets, missing, err := o.Choice.targets(p, o.Arch, o.Tools)
	if err != nil {
		return nil, err
	}
	if targets, err = o.distinct(targets); err != nil {
		return nil, err
	}
	f, err := openFolder(o.Dir, o.Overwrite)
	if err != nil {
		return nil, err
	}
	defer f.close()
	w := &work{o: o, payload: p, folder: f, reader: &reader{folder: f, layers: map[string]*scanned{}}}
	files, absent, err := w.fetch(ctx, src, targets)
	if err != nil {
		return nil, err
	}
	x := &Extracted{Missing: append(missing, absent...)}
	if x.Files, err = w.writeAll(ctx, targets, files); err != nil {
		return nil, err
	}
	if !o.Programs {
		beside, err := w.writeBeside(ctx, x.Files)
		if err != nil {
			return nil, err
		}
		x.Files = append(x.Files, beside...)
	}
	names := make([]string, len(x.Files))
	for i, a := range x.Files {
		names[i] = a.Name
	}
	return x, f.publish(names)
}

// distinct makes sure that no two files get one name. Of programs for one
// platform the first row counts.
func (o ToolsOptions) distinct(targets []target) ([]target, error) {
	if !o.Programs {
		for _, t := range targets {
			if t.archive == checksumFile || t.archive == releaseFile {
				return nil, fmt.Errorf("extracting tools: %s must not be named %s", t.label(), t.archive)
			}
		}
		return targets, nil
	}
	var kept []target
	names := map[string]string{}
	for _, t := range targets {
		name := t.file(t.Name)
		switch names[name] {
		case "":
			names[name] = t.label()
			kept = append(kept, t)
		case t.label():
		default:
			return nil, fmt.Errorf("extracting tools: %s and %s would both be named %s; choose one platform, OS/ARCH", names[name], t.label(), name)
		}
	}
	return kept, nil
}

// work is one call of Tools.
type work struct {
	o       ToolsOptions
	payload *release.Payload
	folder  *folder
	reader  *reader
}

// fetch brings the file of each target into the stage. The result is by image and
// path, see key.
func (w *work) fetch(ctx context.Context, src Source, targets []target) (files map[string]string, absent []string, err error) {
	paths := map[string][]string{}
	for _, t := range targets {
		if !slices.Contains(paths[t.reference], t.path) {
			paths[t.reference] = append(paths[t.reference], t.path)
		}
	}
	images, err := w.open(ctx, src, slices.Sorted(maps.Keys(paths)))
	if err != nil {
		return nil, nil, err
	}
	plan, err := plan(paths, images)
	if err != nil {
		return nil, nil, err
	}
	var mu sync.Mutex
	files = map[string]string{}
	failed := map[string]error{}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(w.o.Jobs)
	for reference := range paths {
		g.Go(func() error {
			done := w.o.Watch("reading " + w.component(reference))
			got, missing := w.reader.find(gctx, plan, reference, paths[reference])
			mu.Lock()
			defer mu.Unlock()
			for p, file := range got {
				files[key(reference, p)] = file
			}
			for p, err := range missing {
				failed[key(reference, p)] = err
			}
			done(errors.Join(slices.Collect(maps.Values(missing))...))
			return context.Cause(gctx)
		})
	}
	if err := g.Wait(); err != nil {
		return nil, nil, err
	}
	absent, err = w.absent(targets, failed)
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("extracting tools: %s", strings.Join(absent, "; "))
	}
	return files, absent, err
}

// absent tells what the table allows to be missing from the rest, in which tools
// that lack for one reason stand together.
func (w *work) absent(targets []target, failed map[string]error) (absent []string, err error) {
	var problems []error
	of := map[error][]string{}
	for _, t := range targets {
		err := failed[key(t.reference, t.path)]
		switch {
		case err == nil:
		case t.Optional && errors.Is(err, errNoFile):
			absent = append(absent, fmt.Sprintf("%s: component %q has no /%s", t.label(), t.Component, t.path))
		default:
			if of[err] == nil {
				problems = append(problems, err)
			}
			of[err] = append(of[err], t.label())
		}
	}
	for i, err := range problems {
		problems[i] = fmt.Errorf("extracting %s: %w", strings.Join(of[err], ", "), err)
	}
	return absent, errors.Join(problems...)
}

func key(reference, path string) string { return reference + "\x00" + path }

// component is the name by which a person knows an image.
func (w *work) component(reference string) string {
	for _, t := range w.payload.References.Tags {
		if t.Image == reference {
			return t.Name
		}
	}
	return reference
}

func (w *work) open(ctx context.Context, src Source, references []string) (map[string]v1.Image, error) {
	opened := make([]v1.Image, len(references))
	var g errgroup.Group
	g.SetLimit(w.o.Jobs)
	for i, reference := range references {
		g.Go(func() (err error) {
			// Layers are read under this context too, long after this group has ended.
			opened[i], err = src.Image(ctx, reference)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	images := map[string]v1.Image{}
	for i, reference := range references {
		images[reference] = opened[i]
	}
	return images, nil
}

// writeAll writes the archives, or the programs, of all targets whose file was
// found.
func (w *work) writeAll(ctx context.Context, targets []target, files map[string]string) ([]Artifact, error) {
	shared := map[string]int{}
	for _, t := range targets {
		shared[files[key(t.reference, t.path)]]++
	}
	artifacts := make([]Artifact, len(targets))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(w.o.Jobs)
	for i, t := range targets {
		file, ok := files[key(t.reference, t.path)]
		if !ok {
			continue
		}
		g.Go(func() error {
			done := w.o.Watch("packing " + t.label())
			var err error
			if artifacts[i], err = w.writeOne(gctx, t, file, shared[file] > 1); err != nil {
				err = fmt.Errorf("extracting %s: %w", t.label(), err)
			}
			done(err)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(artifacts, func(a Artifact) bool { return a.Name == "" }), nil
}

func (w *work) writeOne(ctx context.Context, t target, file string, shared bool) (Artifact, error) {
	name := t.archive
	if w.o.Programs {
		name = t.file(t.Name)
	}
	a := Artifact{Name: name, Tool: t.Name, Platform: t.os + "/" + t.arch}
	if err := CheckName(name); err != nil {
		return a, err
	}
	// Markers are filled in a file of the target's own.
	program, err := w.folder.stage.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return a, err
	}
	defer program.Close()
	if shared && len(t.Markers) > 0 {
		copied, err := w.folder.scratch("copy-" + name)
		if err != nil {
			return a, err
		}
		defer copied.Close()
		if _, err := io.Copy(copied, &contextReader{ctx, program}); err != nil {
			return a, err
		}
		program = copied
	}
	if err := w.fill(t, program); err != nil {
		return a, err
	}
	out, err := w.folder.create(name, 0o600)
	if err != nil {
		return a, err
	}
	sum := sha256.New()
	counted := &counter{w: io.MultiWriter(out, sum)}
	mode := os.FileMode(0o644)
	if w.o.Programs {
		mode = 0o755
		_, err = io.Copy(counted, &contextReader{ctx, io.NewSectionReader(program, 0, 1<<62)})
	} else {
		names := []string{t.file(t.Name)}
		for _, other := range t.Names {
			names = append(names, t.file(other))
		}
		p := packer{time: w.payload.Created.UTC(), readme: t.readme(w.payload.Version.String(), w.payload.Digest.String()), names: names}
		err = p.pack(ctx, counted, name, program)
	}
	if err := errors.Join(err, finish(out, mode)); err != nil {
		return a, err
	}
	a.Bytes, a.SHA256 = counted.n, hex.EncodeToString(sum.Sum(nil))
	return a, nil
}

// fill writes what the release is into a program's markers.
func (w *work) fill(t target, program *os.File) error {
	if len(t.Markers) == 0 {
		return nil
	}
	values := map[string]string{MarkVersion: w.payload.Version.String(), MarkImage: w.o.Reference, MarkArchitecture: w.o.Arch}
	if w.o.Multi {
		values[MarkArchitecture] = "multi"
	}
	var changed []span
	for _, what := range slices.Sorted(maps.Keys(t.Markers)) {
		if values[what] == "" {
			return fmt.Errorf("filling in %s: it is not known", what)
		}
		s, err := mark(program, t.Markers[what], values[what])
		if err != nil {
			return fmt.Errorf("filling in %s: %w", what, err)
		}
		changed = append(changed, s)
	}
	if t.os != "darwin" {
		return nil
	}
	return resign(program, changed)
}

// writeBeside writes release.txt, the checksums and their signatures.
func (w *work) writeBeside(ctx context.Context, archives []Artifact) ([]Artifact, error) {
	var beside []content
	if len(w.o.Release) > 0 {
		beside = append(beside, content{releaseFile, w.o.Release, 0o644})
	}
	sums := map[string]string{}
	for _, a := range archives {
		sums[a.Name] = a.SHA256
	}
	for _, c := range beside {
		sums[c.name] = sumOf(c.data)
	}
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		fmt.Fprintf(&text, "%s  %s\n", sums[name], name)
	}
	checksums := content{checksumFile, []byte(text.String()), 0o644}
	beside = append(beside, checksums)
	for _, s := range w.o.Signatures {
		signature, err := s.Sign(ctx, checksums.data)
		if err != nil {
			return nil, fmt.Errorf("signing %s: %w", checksumFile, err)
		}
		beside = append(beside, content{s.File, signature, 0o644})
	}
	artifacts := make([]Artifact, len(beside))
	for i, c := range beside {
		artifacts[i] = Artifact{Name: c.name, Bytes: int64(len(c.data)), SHA256: sumOf(c.data)}
	}
	return artifacts, w.folder.write(beside)
}

func sumOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// counter counts what is written through it.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}
