package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/distros"
	"github.com/slipway-release/slipway/images"
	"github.com/slipway-release/slipway/internal/progress"
	"github.com/slipway-release/slipway/internal/state"
)

type lockOptions struct {
	file, from string
	update     bool
}

func newLock(a *app) *cobra.Command {
	var o lockOptions
	cmd := &cobra.Command{
		Use:   "lock",
		Short: "Pin every input of the distribution in a lock file",
		Long: `Pin every input of the distribution: Go modules with their hashes, Debian packages
with versions and hashes, files, toolchains. An existing lock is checked: an input
that changed is an error that names it. --update resolves all inputs anew.`,
		Example: "  slipway lock\n  slipway lock --update\n  slipway lock --from distro.lock --lock-file run/lock.json",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runLock(cmd.Context(), a, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.file, "lock-file", "", "file to write (default: distro.lock beside distro.yaml)")
	f.StringVar(&o.from, "from", "", "lock that inputs must match (default: the file to write, when it exists)")
	f.BoolVar(&o.update, "update", false, "take whatever the inputs are now")
	return cmd
}

func runLock(ctx context.Context, a *app, o lockOptions) error {
	st, err := a.state()
	if err != nil {
		return err
	}
	d, err := a.distribution()
	if err != nil {
		return err
	}
	if o.file == "" {
		if o.file, err = a.defaultLockFile(); err != nil {
			return err
		}
		if o.from == "" {
			o.from = o.file
		}
	}
	before, err := readLock(o.from, o.update)
	if err != nil {
		return err
	}
	display := a.newDisplay()
	item := display.Start("lock")
	lock, err := a.lock(ctx, st, d, before, item)
	finish(item, err)
	display.Close()
	if err != nil {
		return err
	}
	data, err := lock.Encode()
	if err != nil {
		return err
	}
	if old, err := os.ReadFile(o.file); err != nil || !bytes.Equal(old, data) {
		if err := state.WriteFile(o.file, data, 0o644); err != nil {
			return fmt.Errorf("writing lock %q: %w", o.file, err)
		}
	}
	packages := 0
	for _, deb := range lock.Debian {
		packages += len(deb.Closure)
	}
	fmt.Fprintf(a.Out, "%s: %d Go modules, %d Debian packages\n", o.file, len(lock.Modules), packages)
	return nil
}

// readLock reads the lock to go by; one that does not exist, or is to be
// renewed, is none.
func readLock(path string, update bool) (*images.Lockfile, error) {
	if path == "" || update {
		return nil, nil
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, usage(fmt.Errorf("reading lock: %w", err))
	}
	lock, err := images.ParseLock(data)
	if err != nil {
		return nil, usage(fmt.Errorf("%w (in %q)", err, path))
	}
	return lock, nil
}

func (a *app) lock(ctx context.Context, st *state.Dir, d *distros.Distribution, before *images.Lockfile, item *progress.Item) (*images.Lockfile, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	lock, err := images.Lock(ctx, d.Components, images.LockOptions{
		Cache: st.Cache("lock"), Self: self, Platform: d.Platform, Existing: before, Progress: progress.Steps{Item: item},
	})
	if errors.Is(err, images.ErrInput) {
		return nil, usage(err)
	}
	return lock, err
}

func newBuild(a *app) *cobra.Command {
	var o buildOptions
	var out output
	cmd := &cobra.Command{
		Use:   "build",
		Short: "Build the component images of the distribution from its lock",
		Long: `Build the component images of the distribution and push them to the registry. An
image whose inputs have not changed is taken from there. A component that does not
compile is reported with the compiler's message; the others are built all the same.

With --inputs, what a stream's payload is made of, components that are named there by
pull spec are not built: their images are copied, with their digests, beside those that
are. What stands on such a component is still built on its recipe. With --architectures
as well, images for these are taken out of manifest lists, and for several of them the
lists as they are; one that lacks an architecture is refused before anything is copied.`,
		Example: `  slipway build --images-file images.json
  slipway build --lock-file distro.lock -o json
  slipway build --inputs '{"etcd":"registry.example.com/ci/etcd@sha256:…"}'
  slipway build --inputs "$(cat inputs.json)" --architectures amd64,arm64`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			return runBuild(cmd.Context(), a, o, &out)
		},
	}
	cmd.Flags().StringVar(&o.lockFile, "lock-file", "", "lock to build from (default: distro.lock beside distro.yaml)")
	cmd.Flags().StringVar(&o.imagesFile, "images-file", "", "write the images to this file, for slipway release new")
	cmd.Flags().StringVar(&o.inputs, "inputs", "{}", "inputs of a stream's payload, a JSON object; components that have a pull spec by digest in it are taken from there")
	cmd.Flags().IntVar(&o.jobs, "jobs", 0, "what is done side by side (default: number of processors)")
	cmd.Flags().StringSliceVar(&o.architectures, "architectures", nil, "what the payload is for, such as amd64,arm64; others than the distribution's need --inputs that name every component")
	out.addFlag(cmd)
	return cmd
}

// buildOptions are the flags of build.
type buildOptions struct {
	lockFile, imagesFile, inputs string
	architectures                []string
	jobs                         int
}

func runBuild(ctx context.Context, a *app, o buildOptions, out *output) error {
	w, err := a.open(ctx)
	if err != nil {
		return err
	}
	given, err := givenImages(w.distro, o.inputs)
	if err != nil {
		return usage(err)
	}
	if len(o.architectures) > 0 {
		if err := a.checkGiven(ctx, w, given, o.architectures); err != nil {
			return err
		}
	}
	if o.lockFile == "" {
		if o.lockFile, err = a.defaultLockFile(); err != nil {
			return err
		}
	}
	lock, err := readLock(o.lockFile, false)
	if err != nil {
		return err
	}
	if lock == nil {
		return usage(fmt.Errorf("reading lock %q: it does not exist; run slipway lock first", o.lockFile))
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	display := a.newDisplay()
	item := display.Start("build")
	built, buildErr := images.Build(ctx, unlessGiven(w.distro.Components, given), lock, images.BuildOptions{
		Registry: w.registry, Cache: w.state.Cache("images"), Self: self, Jobs: o.jobs, Progress: progress.Steps{Item: item},
	})
	if buildErr == nil {
		built, buildErr = a.takeGiven(ctx, w, built, given, o.architectures)
	}
	finish(item, buildErr)
	display.Close()
	if o.imagesFile != "" && buildErr == nil {
		data, err := marshalIndent(built)
		if err != nil {
			return err
		}
		if err := state.WriteFile(o.imagesFile, data, 0o644); err != nil {
			return err
		}
	}
	r := result{value: built, text: func(w io.Writer) { printBuilt(w, built) }}
	for _, b := range built {
		r.names = append(r.names, b.Reference)
	}
	if err := out.print(a.Out, r); err != nil {
		return err
	}
	return classifyBuild(buildErr)
}

func printBuilt(w io.Writer, built []images.Result) {
	for _, b := range built {
		how := fmt.Sprintf("%.1fs", b.Seconds)
		if b.Cached {
			how = "cached"
		}
		fmt.Fprintf(w, "%-26s %s  %s\n", b.Component, b.Digest, how)
	}
}

// classifyBuild tells what the distribution's authors must mend from what the
// host did.
func classifyBuild(err error) error {
	var compile *images.CompileError
	if errors.As(err, &compile) || errors.Is(err, images.ErrInput) {
		return usage(err)
	}
	return err
}
