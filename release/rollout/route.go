package rollout

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/client-go/rest"

	"github.com/slipway-release/slipway/internal/controlplane"
	"github.com/slipway-release/slipway/release"
)

// Hop is a payload that a cluster is brought to, and the hands that do it.
type Hop struct {
	Payload *release.Payload
	Target  Target
	// Change makes the hop a reconfiguration of a cluster that is at the payload.
	Change *controlplane.Change
}

// Plan says what the hop does, as the cluster is now; see PlanUpgrade and PlanReconfiguration.
func (h Hop) Plan(ctx context.Context, config *rest.Config) (*UpgradePlan, error) {
	if h.Change != nil {
		return PlanReconfiguration(ctx, config, h.Payload, *h.Change)
	}
	return PlanUpgrade(ctx, config, h.Payload)
}

// Route is a row of upgrades of one cluster, one after the other.
type Route struct {
	Hops []Hop
	// AbortAt gives the last hop up when that share of its steps is done, as
	// Options.AbortAt does. It needs Back: a cluster is not left between payloads.
	AbortAt float64
	// Back is where the cluster is brought in the end, after an aborted hop or a
	// complete one; nil leaves it where the last hop led.
	Back *Hop
}

// Travel upgrades along the route. Every hop is planned when the one before it
// has ended. The results of all hops that were begun, Back's included, are
// returned with an error as well.
func Travel(ctx context.Context, config *rest.Config, route Route, opts Options) ([]*UpgradeResult, error) {
	if len(route.Hops) == 0 && route.Back == nil {
		return nil, errors.New("upgrading: no payload was named")
	}
	if route.AbortAt < 0 || route.AbortAt >= 1 {
		return nil, fmt.Errorf("upgrading: an upgrade can be aborted at 0 %% or more and below 100 %%, not at %g %%", 100*route.AbortAt)
	}
	if route.AbortAt > 0 && route.Back == nil {
		return nil, errors.New("upgrading: an aborted upgrade must be rolled back")
	}
	var results []*UpgradeResult
	travel := func(h Hop, abortAt float64) error {
		plan, err := h.Plan(ctx, config)
		if err != nil {
			return err
		}
		opts.AbortAt = abortAt
		result, err := Upgrade(ctx, config, h.Target, plan, opts)
		if result != nil {
			results = append(results, result)
		}
		return err
	}
	for i, h := range route.Hops {
		abortAt := 0.0
		if i == len(route.Hops)-1 {
			abortAt = route.AbortAt
		}
		if err := travel(h, abortAt); err != nil {
			return results, err
		}
	}
	if route.Back == nil {
		return results, nil
	}
	return results, travel(*route.Back, 0)
}

// ErrNowhereBack says that a cluster does not know what it was before.
var ErrNowhereBack = errors.New("the cluster has no record of a payload that it was at before")

// Before returns the payload that the whole cluster was at when its last upgrade
// began: where a rollback leads. The error wraps ErrNowhereBack when no upgrade
// was begun.
func Before(ctx context.Context, config *rest.Config) (Point, error) {
	c, err := newClient(config)
	if err != nil {
		return Point{}, err
	}
	var inv *Inventory
	err = retrier{timeout: Options{}.withDefaults().RetryTimeout}.do(ctx, func(ctx context.Context) (err error) {
		inv, err = c.inventory(ctx)
		return err
	})
	if err != nil {
		return Point{}, fmt.Errorf("reading what the cluster was upgraded from: %w", err)
	}
	if inv.Before == nil {
		return Point{}, fmt.Errorf("reading what the cluster was upgraded from: %w", ErrNowhereBack)
	}
	return *inv.Before, nil
}
