package sign

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"golang.org/x/sync/errgroup"

	"github.com/slipway-release/slipway/internal/oci"
)

// Statement is something that somebody trusted said about an image.
type Statement struct {
	Digest        v1.Hash // of the attestation's manifest, or of its envelope in the older layout
	PredicateType string
	Predicate     json.RawMessage
	Subject       string // the name the signer gave the image
	Time          time.Time
	TimeProven    bool     // by the signer or a log; otherwise the time is what the store says
	Key           string   // the first of SignedBy
	SignedBy      []string // trusted keys (by id) and identities whose signature it bears

	layout Layout
}

// Refused is an attestation that was found and not believed.
type Refused struct {
	Digest v1.Hash
	Reason string

	predicateType string // as it says itself
}

// Evidence is what was said about an image: what is proven, newest first, and
// apart from it what is not.
type Evidence struct {
	Statements []Statement
	Refused    []Refused
}

const (
	fetchJobs = 8 // attestations that are read side by side
	// maxEnvelope bounds an attestation in the older layout, in bytes, as the
	// client of registries bounds the newer ones.
	maxEnvelope = 128 << 20
)

// Evidence returns the statements about the digest that ref ends in, of one
// predicate type or, when that is empty, of all. It fails when the place cannot
// be read: evidence that could not be looked at must not count as missing.
func (v *Verifier) Evidence(ctx context.Context, from Source, ref, predicateType string) (Evidence, error) {
	e, err := v.bundles(ctx, from, ref, predicateType)
	if err == nil {
		err = v.addEnvelopes(ctx, from, ref, predicateType, &e)
	}
	if err != nil {
		return Evidence{}, fmt.Errorf("reading evidence of image %q: %w", ref, err)
	}
	slices.SortFunc(e.Statements, func(x, y Statement) int {
		if c := y.Time.Compare(x.Time); c != 0 {
			return c
		}
		return strings.Compare(x.Digest.String(), y.Digest.String())
	})
	return e, nil
}

