package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/slipway-release/slipway/internal/oci"
)

const (
	// MediaType is that of a journal's JSON; ArtifactType that of its configuration.
	MediaType    types.MediaType = "application/vnd.slipway.stream.journal.v1+json"
	ArtifactType types.MediaType = "application/vnd.slipway.stream.config.v1+json"

	// maxJournal bounds what is read of a journal, in bytes: some 10,000 cuts.
	maxJournal = 32 << 20
)

// Registry is where journals are kept.
type Registry interface {
	Image(ctx context.Context, reference string) (v1.Image, error)
	Amend(ctx context.Context, reference string, change func(v1.Image) (v1.Image, error)) error
	Delete(ctx context.Context, reference string) error
}

var _ Registry = (*oci.Registry)(nil)

// Store holds the journals of a distribution, as tags of <Repository>/streams.
type Store struct {
	Registry Registry
	// Repository is the distribution's canonical one.
	Repository string
}

func (s Store) tag(stream string) string { return s.Repository + "/streams:" + stream }

// Read returns the journal of a stream; one that does not exist yet is empty.
func (s Store) Read(ctx context.Context, stream string) (State, error) {
	img, err := s.Registry.Image(ctx, s.tag(stream))
	if errors.Is(err, oci.ErrNotFound) {
		return fresh(stream), nil
	}
	var state State
	if err == nil {
		state, err = content(img, stream)
	}
	if err != nil {
		return State{}, fmt.Errorf("reading the journal of stream %q: %w", stream, err)
	}
	return state, nil
}

// Change applies an edit and returns the journal after it. Others may change it at the
// same time: the edit is made again on what they wrote, until it is there to stay, so it
// must say false when what it wants is there already. An edit's error ends it all.
func (s Store) Change(ctx context.Context, stream string, edit Edit) (State, error) {
	var last State
	err := s.Registry.Amend(ctx, s.tag(stream), func(img v1.Image) (v1.Image, error) {
		state := fresh(stream)
		if img != nil {
			var err error
			if state, err = content(img, stream); err != nil {
				return nil, err
			}
		}
		changed, err := edit(&state)
		if err != nil {
			return nil, err
		}
		if last = state; !changed {
			return nil, nil
		}
		return artifact(state)
	})
	if err != nil {
		return State{}, fmt.Errorf("changing the journal of stream %q: %w", stream, err)
	}
	return last, nil
}

func fresh(stream string) State {
	return State{APIVersion: apiVersion, Kind: kind, Stream: stream}
}

func content(img v1.Image, stream string) (State, error) {
	layers, err := img.Layers()
	if err != nil {
		return State{}, err
	}
	if len(layers) != 1 {
		return State{}, fmt.Errorf("the artifact has %d layers, expected one", len(layers))
	}
	mt, err := layers[0].MediaType()
	if err != nil {
		return State{}, err
	}
	if mt != MediaType {
		return State{}, fmt.Errorf("the artifact holds %q, expected %q", mt, MediaType)
	}
	rc, err := layers[0].Compressed()
	if err != nil {
		return State{}, err
	}
	defer rc.Close()
	data, err := io.ReadAll(io.LimitReader(rc, maxJournal+1))
	if err != nil {
		return State{}, err
	}
	if len(data) > maxJournal {
		return State{}, fmt.Errorf("the journal is larger than %d bytes", maxJournal)
	}
	state, err := parse(data)
	if err != nil {
		return State{}, err
	}
	if state.Stream != stream {
		return State{}, fmt.Errorf("it is that of stream %q", state.Stream)
	}
	return state, nil
}

// artifact makes an OCI artifact of a journal; the same state has the same digest.
func artifact(state State) (v1.Image, error) {
	if err := state.check(); err != nil {
		return nil, err
	}
	data, err := json.Marshal(state)
	if err != nil {
		return nil, err
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), ArtifactType)
	return mutate.Append(img, mutate.Addendum{Layer: static.NewLayer(data, MediaType), MediaType: MediaType})
}
