package lease_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes/fake"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/oci/ocitest"
	"github.com/slipway-release/slipway/release/streams/lease"
)

const duration = 2 * time.Second

func inRegistry(t *testing.T, addr, holder string) lease.Lease {
	t.Helper()
	reg, err := oci.NewRegistry("registry.example.com/tiny", addr, oci.WithInsecure())
	if err != nil {
		t.Fatal(err)
	}
	return lease.Registry{Images: reg, Tag: "registry.example.com/tiny/leases:controller", Holder: holder, Duration: duration}
}

// both runs a test on either kind of lease.
func both(t *testing.T, test func(t *testing.T, open func(holder string) lease.Lease)) {
	t.Run("registry", func(t *testing.T) {
		t.Parallel()
		addr := ocitest.Registry(t).Addr()
		test(t, func(holder string) lease.Lease { return inRegistry(t, addr, holder) })
	})
	t.Run("kubernetes", func(t *testing.T) {
		t.Parallel()
		client := fake.NewClientset().CoordinationV1()
		test(t, func(holder string) lease.Lease {
			return lease.Kubernetes{Client: client, Namespace: "slipway", Name: "controller", Holder: holder, Duration: duration}
		})
	})
}

// Several want it at once, and each gets it, one at a time.
func TestOneLeads(t *testing.T) {
	both(t, func(t *testing.T, open func(string) lease.Lease) {
		var leading, led atomic.Int32
		var all sync.WaitGroup
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for i := range 3 {
			all.Go(func() {
				err := open(fmt.Sprint("holder-", i)).Lead(ctx, nil, func(ctx context.Context) error {
					if n := leading.Add(1); n != 1 {
						t.Errorf("%d lead", n)
					}
					defer leading.Add(-1)
					led.Add(1)
					time.Sleep(duration) // longer than a renewal
					return context.Cause(ctx)
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if led.Load() != 3 {
			t.Errorf("%d of 3 led", led.Load())
		}
	})
}

// A leader that cannot reach the registry stops before another may begin.
func TestLoss(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	sound, cut := ocitest.Serve(t, dir), ocitest.Serve(t, dir)
	var stopped time.Time
	second := make(chan time.Time, 1)
	err := inRegistry(t, cut.Addr(), "first").Lead(t.Context(), nil, func(ctx context.Context) error {
		go func() {
			_ = inRegistry(t, sound.Addr(), "second").Lead(t.Context(), nil, func(context.Context) error {
				second <- time.Now()
				return nil
			})
		}()
		time.Sleep(duration / 4)
		cut.Refuse(time.Hour)
		<-ctx.Done()
		stopped = time.Now()
		return context.Cause(ctx)
	})
	if !errors.Is(err, lease.ErrLost) {
		t.Errorf("error %v, want ErrLost", err)
	}
	if began := <-second; began.Before(stopped) {
		t.Errorf("the second led %s before the first stopped", stopped.Sub(began))
	}
}

// What lead returns is what came of it, and a context that ends ends the waiting.
func TestErrors(t *testing.T) {
	both(t, func(t *testing.T, open func(string) lease.Lease) {
		failed := errors.New("failed")
		err := open("first").Lead(t.Context(), nil, func(context.Context) error {
			ctx, cancel := context.WithTimeout(t.Context(), duration/2)
			defer cancel()
			holder := ""
			err := open("second").Lead(ctx, func(h string) { holder = h }, func(context.Context) error { return nil })
			if !errors.Is(err, context.DeadlineExceeded) || holder != "first" {
				t.Errorf("waiting for %q ended with %v", holder, err)
			}
			return failed
		})
		if !errors.Is(err, failed) {
			t.Errorf("error %v", err)
		}
	})
}