// bundles reads the attestations that refer to an image.
func (v *Verifier) bundles(ctx context.Context, from Source, ref, predicateType string) (Evidence, error) {
	_, digest, err := pinned(ref)
	if err != nil {
		return Evidence{}, err
	}
	referrers, err := from.Referrers(ctx, ref, bundleType)
	if err != nil {
		return Evidence{}, err
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
			content, err := from.Fetch(ctx, r)
			if errors.Is(err, oci.ErrNotFound) {
				reasons[i] = "it is listed, and is not there"
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
		return Evidence{}, err
	}
	var e Evidence
	for i, s := range statements {
		e.add(s, Refused{referrers[i].Digest, reasons[i], referrers[i].Annotations[predicateAnnotation]}, predicateType)
	}
	return e, nil
}

// add sorts in what became of one attestation.
func (e *Evidence) add(s *Statement, otherwise Refused, predicateType string) {
	switch {
	case s == nil:
		e.Refused = append(e.Refused, otherwise)
	case predicateType == "" || s.PredicateType == predicateType:
		e.Statements = append(e.Statements, *s)
	}
}

// addEnvelopes reads the attestations in the older layout.
func (v *Verifier) addEnvelopes(ctx context.Context, from Source, ref, predicateType string, e *Evidence) error {
	repository, digest, err := pinned(ref)
	if err != nil {
		return err
	}
	img, err := from.Image(ctx, attestationTag(repository, digest))
	if errors.Is(err, oci.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	manifest, err := img.Manifest()
	if err != nil {
		return err
	}
	if n := len(manifest.Layers); n > maxSignatures {
		return fmt.Errorf("there are %d attestations in the older layout, more than the %d allowed", n, maxSignatures)
	}
	for _, d := range manifest.Layers {
		said := d.Annotations[olderPredicateAnnotation]
		if predicateType != "" && said != "" && said != predicateType {
			continue
		}
		content, err := readPart(img, d, maxEnvelope)
		if err != nil {
			return err
		}
		s, reason := v.envelope(ctx, storedSignature{content, d.Annotations}, digest)
		if s != nil {
			s.Digest = d.Digest
		}
		e.add(s, Refused{d.Digest, reason, said}, predicateType)
	}
	return nil
}

// The reasons why an attestation is not believed that both layouts share.
const (
	notStatement  = "it does not hold an in-toto statement v1 or v0.1"
	otherImage    = "its statement is about another image"
	alteredReason = "its signature does not fit: the statement or the signature was altered after signing"
)

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
	s, reason := parseStatement(envelope.GetPayload(), digest, r.Annotations[createdAnnotation])
	if s == nil {
		return nil, reason
	}
	var logged time.Time
	if s.SignedBy, logged = v.signersOfBundle(ctx, &b, digest); len(s.SignedBy) == 0 {
		return nil, v.explainBundle(&b)
	}
	if !s.TimeProven && !logged.IsZero() {
		s.Time, s.TimeProven = logged, true
	}
	s.Digest, s.Key = r.Digest, s.SignedBy[0]
	return s, ""
}

// envelope is statement for the older layout.
func (v *Verifier) envelope(ctx context.Context, stored storedSignature, digest v1.Hash) (*Statement, string) {
	var outer struct {
		PayloadType string `json:"payloadType"`
		Payload     []byte `json:"payload"`
	}
	if err := json.Unmarshal(stored.claim, &outer); err != nil || outer.PayloadType != payloadType {
		return nil, "it is not an envelope with an in-toto statement"
	}
	s, reason := parseStatement(outer.Payload, digest, "")
	if s == nil {
		return nil, reason
	}
	if s.SignedBy = v.signersOfEnvelope(ctx, stored, digest); len(s.SignedBy) == 0 {
		return nil, v.explainEnvelope(stored)
	}
	s.Key, s.layout = s.SignedBy[0], Tag
	return s, ""
}

// parseStatement reads what is said about digest; nothing of it is proven. When
// the signer does not say when it was said, the store's word is taken.
func parseStatement(data []byte, digest v1.Hash, stored string) (*Statement, string) {
	var st statement
	if err := json.Unmarshal(data, &st); err != nil || (st.Type != statementType && st.Type != olderStatement) {
		return nil, notStatement
	}
	about := slices.IndexFunc(st.Subject, func(s subject) bool { return s.Digest[digest.Algorithm] == digest.Hex })
	if about < 0 {
		return nil, otherImage
	}
	when, proven := timeOf(st.Subject[about], stored)
	return &Statement{PredicateType: st.PredicateType, Predicate: st.Predicate, Subject: st.Subject[about].Name, Time: when, TimeProven: proven}, ""
}

func (v *Verifier) explainBundle(b *bundle.Bundle) string {
	if cert := b.GetVerificationMaterial().GetCertificate(); cert != nil {
		return v.explainCertificate(cert.GetRawBytes())
	}
	return v.explainHint(b.GetVerificationMaterial().GetPublicKey().GetHint())
}

func (v *Verifier) explainEnvelope(stored storedSignature) string {
	if cert := stored.annotations[certificateAnnotation]; cert != "" {
		return v.explainCertificate([]byte(cert))
	}
	return v.explainHint(stored.annotations[keyAnnotation])
}

func (v *Verifier) explainHint(hint string) string {
	switch {
	case hint == "":
		return fmt.Sprintf("it is not signed with a trusted key (%s), or was altered after signing", v.names())
	case !v.trusts(hint):
		return fmt.Sprintf("it is signed with key %s, which is not trusted (%s)", hint, v.names())
	}
	return alteredReason
}

// timeOf is when a statement was made: as its signer says, or, of statements by
// other programs, as the store says.
func timeOf(s subject, stored string) (when time.Time, signed bool) {
	if said, ok := s.Annotations[signedTime].(string); ok {
		if t, err := time.Parse(time.RFC3339Nano, said); err == nil {
			return t, true
		}
	}
	when, _ = time.Parse(time.RFC3339, stored)
	return when, false
}
