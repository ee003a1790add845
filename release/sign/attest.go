package sign

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/sigstore/cosign/v2/pkg/cosign/bundle"
	"github.com/sigstore/sigstore/pkg/signature/dsse"
	"github.com/sigstore/sigstore/pkg/signature/options"

	"github.com/slipway-release/slipway/internal/oci"
)

const (
	bundleType    = "application/vnd.dev.sigstore.bundle.v0.3+json"
	statementType = "https://in-toto.io/Statement/v1"
	// olderStatement is what the cosign command still writes; what is read of it
	// here is the same.
	olderStatement = "https://in-toto.io/Statement/v0.1"
	payloadType    = "application/vnd.in-toto+json"

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

// Attest says something about the digest that ref ends in: predicate is a JSON
// object, or something that becomes one. It returns the digest of the
// attestation's manifest. What the newest statement of this type already says is
// not said again.
func (s *Signer) Attest(ctx context.Context, reg *oci.Registry, ref, predicateType string, predicate any) (v1.Hash, error) {
	digest, err := s.attest(ctx, reg, ref, predicateType, predicate)
	if err != nil {
		return v1.Hash{}, fmt.Errorf("attesting %s to image %q: %w", predicateType, ref, err)
	}
	return digest, nil
}

func (s *Signer) attest(ctx context.Context, reg *oci.Registry, ref, predicateType string, predicate any) (v1.Hash, error) {
	repository, digest, err := pinned(ref)
	if err != nil {
		return v1.Hash{}, err
	}
	said, err := object(predicate)
	if err != nil {
		return v1.Hash{}, err
	}
	known, err := s.Verifier().Evidence(ctx, reg, ref, predicateType)
	if err != nil {
		return v1.Hash{}, err
	}
	if len(known.Statements) > 0 && bytes.Equal(known.Statements[0].Predicate, said) {
		return known.Statements[0].Digest, nil
	}
	now := time.Now().UTC()
	content, err := s.bundle(ctx, statement{
		Type: statementType,
		Subject: []subject{{
			Name: repository, Digest: map[string]string{digest.Algorithm: digest.Hex},
			Annotations: map[string]any{signedTime: now.Format(time.RFC3339Nano)},
		}},
		PredicateType: predicateType,
		Predicate:     said,
	})
	if err != nil {
		return v1.Hash{}, err
	}
	return reg.Attach(ctx, ref, oci.Artifact{
		Type: bundleType, MediaType: bundleType, Content: content,
		Annotations: map[string]string{
			createdAnnotation:   now.Format(time.RFC3339),
			contentAnnotation:   "dsse-envelope",
			predicateAnnotation: predicateType,
		},
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

// bundle signs a statement and wraps it for storage.
func (s *Signer) bundle(ctx context.Context, st statement) ([]byte, error) {
	data, err := json.Marshal(st)
	if err != nil {
		return nil, err
	}
	envelope, err := dsse.WrapSigner(s.key, payloadType).SignMessage(bytes.NewReader(data), options.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	public, err := s.key.PublicKey()
	if err != nil {
		return nil, err
	}
	return bundle.MakeNewBundle(public, nil, data, envelope, s.pem, nil)
}
