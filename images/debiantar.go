package images

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

// traces are what an installation leaves behind about itself and the host it ran
// on; without them the same packages always give the same tree.
var traces = []string{
	"dev/*", "proc/*", "sys/*", "run/*", "tmp/*", "var/tmp/*",
	"etc/machine-id", "var/lib/dbus/machine-id",
	"etc/hostname", "etc/resolv.conf", // the host's
	"etc/.pwd.lock", "etc/passwd-", "etc/shadow-", "etc/group-", "etc/gshadow-", "etc/subuid-", "etc/subgid-",
	"etc/apt/apt.conf.d/99mmdebstrap", "etc/apt/sources.list.d/0000*", "etc/apt/sources.list", "etc/dpkg/dpkg.cfg.d/99mmdebstrap",
	"var/lib/apt/lists/*", "var/lib/apt/extended_states", "var/cache/apt/*", "var/cache/ldconfig/*", "var/cache/debconf/*-old", "var/cache/man/*",
	"var/lib/dpkg/*-old", "var/lib/dpkg/lock", "var/lib/dpkg/lock-frontend", "var/lib/dpkg/triggers/Lock",
	"var/lib/systemd/random-seed", "var/lib/systemd/catalog/database",
}

// logs is where no file of the installation stays; folders do, for services
// expect them.
const logs = "var/log"

// debianTar rewrites the archive of a root file system: sorted, with one time
// for all, without traces of the installation and without what the recipe
// removes. The input is read where it lies; nothing of it is kept in memory but
// the headers.
type debianTar struct {
	file    *os.File
	entries map[string]debianEntry
	removed map[string]debianEntry // contents that a hard link may still need
}

type debianEntry struct {
	header tar.Header
	offset int64 // of the content in the input
}

func openDebianTar(ctx context.Context, name string, remove []string) (*debianTar, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	d := &debianTar{file: f, entries: map[string]debianEntry{}, removed: map[string]debianEntry{}}
	if err := d.index(ctx, remove); err != nil {
		f.Close()
		return nil, err
	}
	return d, nil
}

func (d *debianTar) Close() error { return d.file.Close() }

// index reads all headers.
func (d *debianTar) index(ctx context.Context, remove []string) error {
	position := &positioned{r: d.file}
	tr := tar.NewReader(position)
	used := make([]bool, len(remove))
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("reading the root file system: %w", err)
		}
		p := relative(h.Name)
		if p == "" {
			continue
		}
		if e := (debianEntry{*h, position.at}); dropped(p, h, remove, used) {
			d.removed[p] = e
		} else {
			d.entries[p] = e
		}
	}
	for i, r := range remove {
		// A pattern may come to nothing with another version of a package; a name
		// that does is most likely misspelt.
		if !used[i] && !strings.ContainsAny(r, `*?[\`) {
			return fmt.Errorf("%w: there is nothing to remove at %q", ErrInput, r)
		}
	}
	return d.hardLinks()
}

func dropped(p string, h *tar.Header, remove []string, used []bool) bool {
	if slices.ContainsFunc(traces, func(t string) bool { return matches(t, p) }) {
		return true
	}
	if strings.HasPrefix(p, logs+"/") && h.Typeflag != tar.TypeDir {
		return true
	}
	out := false
	for i, r := range remove {
		if matches(relative(r), p) {
			used[i], out = true, true
		}
	}
	return out
}

// hardLinks makes of each set of linked names the first in sorted order the one
// with the content, also where a removed name had it.
func (d *debianTar) hardLinks() error {
	sets := map[string][]string{}
	for p, e := range d.entries {
		if e.header.Typeflag == tar.TypeLink {
			target := relative(e.header.Linkname)
			sets[target] = append(sets[target], p)
		}
	}
	for target, names := range sets {
		original, kept := d.entries[target]
		if kept {
			names = append(names, target)
		} else if gone, ok := d.removed[target]; ok {
			original = gone
		} else {
			return fmt.Errorf("reading the root file system: %q is a hard link to %q, which is not there", slices.Min(names), target)
		}
		first := slices.Min(names)
		for _, p := range names {
			e := original
			e.header.Name = p
			if p != first {
				e.header.Typeflag, e.header.Linkname, e.header.Size = tar.TypeLink, first, 0
			}
			d.entries[p] = e
		}
	}
	return nil
}

func (d *debianTar) write(ctx context.Context, tw *tar.Writer, epoch time.Time) error {
	for _, p := range slices.Sorted(maps.Keys(d.entries)) {
		e := d.entries[p]
		if err := tw.WriteHeader(normalHeader(p, &e.header, epoch)); err != nil {
			return fmt.Errorf("writing %q: %w", p, err)
		}
		if e.header.Typeflag != tar.TypeReg {
			continue
		}
		content := bufio.NewReaderSize(io.NewSectionReader(d.file, e.offset, e.header.Size), 1<<16)
		if _, err := io.Copy(tw, &contextReader{ctx, content}); err != nil {
			return fmt.Errorf("writing %q: %w", p, err)
		}
	}
	return nil
}

// normalHeader keeps of a header what belongs to the file: kind, mode, numeric
// owner, link target, device and extended attributes (file capabilities).
func normalHeader(p string, h *tar.Header, epoch time.Time) *tar.Header {
	out := &tar.Header{
		Typeflag: h.Typeflag, Name: p, Linkname: h.Linkname, Size: h.Size, Mode: h.Mode & 0o7777,
		Uid: h.Uid, Gid: h.Gid, ModTime: epoch, Devmajor: h.Devmajor, Devminor: h.Devminor,
	}
	if h.Typeflag == tar.TypeDir {
		out.Name += "/"
	}
	for k, v := range h.PAXRecords {
		if strings.HasPrefix(k, "SCHILY.xattr.") {
			if out.PAXRecords == nil {
				out.PAXRecords = map[string]string{}
			}
			out.PAXRecords[k] = v
		}
	}
	return out
}

// positioned knows where in a file it stands. archive/tar never reads ahead of
// the header it returns.
type positioned struct {
	r  io.ReadSeeker
	at int64
}

func (p *positioned) Seek(offset int64, whence int) (int64, error) {
	at, err := p.r.Seek(offset, whence)
	if err == nil {
		p.at = at
	}
	return at, err
}

func (p *positioned) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.at += int64(n)
	return n, err
}
