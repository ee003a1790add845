package extract

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-release/slipway/internal/layer"
)

// maxTool bounds one program, in bytes. The largest known, an installer, has 0.8 GB.
const maxTool = 4 << 30

// maxLinks bounds how many symbolic links lead to one file.
const maxLinks = 8

// finding is what one layer, or a whole image, says about a path.
type finding int

const (
	nothing finding = iota
	found           // a file, which is in the stage now
	linked          // another path stands for it
	hidden          // the layer deletes it, or has something else in its place
)

// entry is a finding with what goes with it.
type entry struct {
	what   finding
	file   string // in the stage
	target string // of the link: a path in the image
	reason string // why it is hidden
}

// reader takes files out of images. Each layer is read once, however many images
// and files it serves, and as a stream; only a link to a path that nobody asked for
// makes it read again.
type reader struct {
	folder *folder

	mu     sync.Mutex
	layers map[string]*scanned // by digest
	next   int                 // names files in the stage
}

// scanned is a layer that was read, or is being read.
type scanned struct {
	mu      sync.Mutex
	entries map[string]entry // by the paths asked for
}

// wanted collects, layer by layer, the paths of all images that have it.
type wanted struct {
	layers map[string][]string // digest to paths
	images map[string][]v1.Layer
}

// plan finds out which layers may hold which paths.
func plan(paths map[string][]string, images map[string]v1.Image) (*wanted, error) {
	w := &wanted{layers: map[string][]string{}, images: map[string][]v1.Layer{}}
	for reference, img := range images {
		layers, err := img.Layers()
		if err != nil {
			return nil, fmt.Errorf("reading image %q: %w", reference, err)
		}
		w.images[reference] = layers
		for _, l := range layers {
			digest, err := l.Digest()
			if err != nil {
				return nil, fmt.Errorf("reading image %q: %w", reference, err)
			}
			w.layers[digest.String()] = append(w.layers[digest.String()], paths[reference]...)
		}
	}
	return w, nil
}

// find returns the file in the stage that holds each path of an image. Layers are
// read from the top down, and no deeper than needed.
func (r *reader) find(ctx context.Context, w *wanted, reference string, paths []string) (map[string]string, map[string]error) {
	files, missing := map[string]string{}, map[string]error{}
	// Where links lead is known only after layers were read; what they lead to
	// may stand in a layer above.
	at := map[string]string{}
	for _, p := range paths {
		at[p] = p
	}
	for hop := 0; len(at) > 0; hop++ {
		results, err := r.search(ctx, w, reference, slices.Collect(values(at)))
		if err != nil {
			for p := range at {
				missing[p] = err
			}
			return files, missing
		}
		again := map[string]string{}
		for p, place := range at {
			switch e := results[place]; {
			case e.what == found:
				files[p] = e.file
			case e.what == linked && hop < maxLinks:
				again[p] = e.target
			case e.what == linked:
				missing[p] = fmt.Errorf("reading image %q: /%s leads through more than %d links", reference, p, maxLinks)
			case e.reason != "":
				missing[p] = fmt.Errorf("reading image %q: /%s: %s", reference, place, e.reason)
			default:
				missing[p] = fmt.Errorf("reading image %q: %w /%s", reference, errNoFile, place)
			}
		}
		at = again
	}
	return files, missing
}

var errNoFile = errors.New("there is no file")

func values(m map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for _, v := range m {
			if !yield(v) {
				return
			}
		}
	}
}

// search says of each path what the topmost layer that knows of it says.
func (r *reader) search(ctx context.Context, w *wanted, reference string, paths []string) (map[string]entry, error) {
	results := map[string]entry{}
	open := slices.Clone(paths)
	for _, l := range slices.Backward(w.images[reference]) {
		if len(open) == 0 {
			break
		}
		digest, err := l.Digest()
		if err != nil {
			return nil, fmt.Errorf("reading image %q: %w", reference, err)
		}
		entries, err := r.scan(ctx, digest.String(), l, append(slices.Clone(open), w.layers[digest.String()]...))
		if err != nil {
			return nil, fmt.Errorf("reading layer %s of image %q: %w", digest, reference, err)
		}
		open = slices.DeleteFunc(open, func(p string) bool {
			if entries[p].what != nothing {
				results[p] = entries[p]
			}
			return entries[p].what != nothing
		})
	}
	return results, nil
}

