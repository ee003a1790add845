package lease_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	coordination "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	ktesting "k8s.io/client-go/testing"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/oci/ocitest"
	"github.com/slipway-release/slipway/release/streams/lease"
)

// duration leaves a renewal three seconds, for on a busy host it has taken one.
const duration = 5 * time.Second

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
		clients := fake.NewClientset()
		conditional(clients)
		client := clients.CoordinationV1()
		test(t, func(holder string) lease.Lease {
			return lease.Kubernetes{Client: client, Namespace: "slipway", Name: "controller", Holder: holder, Duration: duration}
		})
	})
}

// conditional makes the fake API refuse to update what has changed since it was read,
// as the real one does.
func conditional(c *fake.Clientset) {
	var mu sync.Mutex
	version := 0
	c.PrependReactor("update", "leases", func(action ktesting.Action) (bool, runtime.Object, error) {
		mu.Lock()
		defer mu.Unlock()
		next := action.(ktesting.UpdateAction).GetObject().(*coordination.Lease).DeepCopy()
		resource := action.GetResource()
		current, err := c.Tracker().Get(resource, next.Namespace, next.Name)
		if err != nil {
			return true, nil, err
		}
		if current.(*coordination.Lease).ResourceVersion != next.ResourceVersion {
			return true, nil, apierrors.NewConflict(resource.GroupResource(), next.Name, errors.New("it has changed"))
		}
		version++
		next.ResourceVersion = strconv.Itoa(version)
		return true, next, c.Tracker().Update(resource, next, next.Namespace)
	})
}

// Several want it at once, and each gets it, one at a time.
func TestOneLeads(t *testing.T) {
	both(t, func(t *testing.T, open func(string) lease.Lease) {
		var leading, led atomic.Int32
		var all sync.WaitGroup
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
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
			defer close(second)
			err := inRegistry(t, sound.Addr(), "second").Lead(t.Context(), nil, func(context.Context) error {
				second <- time.Now()
				return nil
			})
			if err != nil {
				t.Error(err)
			}
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
	if began, ok := <-second; ok && began.Before(stopped) {
		t.Errorf("the second led %s before the first stopped", stopped.Sub(began))
	}
	<-second // until its work on the registry is done
}

// blinking does not find what is there, every other time.
type blinking struct {
	lease.Images
	reads atomic.Int32
}

func (b *blinking) Image(ctx context.Context, ref string) (v1.Image, error) {
	if b.reads.Add(1)%2 == 1 {
		return nil, fmt.Errorf("reading image %q: %w", ref, oci.ErrNotFound)
	}
	return b.Images.Image(ctx, ref)
}

// A registry that is asked for a tag while its manifest is replaced may say that there
// is none. That does not make the lease free.
func TestNotFoundForAMoment(t *testing.T) {
	t.Parallel()
	addr := ocitest.Registry(t).Addr()
	var over atomic.Bool
	second := make(chan error, 1)
	err := inRegistry(t, addr, "first").Lead(t.Context(), nil, func(ctx context.Context) error {
		l := inRegistry(t, addr, "second").(lease.Registry)
		l.Images = &blinking{Images: l.Images}
		go func() {
			second <- l.Lead(t.Context(), nil, func(context.Context) error {
				if !over.Load() {
					t.Error("the second leads beside the first")
				}
				return nil
			})
		}()
		time.Sleep(duration)
		over.Store(true)
		return context.Cause(ctx)
	})
	if err != nil {
		t.Error(err)
	}
	if err := <-second; err != nil {
		t.Error(err)
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
