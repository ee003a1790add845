package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/release/sign/openpgp"
	"github.com/slipway-release/slipway/release/sign/policy"
)

// verification is everything that decides whether a payload is trusted.
type verification struct {
	policyFile string
	from       string
	trust      trustFlags
	claims     claimFlags
}

func (v *verification) add(cmd *cobra.Command) {
	v.trust.add(cmd)
	v.claims.add(cmd)
	cmd.Flags().StringVar(&v.policyFile, "policy", "", "file with the verification policy")
	cmd.Flags().StringVar(&v.from, "trust-from", "", "another payload, by digest or in files, whose own verification ConfigMap says whom to trust")
	_ = cmd.MarkFlagFilename("policy", "yaml", "yml", "json")
}

// any says whether the flags say whom to trust.
func (v *verification) any() bool {
	return v.trust.any() || v.policyFile != "" || v.from != "" || len(v.claims.keyrings) > 0
}

// open returns the policy in a file, that of a cluster at another payload, or the one
// that the flags make.
func (v *verification) open(ctx context.Context, a *app) (*policy.Policy, error) {
	stores, err := v.claims.openStores(a)
	if err != nil {
		return nil, err
	}
	alone := v.trust.any() || len(v.claims.keyrings) > 0
	switch {
	case v.from != "" && (alone || v.policyFile != ""):
		return nil, usage(errors.New("verifying by --trust-from: the payload says whom to trust; leave out --key, --certificate-identity, --openpgp-keyring and --policy"))
	case v.from != "":
		return v.following(ctx, a, stores)
	case v.policyFile != "" && alone:
		return nil, usage(errors.New("verifying by --policy: the policy says whom to trust; leave out --key, --certificate-identity and --openpgp-keyring"))
	case v.policyFile != "":
		return v.load(ctx, a, stores)
	}
	keyring, err := v.claims.keyring()
	if err != nil {
		return nil, err
	}
	if keyring != nil && len(stores) == 0 {
		return nil, usage(errors.New("verifying by --openpgp-keyring: say where signatures are, by --signature-store or --signature-config-map"))
	}
	keys, err := v.trust.open(ctx, a)
	if err != nil {
		return nil, err
	}
	if keys == nil && keyring == nil {
		if keys, err = v.trust.openOr(ctx, a); err != nil {
			return nil, err
		}
	}
	p, err := policy.AnyOf(keys, keyring, slices.Clip(stores)...)
	return p, usage(err)
}

func (v *verification) load(ctx context.Context, a *app, stores []openpgp.Store) (*policy.Policy, error) {
	client, err := a.httpClient()
	if err != nil {
		return nil, err
	}
	p, err := policy.Load(ctx, v.policyFile, policy.Options{Keys: a.keySource(), Client: client})
	if err != nil {
		return nil, usage(err)
	}
	p.AddStores(stores...)
	return p, nil
}

// following trusts whom a cluster at another payload would.
func (v *verification) following(ctx context.Context, a *app, stores []openpgp.Store) (*policy.Policy, error) {
	root, own, err := v.root(ctx, a)
	if err != nil {
		return nil, err
	}
	p, err := policy.Following(root, append(own, stores...)...)
	return p, usage(err)
}

// root reads the trust root of the other payload, and opens its stores. The payload
// must be pinned: whoever can move a tag could otherwise choose whom is trusted.
func (v *verification) root(ctx context.Context, a *app) (*openpgp.Root, []openpgp.Store, error) {
	_, inFiles, err := parseNamedFile(v.from)
	if err != nil {
		return nil, nil, usage(err)
	}
	if !inFiles && !strings.Contains(v.from, "sha256:") {
		return nil, nil, usage(fmt.Errorf("reading --trust-from: name the payload %q by its digest, for whoever can move a tag could choose whom you trust", v.from))
	}
	s, err := a.openSubject(ctx, v.from)
	if err != nil {
		return nil, nil, err
	}
	root, err := openpgp.FindRoot(s.Payload)
	if err != nil {
		return nil, nil, usage(err)
	}
	if s.List != (v1.Hash{}) {
		root.Digests = append(root.Digests, s.List)
	}
	client, err := a.httpClient()
	if err != nil {
		return nil, nil, err
	}
	stores, err := root.Open(client)
	return root, stores, usage(err)
}

// stores are all places that the flags name as holding OpenPGP signatures.
func (v *verification) stores(ctx context.Context, a *app) ([]openpgp.Store, error) {
	stores, err := v.claims.openStores(a)
	if err != nil || v.from == "" {
		return stores, err
	}
	_, own, err := v.root(ctx, a)
	return append(own, stores...), err
}

// judged is the payload as a policy judges it.
func (s subject) judged() policy.Subject {
	return policy.Subject{Source: s.source, Reference: s.Reference, Version: s.Payload.Version, Architecture: s.claim.Architecture}
}

// require judges a payload and fails when it is refused; doing says for what it was
// needed.
func (v *verification) require(ctx context.Context, a *app, s policy.Subject, doing string) (*policy.Report, error) {
	p, err := v.open(ctx, a)
	if err != nil {
		return nil, err
	}
	report, err := p.Verify(ctx, s)
	if err != nil {
		return nil, err
	}
	return report, refusal(report, doing)
}

// refusal is the error about a payload that was refused, nil of another.
func refusal(r *policy.Report, doing string) error {
	if r.Verdict == policy.Accepted {
		return nil
	}
	return rejected(fmt.Errorf("%s %q: it is refused: %s", doing, r.Reference, strings.Join(r.Problems, "; ")))
}
