package images

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/slipway-release/slipway/internal/command"
)

// firstDay is the earliest time a root file system is made at: passwords last
// changed on day 0 count as expired. In seconds since 1970.
const firstDay = 24 * 60 * 60

// rootfs makes the root file system of a Debian layer as a tar file, which is
// not yet reproducible, and returns its path.
func (b *builder) rootfs(ctx context.Context, component string, l *DebianLayer, locked *LockedDebian) (string, error) {
	sources, err := aptSources(b.opts.AptDir, l.Suite)
	if err != nil {
		return "", err
	}
	b.opts.Progress.Log(component, fmt.Sprintf("downloading %d Debian packages", len(locked.Closure)))
	if err := newFetcher(b.store, archives(sources)).all(ctx, locked.Closure); err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(b.store.work, "debian-")
	if err != nil {
		return "", err
	}
	repo := filepath.Join(dir, "archive")
	if err := b.localArchive(ctx, repo, locked.Closure); err != nil {
		return "", fmt.Errorf("making an archive of the locked packages: %w", err)
	}
	out := filepath.Join(dir, "root.tar")
	b.opts.Progress.Log(component, "installing Debian packages")
	cmd := clean(append(hostEnvironment(b.opts.Environ), fmt.Sprintf("SOURCE_DATE_EPOCH=%d", max(b.opts.Epoch.Unix(), firstDay)), "TMPDIR="+dir),
		"mmdebstrap", mmdebstrapArgs(l, locked, b.lock.Platform, repo, out)...)
	if err := command.Run(ctx, cmd); err != nil {
		if ctx.Err() != nil {
			return "", err
		}
		return "", fmt.Errorf("installing Debian packages: mmdebstrap said: %s", said(err))
	}
	return out, nil
}

// mmdebstrapArgs let mmdebstrap install exactly the packages of an archive that
// holds nothing else.
func mmdebstrapArgs(l *DebianLayer, locked *LockedDebian, platform, repo, out string) []string {
	names := make([]string, len(locked.Closure))
	for i, p := range locked.Closure {
		names[i] = p.Name
	}
	mode := "unshare"
	if os.Geteuid() == 0 {
		mode = "root"
	}
	args := []string{
		"--mode=" + mode, "--variant=essential", "--format=tar", "--architectures=" + debianArch(platform),
		"--include=" + strings.Join(names, ","),
		"--aptopt=APT::Sandbox::User \"root\"", // its own user cannot read the archive in a private folder
		"--dpkgopt=force-unsafe-io",            // the tree is thrown away; nothing need reach the disk
	}
	for _, c := range l.Commands {
		args = append(args, "--customize-hook=chroot \"$1\" /bin/sh -ec "+shellQuote(c))
	}
	return append(args, "", out, "deb [trusted=yes] copy://"+repo+" ./")
}

func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// localArchive makes a flat Debian archive: the packages and their index.
func (b *builder) localArchive(ctx context.Context, dir string, closure []DebPackage) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	stanzas := make([][]byte, len(closure))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(b.opts.Jobs)
	for i := range closure {
		g.Go(func() error {
			p := &closure[i]
			name := fmt.Sprintf("%s_%s.deb", p.Name, p.Arch)
			if err := linkOrCopy(b.store.debPath(p), filepath.Join(dir, name)); err != nil {
				return err
			}
			control, err := command.Output(ctx, clean(hostEnvironment(b.opts.Environ), "dpkg-deb", "--field", b.store.debPath(p)))
			if err != nil {
				return fmt.Errorf("reading package %q: %w", p.Name, err)
			}
			stanzas[i] = fmt.Appendf(bytes.TrimSpace(control), "\nFilename: ./%s\nSize: %d\nSHA256: %s\n", name, p.Size, p.SHA256)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "Packages"), bytes.Join(stanzas, []byte("\n")), 0o644)
}

func linkOrCopy(from, to string) error {
	if err := os.Link(from, to); err == nil {
		return nil
	}
	return copyFile(os.DirFS(filepath.Dir(from)), filepath.Base(from), to)
}
