package clock_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/slipway-release/slipway/internal/clock"
)

func TestSleep(t *testing.T) {
	if err := clock.Sleep(t.Context(), time.Microsecond); err != nil {
		t.Error(err)
	}
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if err := clock.Sleep(ctx, time.Hour); !errors.Is(err, cause) {
		t.Errorf("error %v, want %v", err, cause)
	}
}
