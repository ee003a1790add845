package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/manifests"
	"github.com/slipway-release/slipway/release/sign"
	"github.com/slipway-release/slipway/release/sign/openpgp"
)

// claimOf is what a payload's signature binds to its digest.
func claimOf(v release.Version, platform string) sign.Claim {
	_, arch, _ := strings.Cut(platform, "/")
	return sign.Claim{Version: v.String(), Stream: v.Stream(), Architecture: arch}
}

// signFlags are those of `slipway sign`.
type signFlags struct {
	signer     signerFlags
	openPGPKey string
	gpg        openpgp.GPG
	store      string
	configMap  string
	claimOnly  bool
	recursive  bool
	dryRun     bool
	identity   string
}

func newSign(a *app) *cobra.Command {
	var f signFlags
	var out output
	cmd := &cobra.Command{
		Use:   "sign PAYLOAD",
		Short: "Sign a payload's digest, as cosign v2 does it or for OpenShift's clusters",
		Long: `Sign a payload's digest. The signature binds version, stream and architecture.

Without flags the key pair of the state directory signs, which is made on first use
(password: COSIGN_PASSWORD, or one that is generated beside it). A second signature
stands beside the first: to rotate a key, have verifiers trust both, sign again with
the new one what is still in use, and then take the old one from the verifiers.

With --openpgp-key or --gpg-homedir the claim that OpenShift's and OKD's clusters
verify is signed, and kept in a signature store, in a ConfigMap for clusters that can
reach none, or in both. Then nothing is signed as cosign does it unless --key, or
--fulcio-url, says so as well. ` + openpgp.PassphraseVariable + ` opens an OpenPGP key.`,
		Example: `  slipway sign registry.slipway.internal/skiff/release@sha256:…
  slipway sign 1.36.3-0.nightly-2026-11-20-101500 --key awskms:///alias/release
  slipway sign sha256:… --openpgp-key release.asc --store signatures --to-config-map signature.yaml
  slipway sign sha256:… --claim-only | gpg --sign > signature-1`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			done, err := a.sign(cmd.Context(), args[0], f)
			if err != nil {
				return err
			}
			return out.print(a.Out, signedResult(done, f.claimOnly))
		},
	}
	a.addRegistryFlags(cmd)
	f.signer.add(cmd)
	fl := cmd.Flags()
	fl.StringVar(&f.openPGPKey, "openpgp-key", "", "file with the OpenPGP private key to sign a claim with")
	fl.StringVar(&f.gpg.Home, "gpg-homedir", "", "home directory of gpg, to sign a claim with a key of its agent")
	fl.StringVar(&f.gpg.User, "gpg-user", "", "which of gpg's keys: its fingerprint or mail address")
	fl.StringVar(&f.store, "store", "", "directory to keep the OpenPGP signature in, as sha256=<hex>/signature-<n>")
	fl.StringVar(&f.configMap, "to-config-map", "", "file with the ConfigMap to keep the OpenPGP signature in; made or added to")
	fl.BoolVar(&f.claimOnly, "claim-only", false, "print the unsigned claim for OpenPGP, and sign nothing")
	fl.BoolVar(&f.recursive, "recursive", false, "also sign the images of each platform and all components")
	fl.StringVar(&f.identity, "identity", "", "repository to name the payload by in the signature (default: where it is; in files, the distribution's)")
	fl.BoolVar(&f.dryRun, "dry-run", false, "show what would be signed, and sign nothing")
	out.addFlag(cmd)
	return cmd
}

// signed is one signature that was made, or would be.
type signed struct {
	Reference string     `json:"reference"`
	Form      string     `json:"form"`
	Claim     sign.Claim `json:"claim"`
	By        string     `json:"by,omitempty"`    // key, identity or fingerprint
	Place     string     `json:"place,omitempty"` // of an OpenPGP signature
	Present   bool       `json:"present,omitempty"`

	document []byte // with --claim-only
}

