package images

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/slipway-release/slipway/internal/command"
)

// lockTools records the programs of the host that show in the images.
func (l *locker) lockTools(ctx context.Context) error {
	tools := &l.file.Toolchain
	if len(l.requests.debian) > 0 {
		line, err := l.firstLine(ctx, "mmdebstrap", "--version")
		if err != nil {
			return err
		}
		tools.Mmdebstrap = strings.TrimPrefix(line, "mmdebstrap ")
	}
	if !l.requests.cgo {
		return nil
	}
	c := &CToolchain{}
	var err error
	if c.Compiler, err = l.firstLine(ctx, "gcc", "--version"); err != nil {
		return err
	}
	if c.Linker, err = l.firstLine(ctx, "ld", "--version"); err != nil {
		return err
	}
	if c.Libc, err = l.staticLibrary(ctx, "libc.a"); err != nil {
		return err
	}
	for _, name := range l.requests.libraries {
		found, err := l.library(ctx, name)
		if err != nil {
			return err
		}
		if c.Libraries == nil {
			c.Libraries = map[string]string{}
		}
		c.Libraries[name] = found
	}
	tools.C = c
	return nil
}

// library describes a C library: its version and the digests of its archives.
func (l *locker) library(ctx context.Context, name string) (string, error) {
	version, err := l.firstLine(ctx, "pkg-config", "--modversion", name)
	if err != nil {
		return "", fmt.Errorf("looking up C library %q: %w", name, err)
	}
	flags, err := l.firstLine(ctx, "pkg-config", "--static", "--libs-only-l", name)
	if err != nil {
		return "", fmt.Errorf("looking up C library %q: %w", name, err)
	}
	for _, flag := range strings.Fields(flags) {
		digest, err := l.staticLibrary(ctx, "lib"+strings.TrimPrefix(flag, "-l")+".a")
		if err != nil {
			return "", fmt.Errorf("looking up C library %q: %w", name, err)
		}
		version += " " + digest
	}
	return version, nil
}

// staticLibrary returns the digest of an archive that gcc would link.
func (l *locker) staticLibrary(ctx context.Context, file string) (string, error) {
	found, err := l.firstLine(ctx, "gcc", "-print-file-name="+file)
	if err != nil {
		return "", err
	}
	if !filepath.IsAbs(found) {
		return "", fmt.Errorf("gcc does not find %s; install the development package of that library", file)
	}
	return fileDigest(found)
}

// firstLine runs a program and returns the first line it prints.
func (l *locker) firstLine(ctx context.Context, path string, args ...string) (string, error) {
	out, err := command.Output(ctx, clean(hostEnvironment(l.opts.Environ), path, args...))
	if err != nil {
		return "", fmt.Errorf("asking %s for %s: %s", path, args[0], said(err))
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(line), nil
}
