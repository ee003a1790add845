package updates

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/slipway-release/slipway/release/channels"
	"github.com/slipway-release/slipway/release/channels/graph"
)

// Offers is what people declare about the edges of channels.
type Offers interface {
	// Offer reads it; what cannot be read whole is an error.
	Offer() (channels.Offer, error)
	// Stamp is another one whenever Offer may be.
	Stamp() (string, error)
}

// ChannelSource offers the channels that a distribution has in its registry, as
// promotions left them.
type ChannelSource struct {
	Store channels.Store
	// Arch is that of the distribution's payloads.
	Arch string
	// Offers says what becomes of edges that are not proven, and which bear risks; nil
	// stands for the defaults.
	Offers Offers
}

var _ Watched = ChannelSource{}

// Snapshot implements Source.
func (s ChannelSource) Snapshot(ctx context.Context) (*graph.Snapshot, error) {
	stored, err := s.Store.List(ctx)
	if err != nil {
		return nil, err
	}
	var offer channels.Offer
	if s.Offers != nil {
		if offer, err = s.Offers.Offer(); err != nil {
			return nil, err
		}
	}
	return channels.Snapshot(s.Arch, channels.States(stored), offer)
}

// Stamp implements Watched: the digests of all channels, and what is declared.
func (s ChannelSource) Stamp(ctx context.Context) (string, error) {
	tags, err := s.Store.Registry.Tags(ctx, s.Store.Repository+"/channels")
	if err != nil {
		return "", fmt.Errorf("listing channels: %w", err)
	}
	hash := sha256.New()
	for _, tag := range tags {
		digest, err := s.Store.Registry.Resolve(ctx, s.Store.Repository+"/channels:"+tag)
		if err != nil {
			return "", fmt.Errorf("looking at channel %q: %w", tag, err)
		}
		fmt.Fprintln(hash, tag, digest)
	}
	if s.Offers != nil {
		stamp, err := s.Offers.Stamp()
		if err != nil {
			return "", err
		}
		fmt.Fprintln(hash, stamp)
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// limitedRead reads no more than a source may have.
func limitedRead(r io.Reader, most int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("it is larger than %d bytes", most)
	}
	return data, err
}
