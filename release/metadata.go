package release

import (
	"encoding/json"
	"fmt"
)

const metadataKind = "cincinnati-metadata-v0"

// Metadata is the file release-metadata: what update services read to know
// which release may follow which.
type Metadata struct {
	Version  Version
	Previous []Version // may upgrade to this release; ascending, each once
	Next     []Version // this release may upgrade to these; rare
	// Values are free; clusters read MetadataURL, MetadataChannels and MetadataArchitecture.
	Values map[string]string
}

type metadataJSON struct {
	Kind     string            `json:"kind"`
	Version  Version           `json:"version"`
	Previous []Version         `json:"previous"`
	Next     []Version         `json:"next,omitempty"`
	Metadata map[string]string `json:"metadata,omitempty"`
}

// ParseMetadata reads a release-metadata file. Fields it does not know are left out.
func ParseMetadata(data []byte) (Metadata, error) {
	var m metadataJSON
	if err := json.Unmarshal(data, &m); err != nil {
		return Metadata{}, fmt.Errorf("parsing %s: %w", MetadataFile, err)
	}
	if m.Kind != metadataKind {
		return Metadata{}, fmt.Errorf("parsing %s: kind is %q, expected %s", MetadataFile, m.Kind, metadataKind)
	}
	if m.Version.IsZero() {
		return Metadata{}, fmt.Errorf("parsing %s: version is missing", MetadataFile)
	}
	for _, v := range append(append([]Version{}, m.Previous...), m.Next...) {
		if v.IsZero() { // a JSON null
			return Metadata{}, fmt.Errorf("parsing %s: previous or next holds no version", MetadataFile)
		}
	}
	return Metadata{
		Version: m.Version, Previous: SortVersions(m.Previous), Next: SortVersions(m.Next), Values: m.Metadata,
	}, nil
}

// Marshal writes the file: JSON indented by two spaces, no newline at the end,
// `previous` always there, versions in semver order.
func (m Metadata) Marshal() ([]byte, error) {
	previous := SortVersions(m.Previous)
	if previous == nil {
		previous = []Version{}
	}
	data, err := json.MarshalIndent(metadataJSON{
		Kind: metadataKind, Version: m.Version, Previous: previous, Next: SortVersions(m.Next), Metadata: m.Values,
	}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing %s: %w", MetadataFile, err)
	}
	return data, nil
}
