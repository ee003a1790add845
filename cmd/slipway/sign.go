package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/images"
	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/state"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/sign"
)

// verifier trusts the key pair of the state directory, or the keys in
// SLIPWAY_VERIFY_KEYS (a list of files).
func (a *app) verifier(st *state.Dir) (*sign.Verifier, error) {
	if paths := a.getenv("SLIPWAY_VERIFY_KEYS"); paths != "" {
		v, err := sign.LoadVerifier(strings.Split(paths, string(os.PathListSeparator))...)
		return v, usage(err)
	}
	v, err := sign.LoadKeyDir(st.Keys())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usage(fmt.Errorf("verifying signatures: %s has no public key; sign something first or name keys in SLIPWAY_VERIFY_KEYS", st.Keys()))
	}
	return v, err
}

// claimOf is what a payload's signature binds to its digest.
func claimOf(v release.Version, platform string) sign.Claim {
	_, arch, _ := strings.Cut(platform, "/")
	return sign.Claim{Version: v.String(), Stream: v.Stream(), Architecture: arch}
}

func newSign(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "sign PAYLOAD",
		Short: "Sign a payload's digest, as cosign v2 does it",
		Long: `Sign a payload's digest with the key pair of the state directory, which is made on
first use (password: COSIGN_PASSWORD, or one that is generated beside it). The
signature binds version, stream and architecture.`,
		Example: "  slipway sign registry.slipway.internal/skiff/release@sha256:…",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runSign(cmd.Context(), a, args[0])
		},
	}
}

func runSign(ctx context.Context, a *app, reference string) error {
	w, err := a.open(ctx)
	if err != nil {
		return err
	}
	digest, err := w.registry.Resolve(ctx, w.reference(reference))
	if errors.Is(err, oci.ErrNotFound) {
		return usage(err)
	}
	if err != nil {
		return err
	}
	ref := w.releases() + "@" + digest.String()
	img, err := w.registry.Image(ctx, ref)
	if err != nil {
		return err
	}
	// What is signed is read first: a signature on something that is no payload
	// would only be found out later.
	p, err := release.Load(ctx, img)
	if err != nil {
		return usage(fmt.Errorf("signing %q: %w", reference, err))
	}
	signer, err := a.keys(w.state)
	if err != nil {
		return err
	}
	if err := signer.Sign(ctx, w.registry, ref, claimOf(p.Version, w.distro.Platform)); err != nil {
		return err
	}
	fmt.Fprintf(a.Out, "%s signed by key %s\n", ref, signer.KeyID())
	return nil
}

func newVerify(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "verify PAYLOAD",
		Short:   "Verify a payload's signature, offline; exit 1 when it is refused",
		Example: "  slipway verify 1.36.3-0.nightly-2026-11-20-101500",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			w, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			p, err := a.payload(cmd.Context(), w, args[0])
			if err != nil {
				return err
			}
			fmt.Fprintf(a.Out, "%s is %s, signed by a trusted key\n", p.Reference, p.Version)
			return nil
		},
	}
}

