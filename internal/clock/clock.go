// Package clock waits, and stops waiting when its caller is told to.
package clock

import (
	"context"
	"time"
)

// Sleep returns after d with nil, or earlier with the cause for which ctx ended.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
