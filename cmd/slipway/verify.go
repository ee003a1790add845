package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/release/sign/policy"
)

func newVerify(a *app) *cobra.Command {
	var v verification
	var out output
	cmd := &cobra.Command{
		Use:   "verify PAYLOAD",
		Short: "Verify a payload's signatures and evidence; exit 1 when it is refused",
		Long: `Verify a payload: that one of those who are trusted signed its digest, and that what
was signed is this version, stream and architecture. With --policy a file says who
must have signed, which evidence must exist, by whom and how fresh, and which
versions are accepted at all; package release/sign/policy describes it.

Nothing is believed but the keys: the payload may come from any registry, from an
OCI layout or an archive (oci:DIR, oci-archive:FILE), and its OpenPGP signatures from
a store or a ConfigMap. Nothing else is asked, so it works offline.

With --trust-from it is verified as a cluster does that is at another payload: by the
keyrings and stores in that payload's own verification ConfigMap, each keyring of which
must have signed. The other payload is the one that is believed already, so it is named
by digest; a payload never vouches for itself, nor for another image of its release.

A refusal names every signature that was found and why it is not good, and everything
that is missing.`,
		Example: `  slipway verify 1.36.3-0.nightly-2026-11-20-101500
  slipway verify registry.example.com/skiff/release@sha256:… --key old.pub --key new.pub
  slipway verify oci:mirror --policy policy.yaml -o json
  slipway verify quay.io/okd/scos-release:4.19.0-okd-scos.17 --trust-from "$(slipway release info -o jsonpath=.pullSpec)"
  slipway verify quay.io/okd/scos-release:4.19.0-okd-scos.16 --openpgp-keyring okd.asc --signature-store https://storage.googleapis.com/openshift-ci-release/releases/signatures/openshift/release`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			ctx := cmd.Context()
			p, err := v.open(ctx, a)
			if err != nil {
				return err
			}
			image, err := a.openPayload(ctx, args[0])
			if err != nil {
				return err
			}
			payload, claim, err := image.identify(ctx)
			if err != nil {
				return judgeUnread(err)
			}
			report, err := p.Verify(ctx, policy.Subject{Source: image.source, Reference: image.reference, Version: payload.Version, Architecture: claim.Architecture})
			if err != nil {
				return err
			}
			if err := out.print(a.Out, reportResult(report)); err != nil {
				return err
			}
			return refusal(report, "verifying payload")
		},
	}
	a.addRegistryFlags(cmd)
	v.add(cmd)
	out.addFlag(cmd)
	return cmd
}

// judgeUnread tells a payload that is broken, which is a verdict, from one that
// could not be reached, which is none.
func judgeUnread(err error) error {
	var network net.Error
	var answer *transport.Error
	if errors.As(err, &network) || errors.As(err, &answer) || errors.Is(err, context.Canceled) {
		return err
	}
	return rejected(err)
}

func reportResult(r *policy.Report) result {
	return result{value: r, names: []string{r.Reference}, text: func(w io.Writer) {
		if r.Verdict == policy.Accepted {
			fmt.Fprintf(w, "%s is %s, signed by a trusted key\n", r.Reference, r.Version)
		} else {
			fmt.Fprintf(w, "%s, which says that it is %s, is refused\n", r.Reference, r.Version)
		}
		for _, s := range r.Signatures {
			fmt.Fprintf(w, "  %s signature %s\n", s.Form, outcome(s.Reason, s.Signers, s.Place))
		}
		for _, e := range r.Evidence {
			fmt.Fprintf(w, "  evidence %s %s\n", e.PredicateType, outcome(e.Reason, e.Signers, e.Digest))
		}
	}}
}

func outcome(reason string, signers []string, place string) string {
	by := ""
	if len(signers) > 0 {
		by = "by " + strings.Join(signers, ", ") + " "
	}
	if reason == "" {
		return by + "is good (" + place + ")"
	}
	return by + "does not count: " + reason + " (" + place + ")"
}
