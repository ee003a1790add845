package lease

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordination "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// Kubernetes is a lease that is an object of the API coordination.k8s.io/v1, which
// has conditional writes.
type Kubernetes struct {
	Client          coordination.LeasesGetter
	Namespace, Name string
	Holder          string // one of each process
	Duration        time.Duration
}

// Lead implements Lease.
func (k Kubernetes) Lead(ctx context.Context, waiting func(string), lead func(context.Context) error) error {
	held, giveBack := context.WithCancel(ctx)
	defer giveBack()
	var result error
	var led atomic.Bool
	var told sync.Mutex
	over := false // nobody is told any more
	defer func() {
		told.Lock()
		defer told.Unlock()
		over = true
	}()
	finished := make(chan struct{})
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta: metav1.ObjectMeta{Namespace: k.Namespace, Name: k.Name}, Client: k.Client,
			LockConfig: resourcelock.ResourceLockConfig{Identity: k.Holder},
		},
		LeaseDuration: k.Duration, RenewDeadline: k.Duration * 2 / 3, RetryPeriod: k.Duration / 10,
		// The library would give it back before lead has returned.
		ReleaseOnCancel: false, Name: k.Name,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(leading context.Context) {
				defer close(finished)
				led.Store(true)
				result = lead(withLoss(leading, held))
				giveBack()
			},
			OnStoppedLeading: func() {},
			// The library calls it on a goroutine of its own, whenever that comes to run.
			OnNewLeader: func(holder string) {
				told.Lock()
				defer told.Unlock()
				if waiting != nil && !over && holder != "" && holder != k.Holder {
					waiting(holder)
				}
			},
		},
	})
	if err != nil {
		return fmt.Errorf("taking lease %s/%s: %w", k.Namespace, k.Name, err)
	}
	elector.Run(held)
	if ctx.Err() != nil && !elector.IsLeader() && !led.Load() {
		return fmt.Errorf("taking lease %s/%s: %w", k.Namespace, k.Name, context.Cause(ctx))
	}
	lost := held.Err() == nil
	<-finished
	if lost {
		return errors.Join(ErrLost, result)
	}
	return errors.Join(result, k.release(context.WithoutCancel(ctx)))
}

// withLoss is leading with ErrLost as its cause when it ends before held does.
func withLoss(leading, held context.Context) context.Context {
	ctx, stop := context.WithCancelCause(held)
	context.AfterFunc(leading, func() {
		if held.Err() == nil {
			stop(ErrLost)
			return
		}
		stop(context.Cause(held))
	})
	return ctx
}

// release gives the lease back to the next, if it still is this holder's.
func (k Kubernetes) release(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, k.Duration)
	defer cancel()
	leases := k.Client.Leases(k.Namespace)
	l, err := leases.Get(ctx, k.Name, metav1.GetOptions{})
	if err != nil || l.Spec.HolderIdentity == nil || *l.Spec.HolderIdentity != k.Holder {
		return err
	}
	nobody := ""
	l.Spec.HolderIdentity = &nobody
	if _, err := leases.Update(ctx, l, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("giving back lease %s/%s: %w", k.Namespace, k.Name, err)
	}
	return nil
}
