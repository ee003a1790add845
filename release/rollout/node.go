package rollout

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/slipway-release/slipway/internal/clock"
	"github.com/slipway-release/slipway/release"
)

// calm is how many looks in a row must be good before a node counts as healthy:
// a kubelet that has just started says Ready before it has looked around.
const calm = 4

func (u *upgrade) retry(step, node string) retrier {
	return retrier{timeout: u.opts.RetryTimeout, failed: func(err error) {
		u.opts.Progress(Event{Step: step, Node: node, RunLevel: -1, State: Retrying, Message: err.Error()})
	}}
}

// patch changes annotations of a node (nil removes one) and, unless
// unschedulable is nil, whether pods may be put on it; all in one request.
func (u *upgrade) patch(ctx context.Context, name string, annotations map[string]any, unschedulable *bool) error {
	body := map[string]any{"metadata": map[string]any{"annotations": annotations}}
	if unschedulable != nil {
		body["spec"] = map[string]any{"unschedulable": *unschedulable}
	}
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return u.retry("", name).do(ctx, func(ctx context.Context) error {
		_, err := u.client.kube.CoreV1().Nodes().Patch(ctx, name, types.MergePatchType, data, metav1.PatchOptions{FieldManager: FieldManager})
		return err
	})
}

func (u *upgrade) node(ctx context.Context, name string) (*corev1.Node, error) {
	var n *corev1.Node
	err := u.retry("", name).do(ctx, func(ctx context.Context) (err error) {
		n, err = u.client.kube.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		return err
	})
	return n, err
}

// cordon keeps new pods away. A node that was cordoned without us is left
// unmarked, so that it stays cordoned afterwards.
func (u *upgrade) cordon(ctx context.Context, name string) error {
	n, err := u.node(ctx, name)
	if err != nil {
		return err
	}
	if n.Spec.Unschedulable && n.Annotations[UpgradeAnnotation] == "" {
		return nil
	}
	yes := true
	return u.patch(ctx, name, map[string]any{UpgradeAnnotation: u.plan.state()}, &yes)
}

func (u *upgrade) uncordon(ctx context.Context, name string) error {
	n, err := u.node(ctx, name)
	if err != nil {
		return err
	}
	if n.Annotations[UpgradeAnnotation] == "" {
		return nil
	}
	no := false
	return u.patch(ctx, name, map[string]any{UpgradeAnnotation: nil}, &no)
}

// mark records that the node is at the payload, entirely, or reconfigured there.
func (u *upgrade) mark(ctx context.Context, name string) error {
	var reconfigured any // nil removes the annotation
	if id := u.plan.reconfigurationID(); id != "" {
		reconfigured = id
	}
	return u.patch(ctx, name, map[string]any{
		PayloadAnnotation: u.plan.To.Digest, VersionAnnotation: u.plan.To.Version, ReconfigurationAnnotation: reconfigured, UpgradeAnnotation: nil,
	}, nil)
}

// MarkNodes records that every node runs the payload: what whoever has just
// created the cluster from it knows, and a later upgrade wants to know.
func MarkNodes(ctx context.Context, config *rest.Config, payload *release.Payload, opts Options) error {
	plan, err := PlanUpgrade(ctx, config, payload)
	if err != nil {
		return err
	}
	c, err := newClient(config)
	if err != nil {
		return err
	}
	u := &upgrade{plan: plan, client: c, opts: opts.withDefaults()}
	for _, n := range plan.nodes {
		if err := u.mark(ctx, n.name); err != nil {
			return fmt.Errorf("marking node %q with payload %q: %w", n.name, plan.To.Version, err)
		}
	}
	return nil
}

// heartbeat is the last sign of life that a kubelet left in the API.
type heartbeat struct{ renewed time.Time }

// remember keeps the last sign of life of the kubelet that is about to be
// restarted; only a later one counts as life of its successor.
func (u *upgrade) remember(ctx context.Context, name string) {
	h, err := u.heartbeat(ctx, name)
	if err == nil {
		u.seen[name] = h
	}
}

func (u *upgrade) heartbeat(ctx context.Context, name string) (heartbeat, error) {
	lease, err := u.client.kube.CoordinationV1().Leases(corev1.NamespaceNodeLease).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return heartbeat{}, err
	}
	if lease.Spec.RenewTime == nil {
		return heartbeat{}, nil
	}
	return heartbeat{renewed: lease.Spec.RenewTime.Time}, nil
}

// awaitHealth waits until a restarted node is well, several looks in a row: its
// kubelet is the payload's, alive and Ready, and on a control plane its API server and
// all etcd members are as well.
func (u *upgrade) awaitHealth(ctx context.Context, s Step) error {
	return u.until(ctx, s, func(ctx context.Context) error {
		if err := u.nodeHealth(ctx, s.Node); err != nil {
			return err
		}
		if s.Phase == PhaseControlPlane {
			return u.target.CheckControlPlane(ctx, s.Node)
		}
		return nil
	})
}

func (u *upgrade) until(ctx context.Context, s Step, check func(context.Context) error) error {
	begin, good, last := time.Now(), 0, ""
	for good < calm {
		attempt, cancel := context.WithTimeout(ctx, requestTimeout)
		err := check(attempt)
		cancel()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err == nil {
			good++
		} else {
			good = 0
			if time.Since(begin) > u.opts.StallTimeout {
				return fmt.Errorf("not well after %s: %w", u.opts.StallTimeout, err)
			}
			if err.Error() != last {
				last = err.Error()
				u.opts.Progress(Event{Step: s.ID, Node: s.Node, RunLevel: -1, State: Waiting, Message: last})
			}
		}
		if err := clock.Sleep(ctx, u.opts.Interval); err != nil {
			return err
		}
	}
	return nil
}

func (u *upgrade) nodeHealth(ctx context.Context, name string) error {
	n, err := u.client.kube.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("reading node %q: %w", name, err)
	}
	if have := n.Status.NodeInfo.KubeletVersion; have != u.plan.kubelet {
		return fmt.Errorf("node %q: its kubelet is %s, the payload's is %s", name, have, u.plan.kubelet)
	}
	if h, ok := u.seen[name]; ok {
		now, err := u.heartbeat(ctx, name)
		if err != nil {
			return fmt.Errorf("reading the lease of node %q: %w", name, err)
		}
		if !now.renewed.After(h.renewed) {
			return fmt.Errorf("node %q: its restarted kubelet has given no sign of life", name)
		}
	}
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			if c.Status == corev1.ConditionTrue {
				return nil
			}
			return fmt.Errorf("node %q: condition Ready is %s: %s", name, c.Status, sentence(c.Reason, c.Message))
		}
	}
	return fmt.Errorf("node %q: it has no condition Ready", name)
}

// verify looks at the whole cluster once more: every node is at the payload and
// well, and so is every control plane.
func (u *upgrade) verify(ctx context.Context, s Step) error {
	return u.until(ctx, s, func(ctx context.Context) error {
		for _, n := range u.plan.nodes {
			err := u.nodeHealth(ctx, n.name)
			if err == nil && n.controlPlane {
				err = u.target.CheckControlPlane(ctx, n.name)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}
