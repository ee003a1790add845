package release

import (
	"encoding/json"
	"fmt"
	"maps"
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
	// Other are values that are no strings, each as it stood in the file. A key of
	// Values stands in its place.
	Other map[string]json.RawMessage
}

type metadataJSON struct {
	Kind     string                     `json:"kind"`
	Version  Version                    `json:"version"`
	Previous []Version                  `json:"previous"`
	Next     []Version                  `json:"next,omitempty"`
	Metadata map[string]json.RawMessage `json:"metadata,omitempty"`
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
	metadata := Metadata{Version: m.Version, Previous: SortVersions(m.Previous), Next: SortVersions(m.Next)}
	metadata.Values, metadata.Other = splitValues(m.Metadata)
	return metadata, nil
}

// ParseMetadataValues reads a JSON object of free values, as it stands under
// `metadata` in a release-metadata file: strings, and all that is none.
func ParseMetadataValues(data []byte) (values map[string]string, other map[string]json.RawMessage, err error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, nil, fmt.Errorf("parsing metadata: it must be a JSON object: %w", err)
	}
	values, other = splitValues(all)
	return values, other, nil
}

func splitValues(all map[string]json.RawMessage) (values map[string]string, other map[string]json.RawMessage) {
	for key, raw := range all {
		var s *string
		if err := json.Unmarshal(raw, &s); err == nil && s != nil {
			if values == nil {
				values = map[string]string{}
			}
			values[key] = *s
			continue
		}
		if other == nil {
			other = map[string]json.RawMessage{}
		}
		other[key] = raw
	}
	return values, other
}

func (m Metadata) joinedValues() (map[string]json.RawMessage, error) {
	all := map[string]json.RawMessage{}
	maps.Copy(all, m.Other)
	for key, value := range m.Values {
		raw, err := json.Marshal(value)
		if err != nil {
			return nil, err
		}
		all[key] = raw
	}
	return all, nil
}

// Marshal writes the file: JSON indented by two spaces, no newline at the end,
// `previous` always there, versions in semver order.
func (m Metadata) Marshal() ([]byte, error) {
	previous := SortVersions(m.Previous)
	if previous == nil {
		previous = []Version{}
	}
	values, err := m.joinedValues()
	if err != nil {
		return nil, fmt.Errorf("writing %s: %w", MetadataFile, err)
	}
	data, err := json.MarshalIndent(metadataJSON{
		Kind: metadataKind, Version: m.Version, Previous: previous, Next: SortVersions(m.Next), Metadata: values,
	}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing %s: %w", MetadataFile, err)
	}
	return data, nil
}
