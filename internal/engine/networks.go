package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Network is one network of the engine.
type Network struct {
	Name   string
	Labels map[string]string
}

// CreateNetwork makes a bridge network on which containers find each other by
// name. It carries StateLabel and the given labels. An existing one of the same
// name and state is taken as it is.
func (e *Engine) CreateNetwork(ctx context.Context, name string, labels map[string]string) error {
	existing, err := e.networks(ctx, nil)
	if err != nil {
		return err
	}
	for _, n := range existing {
		if n.Name != name {
			continue
		}
		if n.Labels[StateLabel] == e.state {
			return nil
		}
		return fmt.Errorf("creating network %q: one of this name exists that is not of this state directory", name)
	}
	args := []string{"network", "create", "--driver", "bridge", "--label", StateLabel + "=" + e.state}
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		args = append(args, "--label", k+"="+labels[k])
	}
	if _, err := e.output(ctx, append(args, name)...); err != nil {
		return fmt.Errorf("creating network %q: %w", name, err)
	}
	return nil
}

// Networks lists the networks of this state directory.
func (e *Engine) Networks(ctx context.Context) ([]Network, error) {
	return e.networks(ctx, map[string]string{StateLabel: e.state})
}

func (e *Engine) networks(ctx context.Context, labels map[string]string) ([]Network, error) {
	names, err := e.lines(ctx, append([]string{"network", "ls", "--format", "{{.Name}}"}, labelFilters(labels)...)...)
	if err != nil {
		return nil, fmt.Errorf("listing networks: %w", err)
	}
	var found []Network
	for _, name := range names {
		out, err := e.output(ctx, "network", "inspect", name)
		if isAbsent(err) {
			continue // removed since it was listed
		}
		if err != nil {
			return nil, fmt.Errorf("inspecting network %q: %w", name, err)
		}
		var raw []struct{ Labels map[string]string } // "labels" with Podman, "Labels" with Docker
		if err := json.Unmarshal(out, &raw); err != nil || len(raw) == 0 {
			return nil, fmt.Errorf("reading what the engine says of network %q: %w", name, err)
		}
		found = append(found, Network{Name: name, Labels: raw[0].Labels})
	}
	return found, nil
}

// RemoveNetwork removes a network. One that does not exist is no error.
func (e *Engine) RemoveNetwork(ctx context.Context, name string) error {
	if _, err := e.output(ctx, "network", "rm", name); err != nil && !isAbsent(err) {
		return fmt.Errorf("removing network %q: %w", name, err)
	}
	return nil
}

// RemoveVolumes removes the volumes that carry a label, whatever its value.
func (e *Engine) RemoveVolumes(ctx context.Context, label string) error {
	names, err := e.lines(ctx, "volume", "ls", "--quiet", "--filter", "label="+label)
	if err != nil {
		return fmt.Errorf("listing volumes: %w", err)
	}
	var errs []error
	for _, name := range names {
		if _, err := e.output(ctx, "volume", "rm", "--force", name); err != nil && !isAbsent(err) {
			errs = append(errs, fmt.Errorf("removing volume %q: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// Leftovers names every container and network of this state directory, as
// "container/NAME" and "network/NAME", for a check that nothing stays behind.
func (e *Engine) Leftovers(ctx context.Context) ([]string, error) {
	containers, err := e.Containers(ctx, map[string]string{StateLabel: e.state})
	if err != nil {
		return nil, err
	}
	networks, err := e.Networks(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, c := range containers {
		names = append(names, "container/"+c.Name)
	}
	for _, n := range networks {
		names = append(names, "network/"+strings.TrimSpace(n.Name))
	}
	return names, nil
}
