package updates

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/blang/semver/v4"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-release/slipway/internal/state"
)

const (
	payloadIndexKind = "slipway-payloads/1" // another one when payloads are read in another way
	maxPayloadIndex  = 256 << 20            // bytes
)

// payloadIndex is what payloads say, by digest. A digest stands for the same bytes for
// life, so that it is never read twice.
type payloadIndex map[string]payloadEntry

// payloadEntry is what is known of one digest: a version, or else why it is not offered.
type payloadEntry struct {
	Version  string            `json:"version,omitempty"`
	Arch     string            `json:"arch,omitempty"`
	Previous []string          `json:"previous,omitempty"`
	Next     []string          `json:"next,omitempty"`
	Metadata map[string]string `json:"metadata,omitempty"`
	// Created is when its image was made, as far as it says so.
	Created time.Time `json:"created,omitzero"`
	// Broken is what is wrong with a payload.
	Broken string `json:"broken,omitempty"`
	// Not is why it is no payload to offer: an image of another kind, or a part of a
	// payload of several architectures.
	Not string `json:"not,omitempty"`

	// again has it read each time: what its manifest names is not in the registry, which
	// may change.
	again bool
}

// compareCreated orders payloads by age, those of unknown age last.
func (e payloadEntry) compareCreated(other payloadEntry) int {
	switch {
	case e.Created.IsZero() == other.Created.IsZero():
		return e.Created.Compare(other.Created)
	case e.Created.IsZero():
		return 1
	}
	return -1
}

func (e payloadEntry) check() error {
	said := 0
	for _, s := range []string{e.Version, e.Broken, e.Not} {
		if s != "" {
			said++
		}
	}
	if said != 1 {
		return errors.New("it says neither what the payload is nor what is wrong with it")
	}
	if e.Version == "" {
		return nil
	}
	if e.Arch == "" {
		return errors.New("it has no architecture")
	}
	_, err := semver.Parse(e.Version)
	return err
}

type payloadIndexFile struct {
	Kind     string       `json:"kind"`
	Payloads payloadIndex `json:"payloads"`
}

// write keeps the index in a file, so that a crash leaves the old one or the new one.
func (p payloadIndex) write(path string) error {
	lasting := maps.Clone(p)
	maps.DeleteFunc(lasting, func(_ string, e payloadEntry) bool { return e.again })
	content, err := json.Marshal(payloadIndexFile{payloadIndexKind, lasting})
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o755)
	}
	if err == nil {
		err = state.WriteFile(path, append(content, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("keeping what payloads say in %q: %w", path, err)
	}
	return nil
}

// readPayloadIndex reads a file of write; anything else is an error.
func readPayloadIndex(path string) (payloadIndex, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := limitedRead(file, maxPayloadIndex)
	var p payloadIndex
	if err == nil {
		p, err = parsePayloadIndex(data)
	}
	if err != nil {
		return nil, fmt.Errorf("reading what payloads say from %q: %w", path, err)
	}
	return p, nil
}

func parsePayloadIndex(data []byte) (payloadIndex, error) {
	var f payloadIndexFile
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&f); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows its end")
	}
	if f.Kind != payloadIndexKind || f.Payloads == nil {
		return nil, fmt.Errorf("it is of kind %q, not %q", f.Kind, payloadIndexKind)
	}
	for digest, e := range f.Payloads {
		if _, err := v1.NewHash(digest); err != nil {
			return nil, err
		}
		if err := e.check(); err != nil {
			return nil, fmt.Errorf("entry %s: %w", digest, err)
		}
	}
	return f.Payloads, nil
}
