package compare

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/slipway-release/slipway/internal/oci"
)

// Unverified is the trust in what nobody signed, or somebody whose key is not known.
const Unverified = "unverified"

// Statements is where signed statements about an image are found.
type Statements interface {
	Referrers(ctx context.Context, subject, artifactType string) ([]oci.Referrer, error)
	Fetch(ctx context.Context, ref oci.Referrer) ([]byte, error)
}

// The types of sigstore's bundles begin with bundlePrefix; the annotation tells
// what a bundle's statement is about.
const (
	bundlePrefix        = "application/vnd.dev.sigstore.bundle"
	predicateAnnotation = "dev.sigstore.bundle.predicateType"
)

// UnverifiedSBOM returns a bill of materials that refers to an image, without
// checking who signed it; of several the last in the registry's list. It is nil when
// there is none. Only for a comparison that says so.
func UnverifiedSBOM(ctx context.Context, from Statements, ref, predicateType string) (*SBOM, error) {
	all, err := from.Referrers(ctx, ref, "")
	if err != nil {
		return nil, fmt.Errorf("looking for a bill of materials: %w", err)
	}
	var found *SBOM
	for _, r := range all {
		said := r.Annotations[predicateAnnotation]
		if !strings.HasPrefix(r.ArtifactType, bundlePrefix) || (said != "" && said != predicateType) {
			continue
		}
		content, err := from.Fetch(ctx, r)
		if err != nil {
			return nil, fmt.Errorf("reading a bill of materials: %w", err)
		}
		if predicate := predicateOf(content, predicateType); predicate != nil {
			found = &SBOM{Document: predicate, Trust: Unverified}
		}
	}
	return found, nil
}

// predicateOf takes the predicate out of a bundle, or returns nil.
func predicateOf(content []byte, predicateType string) []byte {
	var bundle struct {
		Envelope struct {
			Payload []byte `json:"payload"`
		} `json:"dsseEnvelope"`
	}
	var statement struct {
		PredicateType string          `json:"predicateType"`
		Predicate     json.RawMessage `json:"predicate"`
	}
	if json.Unmarshal(content, &bundle) != nil || json.Unmarshal(bundle.Envelope.Payload, &statement) != nil || statement.PredicateType != predicateType {
		return nil
	}
	return statement.Predicate
}
