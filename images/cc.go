package images

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/slipway-release/slipway/internal/command"
)

// compileC compiles a program and returns where it lies, in a folder of its own.
// The compiler sees the sources in a fixed place relative to itself, so nothing
// of the host's folders gets into the program.
func (b *builder) compileC(ctx context.Context, r *Recipe, l *CLayer) (string, error) {
	dir, err := os.MkdirTemp(b.store.work, "c-")
	if err != nil {
		return "", err
	}
	sources := r.Files
	if l.Module != "" {
		from, err := b.moduleDir(ctx, l.Module, l.Version)
		if err != nil {
			return "", err
		}
		sources = os.DirFS(from)
	}
	args := []string{"-Os", "-static", "-s", "-ffile-prefix-map=" + dir + "=.", "-Wl,--build-id=none", "-o", "program"}
	args = append(args, l.Flags...)
	for _, s := range l.Sources {
		if err := copyFile(sources, s, filepath.Join(dir, filepath.FromSlash(s))); err != nil {
			return "", fmt.Errorf("%w: copying source %q: %w", ErrInput, s, err)
		}
		args = append(args, s)
	}
	cmd := clean(hostEnvironment(b.opts.Environ), "gcc", args...)
	cmd.Dir = dir
	if err := command.Run(ctx, cmd); err != nil {
		if ctx.Err() != nil {
			return "", err
		}
		return "", &CompileError{Component: r.Metadata.Name, Program: l.Program, Output: said(err)}
	}
	return filepath.Join(dir, "program"), nil
}

func copyFile(fsys fs.FS, from, to string) (err error) {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	in, err := fsys.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := out.Close(); err == nil {
			err = closeErr
		}
	}()
	_, err = io.Copy(out, in)
	return err
}
