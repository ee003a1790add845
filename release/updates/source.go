package updates

import (
	"context"

	"github.com/slipway-release/slipway/release/channels/graph"
)

// Source is where the update graph comes from.
type Source interface {
	// Snapshot reads all of it. Of a source that cannot be read whole it returns an
	// error, never a part: what is missing there would be offered without its risks.
	Snapshot(ctx context.Context) (*graph.Snapshot, error)
}

// Watched is a source that can say at little cost whether it changed.
type Watched interface {
	Source
	// Stamp is another one whenever the snapshot may be.
	Stamp(ctx context.Context) (string, error)
}