// scan reads a layer for paths, unless it was read for them before.
func (r *reader) scan(ctx context.Context, digest string, l v1.Layer, paths []string) (map[string]entry, error) {
	r.mu.Lock()
	s := r.layers[digest]
	if s == nil {
		s = &scanned{entries: map[string]entry{}}
		r.layers[digest] = s
	}
	r.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	pass := &pass{reader: r, entries: map[string]entry{}}
	for _, p := range paths {
		if _, known := s.entries[p]; !known {
			pass.entries[p] = entry{}
		}
	}
	if len(pass.entries) > 0 {
		if err := layer.Walk(ctx, l, layer.Limits{Archive: 64 << 30}, pass.visit); err != nil {
			return nil, err
		}
		for p, e := range pass.entries {
			s.entries[p] = e
		}
	}
	known := make(map[string]entry, len(paths))
	for _, p := range paths {
		known[p] = s.entries[p]
	}
	return known, nil
}

// file opens the next file of the stage.
func (r *reader) file() (io.WriteCloser, string, error) {
	r.mu.Lock()
	r.next++
	name := fmt.Sprintf("part-%d", r.next)
	r.mu.Unlock()
	f, err := r.folder.scratch(name)
	return f, scratchName(name), err
}

// pass is one reading of a layer.
type pass struct {
	reader  *reader
	entries map[string]entry
}

const whiteout = ".wh."

func (p *pass) visit(e *layer.Entry) error {
	dir, base := path.Split(e.Path)
	if base == whiteout+whiteout+".opq" {
		p.hide(strings.TrimSuffix(dir, "/"), "a layer above deletes it")
		return nil
	}
	if name, ok := strings.CutPrefix(base, whiteout); ok {
		p.hide(dir+name, "a layer above deletes it")
		return nil
	}
	for wanted := range p.entries {
		if wanted == e.Path {
			if err := p.take(e); err != nil {
				return err
			}
		} else if rest, below := strings.CutPrefix(wanted, e.Path+"/"); below {
			p.pass(wanted, rest, e)
		}
	}
	return nil
}

// hide marks what a whiteout deletes in the layers below; what this layer itself
// has there stays.
func (p *pass) hide(deleted, reason string) {
	for wanted, e := range p.entries {
		if e.what == nothing && (deleted == "" || wanted == deleted || strings.HasPrefix(wanted, deleted+"/")) {
			p.entries[wanted] = entry{what: hidden, reason: reason}
		}
	}
}

// pass looks at something above a wanted path: a link leads elsewhere, a file
// hides what is below.
func (p *pass) pass(wanted, rest string, e *layer.Entry) {
	switch e.Typeflag {
	case tar.TypeDir:
	case tar.TypeSymlink:
		p.entries[wanted] = follow(e, rest)
	default:
		p.entries[wanted] = entry{what: hidden, reason: fmt.Sprintf("/%s is no folder", e.Path)}
	}
}

// take keeps a wanted file.
func (p *pass) take(e *layer.Entry) error {
	switch e.Typeflag {
	case tar.TypeReg:
	case tar.TypeSymlink:
		p.entries[e.Path] = follow(e, "")
		return nil
	case tar.TypeLink:
		// A hard link names a file of the archive by its path there.
		target := path.Clean("/" + e.Linkname)[1:]
		p.entries[e.Path] = entry{what: linked, target: target}
		return nil
	default:
		p.entries[e.Path] = entry{what: hidden, reason: "it is no file"}
		return nil
	}
	if p.entries[e.Path].what == found {
		return fmt.Errorf("file %q occurs twice", e.Path)
	}
	if e.Size > maxTool {
		return fmt.Errorf("file %q has %d bytes, at most %d are accepted: %w", e.Path, e.Size, int64(maxTool), layer.ErrLimit)
	}
	w, name, err := p.reader.file()
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, e.Reader); err != nil {
		return errors.Join(err, w.Close())
	}
	p.entries[e.Path] = entry{what: found, file: name}
	return w.Close()
}

// follow says where a symbolic link leads; the root of the image is not left.
func follow(e *layer.Entry, rest string) entry {
	target := e.Linkname
	if !path.IsAbs(target) {
		target = path.Join("/", path.Dir(e.Path), target)
	}
	return entry{what: linked, target: path.Join("/", target, rest)[1:]}
}
