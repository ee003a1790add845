package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/images"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/sign"
)

// attestFlags are those of `slipway attest`.
type attestFlags struct {
	signer     signerFlags
	kind       string
	predicate  string
	lockFile   string
	imagesFile string
	perImage   bool
	older      bool
	dryRun     bool
}

func newAttest(a *app) *cobra.Command {
	var f attestFlags
	var out output
	cmd := &cobra.Command{
		Use:   "attest IMAGE",
		Short: "Attach a signed statement to an image: provenance, a bill of materials, or any other",
		Long: `Attach a signed in-toto statement to an image's digest. With --predicate it says what
the file says, of any type, about any image. Without, it is made for a payload whose
signature is verified first: its SLSA v1 provenance, from the lock and the build's
results, or an SPDX 2.3 bill of materials of all its images; --per-image attaches to
each component a bill of its own as well.`,
		Example: `  slipway attest sha256:… --type provenance --lock-file lock.json --images-file images.json
  slipway attest sha256:… --type sbom --images-file images.json --per-image
  slipway attest registry.example.com/skiff/etcd@sha256:… --type vuln --predicate scan.json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			done, err := a.attest(cmd.Context(), args[0], f)
			if err != nil {
				return err
			}
			return out.print(a.Out, attestedResult(done))
		},
	}
	a.addRegistryFlags(cmd)
	f.signer.add(cmd)
	fl := cmd.Flags()
	fl.StringVar(&f.kind, "type", "provenance", "predicate type: a URI, or a short name such as provenance, spdx or test-result")
	fl.StringVar(&f.predicate, "predicate", "", "file with the predicate, a JSON object; - for standard input")
	fl.StringVar(&f.lockFile, "lock-file", "", "lock that the images were built from")
	fl.StringVar(&f.imagesFile, "images-file", "", "file that slipway build wrote")
	fl.BoolVar(&f.perImage, "per-image", false, "with --type sbom, also attach to each component its own")
	fl.BoolVar(&f.older, "older-layout", false, "store it under the tag sha256-<hex>.att, for programs that know no referrers")
	fl.BoolVar(&f.dryRun, "dry-run", false, "print the predicates, and attach nothing")
	_ = cmd.RegisterFlagCompletionFunc("type", cobra.FixedCompletions(sign.PredicateNames(), cobra.ShellCompDirectiveNoFileComp))
	out.addFlag(cmd)
	return cmd
}

// attested is one statement that was attached, or would be.
type attested struct {
	Reference     string `json:"reference"`
	PredicateType string `json:"predicateType"`
	Digest        string `json:"digest,omitempty"`
	Predicate     any    `json:"predicate,omitempty"` // with --dry-run
}

func attestedResult(done []attested) result {
	r := result{value: done}
	for _, d := range done {
		r.names = append(r.names, d.Digest)
	}
	r.text = func(w io.Writer) {
		for _, d := range done {
			if d.Digest != "" {
				fmt.Fprintf(w, "%s %s\n", d.PredicateType, d.Digest)
				continue
			}
			predicate, _ := json.MarshalIndent(d.Predicate, "", "  ") // was JSON before
			fmt.Fprintf(w, "%s would be attached to %s:\n%s\n", d.PredicateType, d.Reference, predicate)
		}
	}
	return r
}

func (a *app) attest(ctx context.Context, named string, f attestFlags) ([]attested, error) {
	uri, err := sign.PredicateURI(f.kind)
	if err != nil {
		return nil, usage(fmt.Errorf("reading --type: %w", err))
	}
	var todo []attested
	var to sign.Target
	if f.predicate != "" {
		todo, to, err = a.givenStatement(ctx, named, uri, f.predicate)
	} else {
		todo, to, err = a.madeStatements(ctx, named, uri, f)
	}
	if err != nil || f.dryRun {
		return todo, err
	}
	signer, err := f.signer.open(ctx, a)
	if err != nil {
		return nil, err
	}
	layout := sign.Referrer
	if f.older {
		layout = sign.Tag
	}
	for i, t := range todo {
		identity, err := a.identityOf(t.Reference)
		if err != nil {
			return nil, err
		}
		digest, err := signer.AttestAs(ctx, to, t.Reference, sign.Attestation{PredicateType: t.PredicateType, Predicate: t.Predicate, Layout: layout, Identity: identity})
		if err != nil {
			return nil, err
		}
		todo[i].Digest, todo[i].Predicate = digest.String(), nil
	}
	return todo, nil
}

// maxPredicate bounds a predicate that is given, in bytes.
const maxPredicate = 100 << 20

// givenStatement is what a file says, about any image.
func (a *app) givenStatement(ctx context.Context, named, uri, file string) ([]attested, sign.Target, error) {
	source := a.In
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, nil, usage(fmt.Errorf("reading --predicate: %w", err))
		}
		defer f.Close()
		source = f
	}
	data, err := io.ReadAll(io.LimitReader(source, maxPredicate+1))
	if err != nil {
		return nil, nil, fmt.Errorf("reading --predicate: %w", err)
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(data, &object); err != nil || object == nil || len(data) > maxPredicate {
		return nil, nil, usage(fmt.Errorf("reading --predicate %q: it must be a JSON object of at most %d bytes", file, maxPredicate))
	}
	image, err := a.openPayload(ctx, named)
	if err != nil {
		return nil, nil, err
	}
	to, ok := image.source.(sign.Target)
	if !ok {
		return nil, nil, usage(fmt.Errorf("attesting to %q: it lies where nothing can be stored", named))
	}
	return []attested{{Reference: image.reference, PredicateType: uri, Predicate: json.RawMessage(data)}}, to, nil
}

// madeStatements are what Slipway itself has to say about a payload it built.
func (a *app) madeStatements(ctx context.Context, named, uri string, f attestFlags) ([]attested, sign.Target, error) {
	if uri != sign.PredicateProvenance && uri != sign.PredicateSBOM {
		return nil, nil, usage(fmt.Errorf("attaching %q: without --predicate, known are provenance and sbom", f.kind))
	}
	if f.imagesFile == "" {
		return nil, nil, usage(errors.New("attaching provenance or a bill of materials: --images-file must name the file that slipway build wrote"))
	}
	w, err := a.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	p, err := a.payload(ctx, w, named)
	if err != nil {
		return nil, nil, err
	}
	built, err := readResults(f.imagesFile)
	if err != nil {
		return nil, nil, err
	}
	if uri == sign.PredicateProvenance {
		predicate, err := provenance(w, p, built, f.lockFile)
		return []attested{{Reference: p.Reference, PredicateType: uri, Predicate: predicate}}, w.registry, err
	}
	options := sbomOptions(w, p, built)
	merged, err := sign.NewSBOM(options)
	if err != nil {
		return nil, nil, err
	}
	all := []attested{{Reference: p.Reference, PredicateType: uri, Predicate: merged}}
	if !f.perImage {
		return all, w.registry, nil
	}
	for _, image := range options.Images {
		own, err := sign.NewImageSBOM(options, image)
		if err != nil {
			return nil, nil, err
		}
		all = append(all, attested{Reference: image.Reference, PredicateType: uri, Predicate: own})
	}
	return all, w.registry, nil
}

// buildType and builderID name, in provenance, how payloads are built and by
// what; docs/formats.md defines the parameters.
const (
	buildType = "https://slipway.dev/build/v1"
	builderID = "https://slipway.dev/builder/local"
)

func provenance(w *world, p *release.Payload, built []images.Result, lockFile string) (sign.Provenance, error) {
	var lock json.RawMessage
	if err := readJSON(lockFile, &lock); err != nil {
		return sign.Provenance{}, usage(err)
	}
	var materials []sign.Material
	for _, b := range built {
		for _, m := range b.Materials {
			materials = append(materials, sign.Material(m))
		}
	}
	components := map[string]string{}
	for _, name := range p.Components() {
		components[name], _ = p.Image(name)
	}
	info, _ := debug.ReadBuildInfo()
	return sign.NewProvenance(sign.BuildDefinition{
		BuildType:            buildType,
		ExternalParameters:   map[string]any{"distribution": w.distro.Name, "version": p.Version, "platform": w.distro.Platform},
		InternalParameters:   map[string]any{"components": components, "lock": lock},
		ResolvedDependencies: materials,
	}, sign.RunDetails{
		Builder:  sign.Builder{ID: builderID, Version: map[string]string{"slipway": info.Main.Version, "go": info.GoVersion}},
		Metadata: sign.RunMetadata{InvocationID: p.Version.String()},
	}), nil
}

func sbomOptions(w *world, p *release.Payload, built []images.Result) sign.SBOMOptions {
	contents := make([]sign.ImageContent, len(built))
	for i, b := range built {
		contents[i] = sign.ImageContent{Component: b.Component, Reference: b.Reference}
		for _, pkg := range b.Packages {
			contents[i].Packages = append(contents[i].Packages, sign.Package{Kind: pkg.Kind, Name: pkg.Name, Version: pkg.Version, PURL: pkg.PURL, Digest: pkg.Digest})
		}
	}
	return sign.SBOMOptions{
		Name: w.distro.Name + "-" + p.Version.String(), Namespace: "https://slipway.dev/spdx/" + p.Digest.Hex,
		Created: p.Created, Tool: "slipway", Payload: sign.ImageContent{Component: "release", Reference: p.Reference}, Images: contents,
	}
}
