package rebuild

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Provenance is what a payload's SLSA provenance says about its components; the
// parameters are those that docs/formats.md defines for Slipway's builds.
type Provenance struct {
	Components map[string]string // name → pull spec by digest
	Lock       json.RawMessage   // that the images were built from
}

// ParseProvenance reads a predicate of type https://slsa.dev/provenance/v1.
func ParseProvenance(predicate []byte) (*Provenance, error) {
	var p struct {
		BuildDefinition struct {
			InternalParameters struct {
				Components map[string]string `json:"components"`
				Lock       json.RawMessage   `json:"lock"`
			} `json:"internalParameters"`
		} `json:"buildDefinition"`
	}
	if err := json.Unmarshal(predicate, &p); err != nil {
		return nil, fmt.Errorf("reading provenance: %w", err)
	}
	inner := p.BuildDefinition.InternalParameters
	if len(inner.Components) == 0 {
		return nil, errors.New("reading provenance: it names no components; it is of another builder")
	}
	return &Provenance{Components: inner.Components, Lock: inner.Lock}, nil
}
