package sign

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/sigstore/cosign/v2/pkg/cosign"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"golang.org/x/sync/errgroup"

	"github.com/slipway-release/slipway/internal/oci"
)

// Statement is something that a trusted key said about an image.
type Statement struct {
	Digest        v1.Hash // of the attestation's manifest
	PredicateType string
	Predicate     json.RawMessage
	Subject       string // the name the signer gave the image
	Time          time.Time
	Key           string // id of the key that signed
}

// Refused is an attestation that was found and not believed.
type Refused struct {
	Digest v1.Hash
	Reason string
}

// Evidence is what was said about an image: what is proven, newest first, and
// apart from it what is not.
type Evidence struct {
	Statements []Statement
	Refused    []Refused
}

// fetchJobs bounds how many attestations are read side by side.
const fetchJobs = 8

// Evidence returns the statements about the digest that ref ends in, of one
// predicate type or, when that is empty, of all. It fails when the registry
// cannot be read: evidence that could not be looked at must not count as missing.
func (v *Verifier) Evidence(ctx context.Context, reg *oci.Registry, ref, predicateType string) (Evidence, error) {
	_, digest, err := pinned(ref)
	if err != nil {
		return Evidence{}, fmt.Errorf("reading evidence of image %q: %w", ref, err)
	}
	referrers, err := reg.Referrers(ctx, ref, bundleType)
	if err != nil {
		return Evidence{}, fmt.Errorf("reading evidence of image %q: %w", ref, err)
	}
	// The annotation only saves reading what is openly of another type.
	referrers = slices.DeleteFunc(referrers, func(r oci.Referrer) bool {
		said := r.Annotations[predicateAnnotation]
		return predicateType != "" && said != "" && said != predicateType
	})
	statements := make([]*Statement, len(referrers))
	reasons := make([]string, len(referrers))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(fetchJobs)
	for i, r := range referrers {
		group.Go(func() error {
			content, err := reg.Fetch(ctx, r)
			if errors.Is(err, oci.ErrNotFound) {
				reasons[i] = "the registry lists it and does not have it"
				return nil
			}
			if err != nil {
				return err
			}
			statements[i], reasons[i] = v.statement(ctx, content, digest, r)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return Evidence{}, fmt.Errorf("reading evidence of image %q: %w", ref, err)
	}
	return sorted(referrers, statements, reasons, predicateType), nil
}

func sorted(referrers []oci.Referrer, statements []*Statement, reasons []string, predicateType string) Evidence {
	var e Evidence
	for i, s := range statements {
		switch {
		case s == nil:
			e.Refused = append(e.Refused, Refused{referrers[i].Digest, reasons[i]})
		case predicateType == "" || s.PredicateType == predicateType:
			e.Statements = append(e.Statements, *s)
		}
	}
	slices.SortFunc(e.Statements, func(x, y Statement) int {
		if c := y.Time.Compare(x.Time); c != 0 {
			return c
		}
		return strings.Compare(x.Digest.String(), y.Digest.String())
	})
	return e
}

// statement verifies one bundle, or says why it does not believe it.
func (v *Verifier) statement(ctx context.Context, content []byte, digest v1.Hash, r oci.Referrer) (*Statement, string) {
	var b bundle.Bundle
	if err := b.UnmarshalJSON(content); err != nil {
		return nil, "it is not a sigstore bundle"
	}
	envelope := b.GetDsseEnvelope()
	if envelope == nil || envelope.GetPayloadType() != payloadType {
		return nil, "it does not hold an in-toto statement"
	}
	var st statement
	if err := json.Unmarshal(envelope.GetPayload(), &st); err != nil || (st.Type != statementType && st.Type != olderStatement) {
		return nil, "it does not hold an in-toto statement v1 or v0.1"
	}
	about := slices.IndexFunc(st.Subject, func(s subject) bool { return s.Digest[digest.Algorithm] == digest.Hex })
	if about < 0 {
		return nil, "its statement is about another image"
	}
	key := v.signerOf(ctx, &b, digest)
	if key == nil {
		return nil, v.explainBundle(&b)
	}
	return &Statement{
		Digest: r.Digest, PredicateType: st.PredicateType, Predicate: st.Predicate,
		Subject: st.Subject[about].Name, Time: timeOf(st.Subject[about], r), Key: key.id,
	}, ""
}

// signerOf returns the trusted key that signed a bundle about digest, or nil.
func (v *Verifier) signerOf(ctx context.Context, b *bundle.Bundle, digest v1.Hash) *publicKey {
	raw, err := hex.DecodeString(digest.Hex)
	if err != nil {
		return nil
	}
	for _, key := range v.keys {
		opts := &cosign.CheckOpts{
			SigVerifier: key.verifier, IgnoreTlog: true, Offline: true, NewBundleFormat: true,
			// Nothing but the key is trusted.
			TrustedMaterial: &root.BaseTrustedMaterial{},
		}
		if _, err := cosign.VerifyNewBundle(ctx, opts, verify.WithArtifactDigest(digest.Algorithm, raw), b); err == nil {
			return key
		}
	}
	return nil
}

func (v *Verifier) explainBundle(b *bundle.Bundle) string {
	hint := b.GetVerificationMaterial().GetPublicKey().GetHint()
	switch {
	case hint == "":
		return fmt.Sprintf("it is not signed with a trusted key (%s)", v.trusted())
	case !v.trusts(hint):
		return fmt.Sprintf("it is signed with key %s, which is not trusted (%s)", hint, v.trusted())
	}
	return "its signature does not fit: the statement or the signature was altered after signing"
}

// timeOf is when a statement was made: as its signer says, or, of statements by
// other programs, as the registry says.
func timeOf(s subject, r oci.Referrer) time.Time {
	if said, ok := s.Annotations[signedTime].(string); ok {
		if t, err := time.Parse(time.RFC3339Nano, said); err == nil {
			return t
		}
	}
	t, _ := time.Parse(time.RFC3339, r.Annotations[createdAnnotation])
	return t
}
