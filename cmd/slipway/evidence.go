package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/release/sign"
)

func newEvidence(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "evidence", Short: "List and show the signed statements about an image"}
	a.addRegistryFlags(cmd)
	cmd.AddCommand(newEvidenceList(a), newEvidenceShow(a))
	return cmd
}

type evidenceLine struct {
	PredicateType string    `json:"predicateType"`
	Digest        string    `json:"digest"`
	Time          time.Time `json:"time"`
	TimeProven    bool      `json:"timeProven"` // by the signer or a log
	Key           string    `json:"key"`
	SignedBy      []string  `json:"signedBy,omitempty"`
	Result        string    `json:"result,omitempty"`
	Refused       string    `json:"refused,omitempty"`
}

func newEvidenceList(a *app) *cobra.Command {
	var trust trustFlags
	var component string
	var out output
	cmd := &cobra.Command{
		Use:   "list IMAGE",
		Short: "List the statements about an image, and those that are not believed",
		Long: `List the signed statements about a payload, one of its components or any other image,
newest first, and apart from them those that nobody trusted signed.`,
		Example: `  slipway evidence list 1.36.3-0.nightly-2026-11-20-101500 -o json
  slipway evidence list 1.36.3-0.nightly-2026-11-20-101500 --component etcd
  slipway evidence list registry.example.com/skiff/etcd@sha256:… --key release.pub`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			_, found, err := a.evidence(cmd.Context(), args[0], component, "", &trust)
			if err != nil {
				return err
			}
			return out.print(a.Out, evidenceResult(found))
		},
	}
	trust.add(cmd)
	cmd.Flags().StringVar(&component, "component", "", "look at this component of the payload")
	out.addFlag(cmd)
	return cmd
}

func evidenceResult(found sign.Evidence) result {
	lines := []evidenceLine{}
	r := result{}
	for _, s := range found.Statements {
		lines = append(lines, evidenceLine{PredicateType: s.PredicateType, Digest: s.Digest.String(), Time: s.Time, TimeProven: s.TimeProven, Key: s.Key, SignedBy: s.SignedBy, Result: s.Result()})
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
			fmt.Fprintf(w, "%s  %-52s %-8s %s\n", l.Time.UTC().Format(time.RFC3339), l.PredicateType, l.Result, l.Digest)
		}
	}
	return r
}

// evidence reads what is said about an image, or about a component of a payload.
// The payload need not be signed: every statement is verified for itself.
func (a *app) evidence(ctx context.Context, named, component, predicateType string, trust *trustFlags) (string, sign.Evidence, error) {
	verifier, err := trust.openOr(ctx, a)
	if err != nil {
		return "", sign.Evidence{}, err
	}
	image, err := a.openPayload(ctx, named)
	if err != nil {
		return "", sign.Evidence{}, err
	}
	reference := image.reference
	if component != "" {
		payload, err := image.load(ctx)
		if err != nil {
			return "", sign.Evidence{}, usage(err)
		}
		var ok bool
		if reference, ok = payload.Image(component); !ok {
			return "", sign.Evidence{}, usage(fmt.Errorf("reading evidence of %q: payload %s has no such component", component, payload.Version))
		}
	}
	found, err := verifier.Evidence(ctx, image.source, reference, predicateType)
	return reference, found, err
}

func newEvidenceShow(a *app) *cobra.Command {
	var trust trustFlags
	var component string
	cmd := &cobra.Command{
		Use:     "show IMAGE PREDICATE-TYPE",
		Short:   "Print the newest predicate of a type, as JSON",
		Example: "  slipway evidence show sha256:… spdx\n  slipway evidence show sha256:… https://slsa.dev/provenance/v1 --key release.pub",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			uri, err := sign.PredicateURI(args[1])
			if err != nil {
				return usage(fmt.Errorf("reading the predicate type: %w", err))
			}
			reference, found, err := a.evidence(cmd.Context(), args[0], component, uri, &trust)
			if err != nil {
				return err
			}
			if len(found.Statements) == 0 {
				return usage(fmt.Errorf("showing evidence of type %q: image %q has none that is signed by a trusted key", uri, reference))
			}
			_, err = fmt.Fprintln(a.Out, string(found.Statements[0].Predicate))
			return err
		},
	}
	trust.add(cmd)
	cmd.Flags().StringVar(&component, "component", "", "look at this component of the payload")
	return cmd
}
