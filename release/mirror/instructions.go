package mirror

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/slipway-release/slipway/internal/oci"
)

// The kinds of mirror configuration.
const (
	InstructionsIDMS = "idms"
	InstructionsICSP = "icsp"
	InstructionsNone = "none"
)

// sources pairs the repositories that the payload names with those that the
// copies are in.
func (p *plan) sources(skipRelease bool) []oci.Mirror {
	targets := map[string][]string{}
	add := func(source, target string) {
		if source != "" && target != "" && source != target && !slices.Contains(targets[source], target) {
			targets[source] = append(targets[source], target)
		}
	}
	if !skipRelease {
		add(p.repository, p.payload.repository)
	}
	for _, i := range p.components {
		add(repositoryOf(i.pullspec), i.repository)
	}
	var mirrors []oci.Mirror
	for source, list := range targets {
		slices.Sort(list)
		mirrors = append(mirrors, oci.Mirror{Source: source, Mirrors: list})
	}
	slices.SortFunc(mirrors, func(x, y oci.Mirror) int { return cmp.Compare(x.Source, y.Source) })
	return mirrors
}

type mirrorEntry struct {
	Mirrors []string `yaml:"mirrors"`
	Source  string   `yaml:"source"`
}

type installConfig struct {
	ImageDigestSources  []mirrorEntry `yaml:"imageDigestSources,omitempty"`
	ImageContentSources []mirrorEntry `yaml:"imageContentSources,omitempty"`
}

type mirrorObject struct {
	APIVersion string            `yaml:"apiVersion"`
	Kind       string            `yaml:"kind"`
	Metadata   map[string]string `yaml:"metadata"`
	Spec       struct {
		ImageDigestMirrors      []mirrorEntry `yaml:"imageDigestMirrors,omitempty"`
		RepositoryDigestMirrors []mirrorEntry `yaml:"repositoryDigestMirrors,omitempty"`
	} `yaml:"spec"`
}

// Instructions returns what installations and clusters must be told to find the
// copies, as YAML of two documents: the part of install-config.yaml, and the
// object for a running cluster. kind is InstructionsIDMS (config.openshift.io/v1,
// ImageDigestMirrorSet) or InstructionsICSP (operator.openshift.io/v1alpha1,
// ImageContentSourcePolicy). There is nothing to be told when nothing moved.
// What it returns can be given to --idms-file.
func Instructions(kind string, mirrors []oci.Mirror) ([]byte, error) {
	if len(mirrors) == 0 || kind == InstructionsNone {
		return nil, nil
	}
	entries := make([]mirrorEntry, len(mirrors))
	for i, m := range mirrors {
		entries[i] = mirrorEntry{m.Mirrors, m.Source}
	}
	var install installConfig
	object := mirrorObject{Metadata: map[string]string{"name": "example"}}
	switch kind {
	case InstructionsIDMS:
		install.ImageDigestSources = entries
		object.APIVersion, object.Kind = "config.openshift.io/v1", "ImageDigestMirrorSet"
		object.Spec.ImageDigestMirrors = entries
	case InstructionsICSP:
		install.ImageContentSources = entries
		object.APIVersion, object.Kind = "operator.openshift.io/v1alpha1", "ImageContentSourcePolicy"
		object.Spec.RepositoryDigestMirrors = entries
	default:
		return nil, fmt.Errorf("printing mirror instructions: %q is none of %s, %s, %s", kind, InstructionsIDMS, InstructionsICSP, InstructionsNone)
	}
	var out bytes.Buffer
	for _, part := range []struct {
		comment string
		value   any
	}{
		{"# To install from the copies, add this to install-config.yaml:\n", install},
		{"---\n# To upgrade a cluster from the copies, apply this:\n", object},
	} {
		out.WriteString(part.comment)
		encoder := yaml.NewEncoder(&out)
		encoder.SetIndent(2)
		if err := encoder.Encode(part.value); err != nil {
			return nil, fmt.Errorf("printing mirror instructions: %w", err)
		}
		if err := encoder.Close(); err != nil {
			return nil, fmt.Errorf("printing mirror instructions: %w", err)
		}
	}
	return out.Bytes(), nil
}
