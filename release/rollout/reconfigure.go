package rollout

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/client-go/rest"

	"github.com/slipway-release/slipway/internal/controlplane"
	"github.com/slipway-release/slipway/release"
)

// ErrBetweenPayloads says that a cluster is not at one payload entirely, which only an
// upgrade can change.
var ErrBetweenPayloads = errors.New("the cluster is not entirely at one payload; upgrade it to one first")

// At returns the payload that the whole cluster is at. The error wraps
// ErrBetweenPayloads when there is none.
func At(ctx context.Context, config *rest.Config) (Point, error) {
	c, err := newClient(config)
	if err != nil {
		return Point{}, err
	}
	var p UpgradePlan
	err = retrier{timeout: Options{}.withDefaults().RetryTimeout}.do(ctx, func(ctx context.Context) error {
		return p.look(ctx, c)
	})
	if err == nil && !p.whole {
		err = ErrBetweenPayloads
	}
	if err != nil {
		return Point{}, fmt.Errorf("reading which payload the cluster is at: %w", err)
	}
	return p.From, nil
}

// PlanReconfiguration looks at a cluster that is at the payload and says what changes how
// its control planes are run: one after the other, as an upgrade does it, and nothing
// else. It changes nothing. The change adds to those before it; an upgrade to a payload,
// also to this one, takes all of them back. The error wraps ErrBetweenPayloads when the
// cluster is elsewhere.
func PlanReconfiguration(ctx context.Context, config *rest.Config, payload *release.Payload, change controlplane.Change) (*UpgradePlan, error) {
	p, _, err := planFor(ctx, config, payload)
	if err == nil && (!p.whole || p.From.Digest != p.To.Digest) {
		err = ErrBetweenPayloads
	}
	if err != nil {
		return nil, fmt.Errorf("planning the reconfiguration at payload %q: %w", payload.Version, err)
	}
	p.reconfigure(change)
	return p, nil
}

func (p *UpgradePlan) reconfigure(change controlplane.Change) {
	p.nodes = slices.DeleteFunc(p.nodes, func(n node) bool { return !n.controlPlane })
	complete := !slices.ContainsFunc(p.nodes, func(n node) bool { return n.state != "" || n.reconfigured != p.recorded.ID })
	next := p.recorded.Next(change, complete)
	p.Reconfiguration = &next
	p.Resumes = next.ID == p.recorded.ID && !complete
	p.addBalancer()
	for _, n := range p.nodes {
		actions := []Action{ActionUnload, ActionLeader, ActionReconfigure, ActionHealth, ActionReload, ActionMark}
		if p.controlPlane == 1 {
			actions = []Action{ActionReconfigure, ActionHealth, ActionMark}
		}
		p.addStep(PhaseControlPlane, n, actions...)
	}
}

// whole reports whether all nodes are at the payload of the record. A node that is being
// reconfigured is.
func (inv *Inventory) whole(nodes []node) bool {
	return inv.Complete && !slices.ContainsFunc(nodes, func(n node) bool {
		return n.payload != inv.Digest || n.state != "" && !strings.HasPrefix(n.state, inv.Digest+"+")
	})
}

// record notes, before anything is changed, where the cluster is, if it is there
// entirely: an upgrade that goes on with another must not forget where that one began.
// And it notes what the control planes are to differ in, so that whoever comes next can
// finish that.
func (u *upgrade) record(ctx context.Context) error {
	var reconfiguration controlplane.Reconfiguration
	if u.plan.Reconfiguration != nil {
		reconfiguration = *u.plan.Reconfiguration
	}
	leaves := u.plan.whole && u.plan.From.Digest != u.plan.To.Digest
	if !leaves && reconfiguration.ID == u.plan.recorded.ID {
		return nil
	}
	err := u.retry("", "").do(ctx, func(ctx context.Context) error {
		inv, err := u.client.inventory(ctx)
		if err != nil {
			return err
		}
		if leaves {
			inv.Before = &u.plan.From
		}
		inv.Reconfiguration = reconfiguration
		return u.client.writeInventory(ctx, inv)
	})
	if err != nil {
		return fmt.Errorf("recording what is done to the cluster: %w", err)
	}
	return nil
}
