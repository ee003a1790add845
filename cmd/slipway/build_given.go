package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/slipway-release/slipway/distros"
	"github.com/slipway-release/slipway/images"
	"github.com/slipway-release/slipway/internal/oci"
)

// givenImages are the components that inputs name by pull spec. Files among the inputs
// have a digest alone: they are in the distribution already.
func givenImages(d *distros.Distribution, inputs string) (map[string]string, error) {
	var all map[string]string
	if err := json.Unmarshal([]byte(inputs), &all); err != nil {
		return nil, fmt.Errorf("reading --inputs: it is no JSON object of strings: %w", err)
	}
	given := map[string]string{}
	var problems []error
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if !strings.Contains(all[name], "@sha256:") {
			continue
		}
		if d.Component(name) == nil {
			problems = append(problems, fmt.Errorf("reading --inputs: distribution %q has no component %q to take %s for", d.Name, name, all[name]))
		}
		given[name] = all[name]
	}
	return given, errors.Join(problems...)
}

// unlessGiven are the recipes that must be built where some images are given: all others,
// and what these stand on.
func unlessGiven(all []*images.Recipe, given map[string]string) []*images.Recipe {
	if len(given) == 0 {
		return all
	}
	var names []string
	for _, r := range all {
		if given[r.Metadata.Name] == "" {
			names = append(names, r.Metadata.Name)
		}
	}
	return images.WithBases(all, names...)
}

// checkGiven refuses what lacks an architecture, before anything is built or copied:
// components that are built here are built for one.
func (a *app) checkGiven(ctx context.Context, w *world, given map[string]string, architectures []string) error {
	own := w.distro.Architecture()
	foreign := slices.ContainsFunc(architectures, func(arch string) bool { return arch != own })
	var problems []error
	for _, r := range w.distro.Components {
		name := r.Metadata.Name
		spec := given[name]
		if spec == "" {
			if foreign {
				problems = append(problems, usage(fmt.Errorf("building component %q: it is not among the inputs, and is built for %s alone, not for %s", name, own, strings.Join(architectures, " and "))))
			}
			continue
		}
		if err := a.checkTaken(ctx, name, spec, architectures); err != nil {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

func (a *app) checkTaken(ctx context.Context, name, spec string, architectures []string) error {
	source, reference, err := a.locatePayload(ctx, spec)
	if err != nil {
		return err
	}
	found, _, err := oci.Architectures(ctx, source, reference)
	if err == nil {
		if err = images.Lacking(found, architectures); err != nil {
			err = usage(err)
		}
	}
	if err != nil {
		return fmt.Errorf("taking the image of component %q from %q: %w", name, spec, err)
	}
	return nil
}

// takeGiven puts the images that are given in the place of those built, in the order of
// the distribution.
func (a *app) takeGiven(ctx context.Context, w *world, built []images.Result, given map[string]string, architectures []string) ([]images.Result, error) {
	if len(given) == 0 {
		return built, nil
	}
	results := map[string]images.Result{}
	for _, b := range built {
		results[b.Component] = b
	}
	for name, spec := range given {
		source, reference, err := a.locatePayload(ctx, spec)
		if err == nil {
			results[name], err = images.Take(ctx, source, w.registry, w.state.Cache("images"), name, reference, architectures...)
		}
		if err != nil {
			return nil, fmt.Errorf("taking the image of component %q from %q: %w", name, spec, err)
		}
	}
	var all []images.Result
	for _, r := range w.distro.Components {
		all = append(all, results[r.Metadata.Name])
	}
	return all, nil
}