func signedResult(done []signed, claimOnly bool) result {
	r := result{value: done}
	for _, s := range done {
		r.names = append(r.names, s.Reference)
	}
	r.text = func(w io.Writer) {
		for _, s := range done {
			switch {
			case claimOnly:
				fmt.Fprintln(w, string(s.document))
			case s.By == "":
				fmt.Fprintf(w, "%s would be signed as %s\n", s.Reference, describeClaim(s.Claim))
			case s.Place != "" && s.Present:
				fmt.Fprintf(w, "%s bears this signature of key %s in %s already\n", s.Reference, s.By, s.Place)
			case s.Place != "":
				fmt.Fprintf(w, "%s signed by OpenPGP key %s, in %s\n", s.Reference, s.By, s.Place)
			default:
				fmt.Fprintf(w, "%s signed by %s\n", s.Reference, s.By)
			}
		}
	}
	return r
}

func describeClaim(c sign.Claim) string {
	parts := []string{}
	for _, f := range []struct{ name, value string }{{"version", c.Version}, {"stream", c.Stream}, {"architecture", c.Architecture}} {
		if f.value != "" {
			parts = append(parts, f.name+" "+f.value)
		}
	}
	return strings.Join(parts, ", ")
}

// sign reads a payload first: a signature on something that is no payload would
// only be found out later.
func (a *app) sign(ctx context.Context, named string, f signFlags) ([]signed, error) {
	openPGP := f.openPGPKey != "" || f.gpg.Home != "" || f.gpg.User != ""
	if openPGP && f.store == "" && f.configMap == "" && !f.claimOnly && !f.dryRun {
		return nil, usage(errors.New("signing with an OpenPGP key: say where the signature goes, by --store or --to-config-map"))
	}
	if !openPGP && (f.store != "" || f.configMap != "") && !f.claimOnly && !f.dryRun {
		return nil, usage(errors.New("filling a store of OpenPGP signatures: say who signs, by --openpgp-key or --gpg-homedir"))
	}
	p, err := a.findPayload(ctx, named)
	if err != nil {
		return nil, err
	}
	platform, err := a.platform()
	if err != nil {
		return nil, err
	}
	if p.image, err = oci.AnyImage(ctx, p.source, p.reference, platform); err != nil {
		return nil, err
	}
	payload, claim, err := p.identify(ctx)
	if err != nil {
		return nil, usage(fmt.Errorf("signing %q: %w", named, err))
	}
	if f.identity == "" {
		if f.identity, err = a.identityOf(p.reference); err != nil {
			return nil, err
		}
	}
	if f.claimOnly {
		return claimsOnly(p.reference, f.identity, claim)
	}
	todo, err := p.toSign(ctx, payload, claim, f.recursive)
	if err != nil || f.dryRun {
		return todo, err
	}
	var done []signed
	if !openPGP || f.signer.named() {
		if done, err = a.signAll(ctx, p, todo, f); err != nil {
			return nil, err
		}
	}
	if openPGP {
		claims, err := a.signOpenPGP(ctx, p.reference, claim, f)
		if err != nil {
			return nil, err
		}
		done = append(done, claims...)
	}
	return done, nil
}

// identityOf is the repository by which a signature names a payload.
func (a *app) identityOf(reference string) (string, error) {
	if !strings.HasPrefix(reference, layoutScheme) && !strings.HasPrefix(reference, archiveScheme) {
		return manifests.RepositoryOf(reference), nil
	}
	d, err := a.distribution()
	if err != nil {
		return "", err
	}
	return d.Repository + "/release", nil
}

// identify reads the payload, and says what a signature of it claims.
func (p *payloadImage) identify(ctx context.Context) (*release.Payload, sign.Claim, error) {
	payload, err := p.load(ctx)
	if err != nil {
		return nil, sign.Claim{}, err
	}
	claim := sign.Claim{Version: payload.Version.String(), Stream: payload.Version.Stream(), Architecture: "multi"}
	if p.list == (v1.Hash{}) {
		config, err := p.image.ConfigFile()
		if err != nil {
			return nil, sign.Claim{}, err
		}
		// Images without one are of the days when there was only this.
		claim.Architecture = cmp.Or(config.Architecture, "amd64")
	}
	return payload, claim, nil
}

func claimsOnly(reference, identity string, claim sign.Claim) ([]signed, error) {
	c, err := openpgp.NewClaim(identity+digestOf(reference), claim, time.Now())
	if err != nil {
		return nil, usage(err)
	}
	document, err := c.JSON()
	return []signed{{Reference: reference, Form: sign.FormOpenPGP, Claim: claim, document: document}}, err
}

