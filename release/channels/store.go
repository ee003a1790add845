package channels

import (
	"context"
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
	// MediaType is that of a channel's JSON; ArtifactType that of its (empty)
	// configuration, by which registries tell artifacts from images.
	MediaType    types.MediaType = "application/vnd.slipway.channel.v1+json"
	ArtifactType types.MediaType = "application/vnd.slipway.channel.config.v1+json"

	// maxState bounds what is read of a channel, in bytes; 100,000 edges need half of it.
	maxState = 32 << 20
)

// Registry is where channels are kept.
type Registry interface {
	Image(ctx context.Context, reference string) (v1.Image, error)
	Resolve(ctx context.Context, reference string) (v1.Hash, error)
	Push(ctx context.Context, reference string, img v1.Image) (v1.Hash, error)
	Tag(ctx context.Context, reference, tag string) error
	Tags(ctx context.Context, repository string) ([]string, error)
}

var _ Registry = (*oci.Registry)(nil)

// Store holds the channels of a distribution.
type Store struct {
	Registry Registry
	// Repository is the distribution's canonical one; channels are in <Repository>/channels.
	Repository string
}

// Stored is a channel and the digest it was read under.
type Stored struct {
	State  State
	Digest v1.Hash // zero when the registry has no such channel yet
}

// States are what channels hold, without the digests that they were read under.
func States(stored []Stored) []State {
	var states []State
	for _, s := range stored {
		states = append(states, s.State)
	}
	return states
}

func (s Store) repository() string           { return s.Repository + "/channels" }
func (s Store) tag(channel string) string    { return s.repository() + ":" + channel }
func (s Store) digest(digest v1.Hash) string { return s.repository() + "@" + digest.String() }

// Read returns a channel; one that does not exist yet is empty.
func (s Store) Read(ctx context.Context, channel string) (Stored, error) {
	if !namePattern.MatchString(channel) {
		return Stored{}, fmt.Errorf("reading channel %q: a channel's name has lower case letters, digits, dots and dashes", channel)
	}
	digest, err := s.current(ctx, channel)
	if err != nil {
		return Stored{}, fmt.Errorf("reading channel %q: %w", channel, err)
	}
	if digest == (v1.Hash{}) {
		return Stored{State: State{Name: channel}}, nil
	}
	state, err := s.fetch(ctx, digest)
	if err != nil {
		return Stored{}, fmt.Errorf("reading channel %q: %w", channel, err)
	}
	if state.Name != channel {
		return Stored{}, fmt.Errorf("reading channel %q: its content is that of channel %q", channel, state.Name)
	}
	return Stored{State: state, Digest: digest}, nil
}

// List returns all channels, by name.
func (s Store) List(ctx context.Context) ([]Stored, error) {
	tags, err := s.Registry.Tags(ctx, s.repository())
	if err != nil {
		return nil, fmt.Errorf("listing channels: %w", err)
	}
	var channels []Stored
	for _, tag := range tags {
		if !namePattern.MatchString(tag) || isReferrersTag(tag) {
			continue
		}
		stored, err := s.Read(ctx, tag)
		if err != nil {
			return nil, err
		}
		channels = append(channels, stored)
	}
	return channels, nil
}

// isReferrersTag reports whether a tag is not a channel but the list of what
// refers to a digest, which registries without the referrers API keep as tag sha256-<hex>.
func isReferrersTag(tag string) bool {
	return len(tag) >= len("sha256-")+64 && tag[:len("sha256-")] == "sha256-"
}

func (s Store) current(ctx context.Context, channel string) (v1.Hash, error) {
	digest, err := s.Registry.Resolve(ctx, s.tag(channel))
	if errors.Is(err, oci.ErrNotFound) {
		return v1.Hash{}, nil
	}
	return digest, err
}

func (s Store) fetch(ctx context.Context, digest v1.Hash) (State, error) {
	data, err := s.fetchLayer(ctx, digest, MediaType)
	if err != nil {
		return State{}, err
	}
	return ParseState(data)
}

// fetchLayer reads an artifact of one layer.
func (s Store) fetchLayer(ctx context.Context, digest v1.Hash, want types.MediaType) ([]byte, error) {
	img, err := s.Registry.Image(ctx, s.digest(digest))
	if err != nil {
		return nil, err
	}
	layers, err := img.Layers()
	if err != nil {
		return nil, err
	}
	if len(layers) != 1 {
		return nil, fmt.Errorf("the artifact has %d layers, expected one", len(layers))
	}
	mt, err := layers[0].MediaType()
	if err != nil {
		return nil, err
	}
	if mt != want {
		return nil, fmt.Errorf("the artifact holds %q, expected %q", mt, want)
	}
	rc, err := layers[0].Compressed()
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	data, err := io.ReadAll(io.LimitReader(rc, maxState+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxState {
		return nil, fmt.Errorf("the artifact is larger than %d bytes", maxState)
	}
	return data, nil
}

// write stores the new state by digest and then moves the tag.
func (s Store) write(ctx context.Context, plan Plan) error {
	img, err := artifact(plan.After)
	if err != nil {
		return err
	}
	digest, err := s.store(ctx, img)
	if err != nil {
		return err
	}
	return s.move(ctx, plan.Channel, plan.Read, digest)
}

// store writes an artifact by digest.
func (s Store) store(ctx context.Context, img v1.Image) (v1.Hash, error) {
	digest, err := img.Digest()
	if err != nil {
		return v1.Hash{}, err
	}
	_, err = s.Registry.Push(ctx, s.digest(digest), img)
	return digest, err
}

// move points a tag to what was stored, unless it no longer points to what was read; then
// the error is ErrChanged. Registries cannot compare and swap, so the tag is read again
// afterwards: of two writers that passed the first check, the one that lost learns of it.
func (s Store) move(ctx context.Context, tag string, read, digest v1.Hash) error {
	before, err := s.current(ctx, tag)
	if err != nil {
		return err
	}
	if before != read {
		return ErrChanged
	}
	if err := s.Registry.Tag(ctx, s.digest(digest), tag); err != nil {
		return err
	}
	after, err := s.current(ctx, tag)
	if err != nil {
		return err
	}
	if after != digest {
		return ErrChanged
	}
	return nil
}

// artifact makes an OCI artifact of a state; the same state has the same digest.
func artifact(state State) (v1.Image, error) {
	data, err := state.Marshal()
	if err != nil {
		return nil, err
	}
	return artifactOf(data, MediaType, ArtifactType)
}

func artifactOf(data []byte, layer, config types.MediaType) (v1.Image, error) {
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), config)
	return mutate.Append(img, mutate.Addendum{Layer: static.NewLayer(data, layer), MediaType: layer})
}
