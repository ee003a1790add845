package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/pflag"

	"github.com/slipway-release/slipway/internal/state"
	"github.com/slipway-release/slipway/release/assemble/deliver"
	"github.com/slipway-release/slipway/release/manifests"
)

// newOutputs say where a payload goes.
type newOutputs struct {
	images    []string
	layout    string
	archive   string
	dir       string
	file      string
	signature string
	extracted string

	referenceFile string
	versionFile   string
}

func (w *newOutputs) addFlags(f *pflag.FlagSet) {
	f.StringArrayVar(&w.images, "to-image", nil, "push the payload under this name; its tag is the version unless given; may be given several times")
	f.StringVar(&w.layout, "to-layout", "", "add the payload to the OCI layout in this folder")
	f.StringVar(&w.archive, "to-archive", "", "write the payload to this file, a tar of an OCI layout")
	f.StringVar(&w.dir, "to-dir", "", "write the payload's files into this folder")
	f.StringVar(&w.file, "to-file", "", "write the payload's layer, a gzip tar, to this file or standard output (-)")
	f.StringVar(&w.signature, "to-signature", "", "write the unsigned claim about the first --to-image to this file")
	f.StringVar(&w.extracted, "dir", "", "keep the components' manifests, as they came, in this folder, which --from-dir reads")
	f.StringVar(&w.referenceFile, "reference-file", "", "write the payload's reference by digest, or the digest of one that is in no registry, to this file")
	f.StringVar(&w.versionFile, "version-file", "", "write the version to this file")
}

func (w *newOutputs) check() error {
	var problems []error
	for _, ref := range w.images {
		if strings.Contains(ref, "@") {
			problems = append(problems, fmt.Errorf("reading --to-image: %q ends in a digest, which is not known before", ref))
		}
	}
	if w.signature != "" && len(w.images) == 0 {
		problems = append(problems, errors.New("reading --to-signature: the claim names where the payload is; give --to-image as well"))
	}
	return errors.Join(problems...)
}

// none reports whether no output was asked for.
func (w *newOutputs) none() bool {
	return len(w.images) == 0 && w.layout == "" && w.archive == "" && w.dir == "" && w.file == ""
}

// names are the outputs for the report.
func (w *newOutputs) names() []string {
	names := append([]string{}, w.images...)
	for _, path := range []string{w.layout, w.archive, w.dir, w.file} {
		if path != "" {
			names = append(names, path)
		}
	}
	return names
}

// tagged gives a --to-image its tag.
func tagged(ref string, n *assembled) string {
	if manifests.RepositoryOf(ref) != ref {
		return ref
	}
	return ref + ":" + n.Version().Tag()
}

// write brings the payload everywhere: files first, as they can be taken back,
// registries last.
func (w *newOutputs) write(ctx context.Context, a *app, n *assembled) error {
	tag := n.Version().Tag()
	if w.extracted != "" {
		if err := deliver.WriteComponents(w.extracted, n.Parts[0].Payload, n.components); err != nil {
			return err
		}
	}
	if w.dir != "" {
		if err := n.WriteDirectory(w.dir); err != nil {
			return err
		}
	}
	if w.layout != "" {
		if err := n.WriteLayout(ctx, w.layout, tag); err != nil {
			return err
		}
	}
	if w.archive != "" {
		if err := n.WriteArchive(ctx, w.archive, tag, n.epoch); err != nil {
			return err
		}
	}
	if w.file != "" {
		if err := n.WriteLayer(w.file, a.Out); err != nil {
			return usage(err)
		}
	}
	if w.none() && n.gathered.world != nil {
		return n.Push(ctx, n.gathered.world.registry, n.gathered.world.releases()+":"+tag)
	}
	for _, ref := range w.images {
		if err := n.Push(ctx, n.sources, tagged(ref, n)); err != nil {
			return err
		}
	}
	if w.signature != "" {
		return n.WriteClaim(w.signature, manifests.RepositoryOf(w.images[0]), n.epoch)
	}
	return nil
}

// located returns the payload's reference by digest, and where that is really stored.
func (w *newOutputs) located(n *assembled, digest v1.Hash) (reference, pullSpec string, err error) {
	world := n.gathered.world
	switch {
	case len(w.images) > 0:
		reference = manifests.RepositoryOf(w.images[0]) + "@" + digest.String()
		if world == nil {
			return reference, reference, nil
		}
	case world != nil:
		reference = world.releases() + "@" + digest.String()
	default:
		return "", "", nil
	}
	where, err := world.registry.Locate(reference)
	if err != nil {
		return "", "", err
	}
	return reference, where.String(), nil
}

// writeNames writes what later steps of a pipeline read.
func (w *newOutputs) writeNames(p newPayload) error {
	reference := p.Reference
	if reference == "" {
		reference = p.Digest
	}
	for path, content := range map[string]string{w.referenceFile: reference, w.versionFile: p.Version} {
		if path == "" {
			continue
		}
		if err := state.WriteFile(path, []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}
