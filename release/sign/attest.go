package sign

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/sigstore/cosign/v2/pkg/oci/empty"

	"github.com/slipway-release/slipway/internal/oci"
)

const (
	bundleType    = "application/vnd.dev.sigstore.bundle.v0.3+json"
	statementType = "https://in-toto.io/Statement/v1"
	// olderStatement is what the cosign command still writes; what is read of it
	// here is the same.
	olderStatement = "https://in-toto.io/Statement/v0.1"
	payloadType    = "application/vnd.in-toto+json"

	// envelopeMediaType and the annotation belong to the older layout.
	envelopeMediaType        = "application/vnd.dsse.envelope.v1+json"
	olderPredicateAnnotation = "predicateType"

	// The annotations that cosign puts on a bundle's manifest.
	createdAnnotation   = "org.opencontainers.image.created"
	contentAnnotation   = "dev.sigstore.bundle.content"
	predicateAnnotation = "dev.sigstore.bundle.predicateType"

	// signedTime is an annotation of a statement's subject. It is signed, unlike
	// the manifest's time of creation, so nobody can make an old statement look
	// newer than one that replaced it.
	signedTime = "slipway.dev/created"
)

// statement is in-toto's Statement v1.
type statement struct {
	Type          string          `json:"_type"`
	Subject       []subject       `json:"subject"`
	PredicateType string          `json:"predicateType"`
	Predicate     json.RawMessage `json:"predicate"`
}

type subject struct {
	Name        string            `json:"name,omitempty"`
	Digest      map[string]string `json:"digest"`
	Annotations map[string]any    `json:"annotations,omitempty"`
}

// Layout is how an attestation is stored.
type Layout int

const (
	// Referrer stores a sigstore bundle that refers to the image, as OCI 1.1 and
	// cosign's --new-bundle-format have it.
	Referrer Layout = iota
	// Tag stores a DSSE envelope under the tag sha256-<hex>.att, for programs that
	// know nothing newer.
	Tag
)

// Attest says something about the digest that ref ends in: predicate is a JSON
// object, or something that becomes one. It returns the digest of the
// attestation: of its manifest, or of its envelope in the older layout. What the
// newest statement of this type already says is not said again.
func (s *Signer) Attest(ctx context.Context, to Target, ref, predicateType string, predicate any) (v1.Hash, error) {
	return s.AttestAs(ctx, to, ref, Attestation{PredicateType: predicateType, Predicate: predicate})
}

// Attestation is something to be said about an image, and how it is stored.
type Attestation struct {
	PredicateType string // absolute URI
	Predicate     any    // a JSON object, or something that becomes one
	Layout        Layout
	// Identity is the repository that the statement names the image by; that of the
	// reference when empty.
	Identity string
}

// AttestAs is Attest with a choice of how.
func (s *Signer) AttestAs(ctx context.Context, to Target, ref string, a Attestation) (v1.Hash, error) {
	digest, err := s.attest(ctx, to, ref, a)
	if err != nil {
		return v1.Hash{}, fmt.Errorf("attesting %s to image %q: %w", a.PredicateType, ref, err)
	}
	return digest, nil
}

func (s *Signer) attest(ctx context.Context, to Target, ref string, a Attestation) (v1.Hash, error) {
	repository, digest, err := pinned(ref)
	if err != nil {
		return v1.Hash{}, err
	}
	if u, err := url.Parse(a.PredicateType); err != nil || !u.IsAbs() {
		return v1.Hash{}, errors.New("the predicate type must be an absolute URI")
	}
	said, err := object(a.Predicate)
	if err != nil {
		return v1.Hash{}, err
	}
	if known, err := s.said(ctx, to, ref, a.PredicateType, said, a.Layout); err != nil || known != (v1.Hash{}) {
		return known, err
	}
	now := time.Now().UTC()
	data, err := json.Marshal(statement{
		Type: statementType,
		Subject: []subject{{
			Name: cmp.Or(a.Identity, repository), Digest: map[string]string{digest.Algorithm: digest.Hex},
			Annotations: map[string]any{signedTime: now.Format(time.RFC3339Nano)},
		}},
		PredicateType: a.PredicateType,
		Predicate:     said,
	})
	if err != nil {
		return v1.Hash{}, err
	}
	if a.Layout == Tag {
		return s.addEnvelope(ctx, to, attestationTag(repository, digest), data, a.PredicateType)
	}
	content, err := s.statement(ctx, data)
	if err != nil {
		return v1.Hash{}, err
	}
	return to.Attach(ctx, ref, oci.Artifact{
		Type: bundleType, MediaType: bundleType, Content: content,
		Annotations: map[string]string{
			createdAnnotation:   now.Format(time.RFC3339),
			contentAnnotation:   "dsse-envelope",
			predicateAnnotation: a.PredicateType,
		},
	})
}

// said returns the newest statement's digest when this signer's own newest
// statement of the type says the same already, in the layout asked for.
func (s *Signer) said(ctx context.Context, to Target, ref, predicateType string, predicate json.RawMessage, layout Layout) (v1.Hash, error) {
	if s.trust == nil {
		return v1.Hash{}, nil
	}
	known, err := s.trust.Evidence(ctx, to, ref, predicateType)
	if err != nil {
		return v1.Hash{}, err
	}
	for _, st := range known.Statements {
		if !bytes.Equal(st.Predicate, predicate) {
			return v1.Hash{}, nil
		}
		if st.layout == layout {
			return st.Digest, nil
		}
	}
	return v1.Hash{}, nil
}

// addEnvelope appends an attestation in the older layout to those that are there.
func (s *Signer) addEnvelope(ctx context.Context, to Target, tag string, data []byte, predicateType string) (v1.Hash, error) {
	signed, err := s.envelope(ctx, data, map[string]string{olderPredicateAnnotation: predicateType})
	if err != nil {
		return v1.Hash{}, err
	}
	digest, err := signed.Digest()
	if err != nil {
		return v1.Hash{}, err
	}
	return digest, to.Amend(ctx, tag, func(base v1.Image) (v1.Image, error) {
		if base == nil {
			return appendPart(empty.Signatures(), signed)
		}
		manifest, err := base.Manifest()
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(manifest.Layers, func(d v1.Descriptor) bool { return d.Digest == digest }) {
			return nil, nil
		}
		if len(manifest.Layers) >= maxSignatures {
			return nil, fmt.Errorf("it has %d attestations already, which is all that are read", maxSignatures)
		}
		return appendPart(base, signed)
	})
}

// object returns a predicate's JSON without white space, as a statement holds it.
func object(predicate any) (json.RawMessage, error) {
	if raw, ok := predicate.([]byte); ok {
		predicate = json.RawMessage(raw)
	}
	data, err := json.Marshal(predicate)
	if err != nil {
		return nil, err
	}
	if len(data) == 0 || data[0] != '{' {
		return nil, fmt.Errorf("the predicate must be a JSON object")
	}
	return data, nil
}
