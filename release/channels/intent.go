package channels

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/slipway-release/slipway/release"
)

const (
	// intentTag cannot be the name of a channel.
	intentTag = "_intent"

	intentMediaType    types.MediaType = "application/vnd.slipway.channels.intent.v1+json"
	intentArtifactType types.MediaType = "application/vnd.slipway.channels.intent.config.v1+json"
	intentKind                         = "ChannelsIntent"
)

// intent says that several channels are about to change together. It is written before
// any of them does, so that whoever comes next can finish what was broken off.
type intent struct {
	APIVersion string          `json:"apiVersion"`
	Kind       string          `json:"kind"`
	Version    release.Version `json:"version"`
	// Done says that nothing is left to do, whether all channels changed or none.
	Done     bool            `json:"done"`
	Channels []intentChannel `json:"channels"`
}

// intentChannel is one of the channels, by the digests that its tag has before and after.
type intentChannel struct {
	Name   string `json:"name"`
	Read   string `json:"read,omitempty"` // "" when it did not exist
	Target string `json:"target"`

	read, target v1.Hash
}

// readIntent returns the last intent and its digest, which is zero when there is none.
func (s Store) readIntent(ctx context.Context) (intent, v1.Hash, error) {
	digest, err := s.current(ctx, intentTag)
	if err != nil || digest == (v1.Hash{}) {
		return intent{Done: true}, digest, err
	}
	data, err := s.fetchLayer(ctx, digest, intentMediaType)
	if err != nil {
		return intent{}, digest, err
	}
	in, err := parseIntent(data)
	return in, digest, err
}

func parseIntent(data []byte) (intent, error) {
	var in intent
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		return intent{}, fmt.Errorf("parsing it: %w", err)
	}
	if dec.More() {
		return intent{}, errors.New("something stands behind its end")
	}
	if in.APIVersion != apiVersion || in.Kind != intentKind {
		return intent{}, fmt.Errorf("it is %s in %s, expected %s in %s", in.Kind, in.APIVersion, intentKind, apiVersion)
	}
	var problems []error
	for i := range in.Channels {
		c := &in.Channels[i]
		var err error
		if c.Read != "" {
			if c.read, err = v1.NewHash(c.Read); err != nil {
				problems = append(problems, fmt.Errorf("channel %q: %w", c.Name, err))
			}
		}
		if c.target, err = v1.NewHash(c.Target); err != nil {
			problems = append(problems, fmt.Errorf("channel %q: %w", c.Name, err))
		}
		if !namePattern.MatchString(c.Name) {
			problems = append(problems, fmt.Errorf("%q is not the name of a channel", c.Name))
		}
	}
	return in, errors.Join(problems...)
}

// writeIntent makes an intent the last one, if that still is the one with digest read.
func (s Store) writeIntent(ctx context.Context, in intent, read v1.Hash) (v1.Hash, error) {
	data, err := json.Marshal(in)
	if err != nil {
		return v1.Hash{}, err
	}
	img, err := artifactOf(data, intentMediaType, intentArtifactType)
	if err != nil {
		return v1.Hash{}, err
	}
	digest, err := s.store(ctx, img)
	if err != nil {
		return v1.Hash{}, err
	}
	return digest, s.move(ctx, intentTag, read, digest)
}

// settle marks an intent done. If it is not the last one any more, then somebody else
// has done that.
func (s Store) settle(ctx context.Context, in intent, digest v1.Hash) error {
	in.Done = true
	if _, err := s.writeIntent(ctx, in, digest); err != nil && !errors.Is(err, ErrChanged) {
		return err
	}
	return nil
}