func newAttest(a *app) *cobra.Command {
	var kind, lockFile, imagesFile string
	cmd := &cobra.Command{
		Use:   "attest PAYLOAD",
		Short: "Attach provenance or a bill of materials to a payload",
		Long: `Attach a signed statement to a payload's digest: its SLSA v1 provenance, from the
lock and the build's results, or an SPDX 2.3 bill of materials of all its images.`,
		Example: "  slipway attest sha256:… --type provenance --lock-file lock.json --images-file images.json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runAttest(cmd.Context(), a, args[0], kind, lockFile, imagesFile)
		},
	}
	cmd.Flags().StringVar(&kind, "type", "provenance", "provenance or sbom")
	cmd.Flags().StringVar(&lockFile, "lock-file", "", "lock that the images were built from")
	cmd.Flags().StringVar(&imagesFile, "images-file", "", "file that slipway build wrote")
	_ = cmd.MarkFlagRequired("images-file")
	_ = cmd.RegisterFlagCompletionFunc("type", cobra.FixedCompletions([]string{"provenance", "sbom"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func runAttest(ctx context.Context, a *app, reference, kind, lockFile, imagesFile string) error {
	w, err := a.open(ctx)
	if err != nil {
		return err
	}
	p, err := a.payload(ctx, w, reference)
	if err != nil {
		return err
	}
	built, err := readResults(imagesFile)
	if err != nil {
		return err
	}
	var predicateType string
	var predicate any
	switch kind {
	case "provenance":
		predicateType = sign.PredicateProvenance
		predicate, err = provenance(w, p, built, lockFile)
	case "sbom":
		predicateType = sign.PredicateSBOM
		predicate, err = sbom(w, p, built)
	default:
		err = usage(fmt.Errorf("attaching %q: known are provenance and sbom", kind))
	}
	if err != nil {
		return err
	}
	signer, err := a.keys(w.state)
	if err != nil {
		return err
	}
	digest, err := signer.Attest(ctx, w.registry, p.Reference, predicateType, predicate)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.Out, "%s %s\n", predicateType, digest)
	return nil
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

func sbom(w *world, p *release.Payload, built []images.Result) (json.RawMessage, error) {
	contents := make([]sign.ImageContent, len(built))
	for i, b := range built {
		contents[i] = sign.ImageContent{Component: b.Component, Reference: b.Reference}
		for _, pkg := range b.Packages {
			contents[i].Packages = append(contents[i].Packages, sign.Package{Kind: pkg.Kind, Name: pkg.Name, Version: pkg.Version, PURL: pkg.PURL, Digest: pkg.Digest})
		}
	}
	return sign.NewSBOM(sign.SBOMOptions{
		Name: w.distro.Name + "-" + p.Version.String(), Namespace: "https://slipway.dev/spdx/" + p.Digest.Hex,
		Created: p.Created, Tool: "slipway", Payload: sign.ImageContent{Component: "release", Reference: p.Reference}, Images: contents,
	})
}

func newEvidence(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "evidence", Short: "List and show the signed statements about a payload"}
	cmd.AddCommand(newEvidenceList(a), newEvidenceShow(a))
	return cmd
}

type evidenceLine struct {
	PredicateType string    `json:"predicateType"`
	Digest        string    `json:"digest"`
	Time          time.Time `json:"time"`
	Key           string    `json:"key"`
	Refused       string    `json:"refused,omitempty"`
}

func newEvidenceList(a *app) *cobra.Command {
	var out output
	cmd := &cobra.Command{
		Use:     "list PAYLOAD",
		Short:   "List the statements about a payload, and those that are not believed",
		Example: "  slipway evidence list 1.36.3-0.nightly-2026-11-20-101500 -o json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			found, err := a.evidence(cmd.Context(), args[0], "")
			if err != nil {
				return err
			}
			lines := []evidenceLine{}
			r := result{}
			for _, s := range found.Statements {
				lines = append(lines, evidenceLine{PredicateType: s.PredicateType, Digest: s.Digest.String(), Time: s.Time, Key: s.Key})
				r.names = append(r.names, s.Digest.String())
			}
			for _, s := range found.Refused {
				lines = append(lines, evidenceLine{Digest: s.Digest.String(), Refused: s.Reason})
			}
			r.value = lines
			r.text = func(w io.Writer) {
				for _, l := range lines {
					if l.Refused != "" {
						fmt.Fprintf(w, "REFUSED %s: %s\n", l.Digest, l.Refused)
						continue
					}
					fmt.Fprintf(w, "%s  %-52s %s\n", l.Time.UTC().Format(time.RFC3339), l.PredicateType, l.Digest)
				}
			}
			return out.print(a.Out, r)
		},
	}
	out.addFlag(cmd)
	return cmd
}

func (a *app) evidence(ctx context.Context, reference, predicateType string) (sign.Evidence, error) {
	w, err := a.open(ctx)
	if err != nil {
		return sign.Evidence{}, err
	}
	p, err := a.payload(ctx, w, reference)
	if err != nil {
		return sign.Evidence{}, err
	}
	verifier, err := a.verifier(w.state)
	if err != nil {
		return sign.Evidence{}, err
	}
	return verifier.Evidence(ctx, w.registry, p.Reference, predicateType)
}

func newEvidenceShow(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "show PAYLOAD PREDICATE-TYPE",
		Short:   "Print the newest predicate of a type, as JSON",
		Example: "  slipway evidence show sha256:… https://spdx.dev/Document",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			found, err := a.evidence(cmd.Context(), args[0], args[1])
			if err != nil {
				return err
			}
			if len(found.Statements) == 0 {
				return usage(fmt.Errorf("showing evidence of type %q: payload %q has none that is signed by a trusted key", args[1], args[0]))
			}
			_, err = fmt.Fprintln(a.Out, string(found.Statements[0].Predicate))
			return err
		},
	}
}
