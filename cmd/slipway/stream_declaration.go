package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/slipway-release/slipway/distros"
	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/release/streams"
	"github.com/slipway-release/slipway/release/streams/journal"
)

func (w *world) journal() journal.Store {
	return journal.Store{Registry: w.registry, Repository: w.distro.Repository}
}

// declaredPolicy is the policy in a file that holds a declaration of the stream, or
// without one what distro.yaml demands today.
func (w *world) declaredPolicy(file, stream string) (streams.Policy, error) {
	if file == "" {
		return w.policy(stream)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return streams.Policy{}, usage(fmt.Errorf("reading the declaration of stream %q: %w", stream, err))
	}
	d, err := streams.ParseDeclaration(data)
	if err == nil && d.Name != stream {
		err = fmt.Errorf("it is that of stream %q, not %q", d.Name, stream)
	}
	if err != nil {
		return streams.Policy{}, usage(fmt.Errorf("reading %q: %w", file, err))
	}
	return d.Policy, nil
}

// declaration is what distro.yaml says about a stream, with the defaults.
func (w *world) declaration(name string) (streams.Declaration, error) {
	policy, err := w.policy(name)
	if err != nil {
		return streams.Declaration{}, err
	}
	s := w.distro.Stream(name)
	d := streams.Declaration{
		Name: name, Base: orElse(s.Base, w.distro.Version), Policy: policy,
		When: streams.When(orElse(s.Cut.When, distros.WhenManual)), Schedule: s.Cut.Schedule, Cooldown: length(s.Cut.Cooldown, 0),
		MaxUnfinished: max(s.Cut.MaxUnfinished, 1), Supersede: s.Cut.Supersede,
		Run:    streams.PipelineRun{Pipeline: orElse(s.Run.Pipeline, "nightly"), Params: s.Run.Params},
		Retry:  streams.Retry{Limit: s.Retries.Limit, Backoff: length(s.Retries.Backoff, time.Minute), Max: length(s.Retries.Max, 15*time.Minute)},
		Retain: streams.Retention{Accepted: s.Retain.Accepted, Others: s.Retain.Others, Age: length(s.Retain.Age, 0)},
		Frozen: s.Frozen,
	}
	d.Run.Params = maps.Clone(d.Run.Params)
	give := func(param, value string) {
		if d.Run.Params == nil {
			d.Run.Params = map[string]string{}
		}
		d.Run.Params[param] = value
	}
	if lock := s.Inputs.Lock; lock != "" && d.Run.Pipeline == "nightly" && d.Run.Params["lock"] == "" {
		// The pipeline would take the distribution's own lock, and cut what did not change.
		give("lock", filepath.Join(w.distro.Path, lock))
	}
	if len(s.Architectures) > 0 {
		// A pipeline that does not take the param is refused: it would cut for others.
		d.Architectures = w.distro.ArchitecturesOf(s)
		give("architectures", strings.Join(d.Architectures, ","))
	}
	if s.Stable {
		d.Frozen = notCut
	}
	switch {
	case d.Retry.Limit == 0:
		d.Retry.Limit = 3
	case d.Retry.Limit < 0:
		d.Retry.Limit = 0
	}
	for _, check := range slices.Sorted(maps.Keys(s.Checks.Pipelines)) {
		p := s.Checks.Pipelines[check]
		d.Checks = append(d.Checks, streams.Check{Name: check, From: streams.Selector(p.From), PipelineRun: streams.PipelineRun{Pipeline: p.Pipeline, Params: p.Params}})
	}
	return d, nil
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// length reads a length of time that was checked when it was loaded.
func length(text string, otherwise time.Duration) time.Duration {
	if d, err := time.ParseDuration(text); err == nil {
		return d
	}
	return otherwise
}

// inputs are what the stream's next payload would be made of.
func (a *app) inputs(ctx context.Context, w *world, stream string) ([]streams.Input, error) {
	s := w.distro.Stream(stream)
	if s == nil {
		return nil, usage(fmt.Errorf("choosing stream %q: distribution %q has no such stream", stream, w.distro.Name))
	}
	switch in := s.Inputs; {
	case in.Lock != "":
		data, err := fs.ReadFile(w.distro.FS, in.Lock)
		if err != nil {
			return nil, usage(fmt.Errorf("reading the lock of stream %q: %w", stream, err))
		}
		return []streams.Input{{Name: in.Lock, Digest: fmt.Sprintf("sha256:%x", sha256.Sum256(data))}}, nil
	case len(in.Components) > 0:
		found, err := resolveAll(ctx, w, in.Components)
		return withImages(ctx, w, s.Architectures, found, err)
	case in.Stream != "":
		found, err := a.componentsOf(ctx, w, in.Stream)
		return withImages(ctx, w, s.Architectures, found, err)
	}
	return a.sources(w)
}

func resolveAll(ctx context.Context, w *world, components map[string]string) ([]streams.Input, error) {
	var out []streams.Input
	for _, name := range slices.Sorted(maps.Keys(components)) {
		digest, err := w.registry.Resolve(ctx, components[name])
		if err != nil {
			return nil, fmt.Errorf("looking for the image of component %q: %w", name, err)
		}
		repository := components[name][:strings.LastIndexByte(components[name], ':')]
		out = append(out, streams.Input{Name: name, Digest: repository + "@" + digest.String()})
	}
	return out, nil
}

// withImages adds to inputs what they have for the architectures of a stream. One that
// is not there is left out: it is the cut that fails, and says so.
func withImages(ctx context.Context, w *world, architectures []string, inputs []streams.Input, err error) ([]streams.Input, error) {
	if err != nil || len(architectures) == 0 {
		return inputs, err
	}
	for i, in := range inputs {
		images, list, err := oci.Architectures(ctx, w.registry, in.Digest)
		if err != nil {
			return nil, fmt.Errorf("looking for the images of component %q: %w", in.Name, err)
		}
		for _, arch := range architectures {
			digest, ok := images[arch]
			if !ok || !list {
				continue
			}
			if inputs[i].Images == nil {
				inputs[i].Images = map[string]string{}
			}
			inputs[i].Images[arch] = digest.String()
		}
	}
	return inputs, nil
}

// componentsOf are those of the newest accepted payload of a stream.
func (a *app) componentsOf(ctx context.Context, w *world, stream string) ([]streams.Input, error) {
	h, err := a.judgedHistory(w)
	if err != nil {
		return nil, err
	}
	accepted, err := h.Accepted(ctx, stream, 1, nil)
	if err != nil || len(accepted) == 0 {
		return nil, err
	}
	p, err := a.payload(ctx, w, accepted[0].Reference)
	if err != nil {
		return nil, err
	}
	var out []streams.Input
	for _, name := range p.Components() {
		image, _ := p.Image(name)
		out = append(out, streams.Input{Name: name, Digest: image})
	}
	return out, nil
}

// sources are the distribution's own files, and its lock where there is one.
func (a *app) sources(w *world) ([]streams.Input, error) {
	var out []streams.Input
	for _, root := range []string{"distro.yaml", "streams", "components"} {
		h := sha256.New()
		err := fs.WalkDir(w.distro.FS, root, func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := fs.ReadFile(w.distro.FS, p)
			fmt.Fprintf(h, "%q %d\n", p, len(data))
			h.Write(data)
			return err
		})
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading distribution %q: %w", w.distro.Path, err)
		}
		out = append(out, streams.Input{Name: root, Digest: fmt.Sprintf("sha256:%x", h.Sum(nil))})
	}
	path, err := a.defaultLockFile()
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	return append(out, streams.Input{Name: "distro.lock", Digest: fmt.Sprintf("sha256:%x", sha256.Sum256(data))}), nil
}