// digestOf is the end of a reference, "@sha256:…".
func digestOf(reference string) string { return reference[strings.LastIndexByte(reference, '@'):] }

// toSign lists what is signed: the payload and, recursively, the images of each
// of its platforms, and its components. A component is signed without the
// version, for an unchanged one belongs to many.
func (p *payloadImage) toSign(ctx context.Context, payload *release.Payload, claim sign.Claim, recursive bool) ([]signed, error) {
	all := []signed{{Reference: p.reference, Form: sign.FormCosign, Claim: claim}}
	if !recursive {
		return all, nil
	}
	if p.list != (v1.Hash{}) {
		index, err := p.source.Index(ctx, p.reference)
		if err != nil {
			return nil, err
		}
		manifest, err := index.IndexManifest()
		if err != nil {
			return nil, err
		}
		for _, m := range manifest.Manifests {
			child := claim
			if m.Platform != nil {
				child.Architecture = m.Platform.Architecture
			}
			all = append(all, signed{Reference: manifests.RepositoryOf(p.reference) + "@" + m.Digest.String(), Form: sign.FormCosign, Claim: child})
		}
	}
	for _, name := range payload.Components() {
		image, _ := payload.Image(name)
		component := signed{Reference: image, Form: sign.FormCosign, Claim: sign.Claim{Stream: claim.Stream, Architecture: claim.Architecture}}
		if !slices.ContainsFunc(all, func(s signed) bool { return s.Reference == image }) {
			all = append(all, component)
		}
	}
	return all, nil
}

func (a *app) signAll(ctx context.Context, p *payloadImage, todo []signed, f signFlags) ([]signed, error) {
	to, ok := p.source.(sign.Target)
	if !ok {
		return nil, usage(fmt.Errorf("signing %q: it lies where nothing can be stored", p.reference))
	}
	signer, err := f.signer.open(ctx, a)
	if err != nil {
		return nil, err
	}
	targets := make([]sign.Signed, len(todo))
	for i := range todo {
		targets[i] = sign.Signed{Reference: todo[i].Reference, Claim: todo[i].Claim}
		if manifests.RepositoryOf(todo[i].Reference) == manifests.RepositoryOf(p.reference) {
			targets[i].Identity = f.identity
		}
		todo[i].By = signer.Name()
	}
	return todo, signer.SignAll(ctx, to, targets, max(a.registries.jobs, 1))
}

// signOpenPGP signs the claim for clusters, and keeps it where the flags say. A
// place that has this claim by this key already is left alone.
func (a *app) signOpenPGP(ctx context.Context, reference string, claim sign.Claim, f signFlags) ([]signed, error) {
	c, err := openpgp.NewClaim(f.identity+digestOf(reference), claim, time.Now())
	if err != nil {
		return nil, usage(err)
	}
	signer, err := a.openPGPSigner(ctx, f)
	if err != nil {
		return nil, usage(err)
	}
	if !signer.KnownToClusters() {
		fmt.Fprintf(a.Err, "Note: clusters verify RSA and ECDSA keys; they cannot verify what %s signs.\n", signer.Name())
	}
	kept, err := signer.Keep(ctx, c, openpgp.Places{Dir: f.store, ConfigMap: f.configMap})
	if err != nil {
		return nil, err
	}
	var done []signed
	for _, k := range kept {
		done = append(done, signed{Reference: reference, Form: sign.FormOpenPGP, Claim: claim, By: signer.Name(), Place: k.Place, Present: k.Present})
	}
	return done, nil
}

func (a *app) openPGPSigner(ctx context.Context, f signFlags) (*openpgp.Signer, error) {
	passphrase := a.getenv(openpgp.PassphraseVariable)
	if f.openPGPKey != "" {
		if f.gpg.Home != "" || f.gpg.User != "" {
			return nil, errors.New("signing with an OpenPGP key: give --openpgp-key or --gpg-homedir, not both")
		}
		return openpgp.LoadSigner(f.openPGPKey, passphrase)
	}
	f.gpg.Passphrase = passphrase
	return openpgp.NewGPGSigner(ctx, f.gpg)
}
