// Package lease lets one of several controllers lead at a time: by a lease in the
// registry, or by a Kubernetes Lease.
package lease

import (
	"context"
	"errors"
)

// ErrLost says that somebody else may lead now.
var ErrLost = errors.New("the lease was lost")

// Lease is had by one holder at a time.
type Lease interface {
	// Lead waits for the lease and calls lead while it is held; waiting is told who has
	// it, whenever that changes, and may be nil. The context of lead ends, with ErrLost as
	// its cause, before anybody else can have the lease. The lease is given back when
	// lead returns, and its error is returned.
	Lead(ctx context.Context, waiting func(holder string), lead func(ctx context.Context) error) error
}

var (
	_ Lease = Registry{}
	_ Lease = Kubernetes{}
)
