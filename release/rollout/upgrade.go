package rollout

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"

	"github.com/slipway-release/slipway/internal/controlplane"
)

// UpgradeResult is what an upgrade did.
type UpgradeResult struct {
	From      Point        `json:"from"`
	To        Point        `json:"to"`
	Nodes     int          `json:"nodes"`
	Started   time.Time    `json:"started"`
	Finished  time.Time    `json:"finished"`
	Steps     []StepResult `json:"steps"` // those that ran, in the order in which they ended
	Manifests *Result      `json:"manifests,omitempty"`
	// Aborted is true when Options.AbortAt ended the upgrade.
	Aborted bool `json:"aborted,omitempty"`
	// Reconfiguration is UpgradePlan's; then Nodes are the control planes alone.
	Reconfiguration *controlplane.Reconfiguration `json:"reconfiguration,omitempty"`
}

// StepResult says when a step ran.
type StepResult struct {
	Step
	Started time.Time `json:"started"`
	Seconds float64   `json:"seconds"`
	Error   string    `json:"error,omitempty"`
}

// Upgrade carries a plan out, or the part of it that Options.AbortAt allows. Where it stands is written on the nodes and in
// the cluster, nowhere else: an upgrade that was cut short is continued by planning and
// upgrading again. The result is returned with an error as well.
func Upgrade(ctx context.Context, config *rest.Config, target Target, plan *UpgradePlan, opts Options) (*UpgradeResult, error) {
	c, err := newClient(config)
	if err != nil {
		return nil, err
	}
	u := &upgrade{
		plan: plan, target: target, client: c, opts: opts.withDefaults(),
		result: &UpgradeResult{
			From: plan.From, To: plan.To, Nodes: len(plan.nodes), Reconfiguration: plan.Reconfiguration, Started: time.Now().UTC(),
		},
	}
	err = u.execute(ctx)
	u.result.Finished = time.Now().UTC()
	if err != nil {
		doing := "upgrading to"
		if plan.Reconfiguration != nil {
			doing = "reconfiguring at"
		}
		return u.result, fmt.Errorf("%s payload %q: %w", doing, plan.To.Version, err)
	}
	return u.result, nil
}

type upgrade struct {
	plan   *UpgradePlan
	target Target
	client *client
	opts   Options

	mu     sync.Mutex
	result *UpgradeResult
	// seen holds the heartbeats of nodes before their kubelets were restarted.
	seen map[string]heartbeat
	// begun holds the control planes that are marked as being changed.
	begun map[string]bool
}

func (u *upgrade) execute(ctx context.Context) error {
	u.seen, u.begun = map[string]heartbeat{}, map[string]bool{}
	if err := u.record(ctx); err != nil {
		return err
	}
	steps := u.plan.Steps
	content := 0
	for content < len(steps) && steps[content].Phase == PhaseContent {
		content++
	}
	group, groupCtx := errgroup.WithContext(ctx)
	// Nodes may share this host's processors with the API servers that clients wait for.
	group.SetLimit(min(u.opts.Jobs, max(1, runtime.NumCPU()/2)))
	for _, s := range steps[:content] {
		group.Go(func() error { return u.run(groupCtx, s) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, s := range steps[content:] {
		if u.aborts() {
			u.result.Aborted = true
			return nil
		}
		if err := u.run(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// aborts reports whether as much is done as Options.AbortAt wants.
func (u *upgrade) aborts() bool {
	if u.opts.AbortAt <= 0 {
		return false
	}
	planned := 0
	for _, s := range u.plan.Steps {
		if !s.Done {
			planned++
		}
	}
	return float64(len(u.result.Steps)) >= u.opts.AbortAt*float64(planned)
}

func (u *upgrade) run(ctx context.Context, s Step) error {
	e := Event{Step: s.ID, Node: s.Node, RunLevel: -1}
	if s.Done {
		u.opts.Progress(e.with(Skipped, "done before"))
		return nil
	}
	u.opts.Progress(e.with(Started, ""))
	begin := time.Now().UTC()
	err := u.begin(ctx, s)
	if err == nil {
		err = u.act(ctx, s)
	}
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	r := StepResult{Step: s, Started: begin, Seconds: time.Since(begin).Seconds()}
	if err != nil {
		r.Error = err.Error()
	}
	u.mu.Lock()
	u.result.Steps = append(u.result.Steps, r)
	u.mu.Unlock()
	if err != nil {
		u.opts.Progress(e.with(Failed, err.Error()))
		return fmt.Errorf("step %q: %w", s.ID, err)
	}
	u.opts.Progress(e.with(Done, ""))
	return nil
}

// begin writes on a control plane that it is being changed, before its first
// change. Whoever comes next, with this payload or another, then finishes it. On
// workers, cordoning writes it.
func (u *upgrade) begin(ctx context.Context, s Step) error {
	if s.Phase != PhaseControlPlane || s.Node == "" || u.begun[s.Node] {
		return nil
	}
	if err := u.patch(ctx, s.Node, map[string]any{UpgradeAnnotation: u.plan.state()}, nil); err != nil {
		return err
	}
	u.begun[s.Node] = true
	return nil
}

func (u *upgrade) act(ctx context.Context, s Step) error {
	switch s.Action {
	case ActionCordon:
		return u.cordon(ctx, s.Node)
	case ActionDrain:
		return u.drain(ctx, s)
	case ActionHealth:
		return u.awaitHealth(ctx, s)
	case ActionUncordon:
		return u.uncordon(ctx, s.Node)
	case ActionMark:
		return u.mark(ctx, s.Node)
	case ActionApply:
		return u.applyManifests(ctx, s)
	case ActionCheck:
		return u.verify(ctx, s)
	}
	return u.touch(ctx, s)
}

// touch does the steps that change a machine itself.
func (u *upgrade) touch(ctx context.Context, s Step) error {
	ctx, cancel := context.WithTimeoutCause(ctx, u.opts.StepTimeout, fmt.Errorf("not done after %s", u.opts.StepTimeout))
	defer cancel()
	switch s.Action {
	case ActionPush:
		return u.target.Push(ctx, s.Node)
	case ActionBalance:
		return u.target.ConfigureBalancer(ctx)
	case ActionUnload:
		return u.target.DrainBackend(ctx, s.Node)
	case ActionLeader:
		return u.target.MoveEtcdLeader(ctx, s.Node)
	case ActionUpgrade:
		return u.target.UpgradeControlPlane(ctx, s.Node, u.first(s.Node))
	case ActionReconfigure:
		u.remember(ctx, s.Node)
		return u.target.ReconfigureControlPlane(ctx, s.Node, *u.plan.Reconfiguration)
	case ActionUpdate:
		u.remember(ctx, s.Node)
		return u.target.UpdateNode(ctx, s.Node)
	case ActionReload:
		return u.target.RestoreBackend(ctx, s.Node)
	}
	return fmt.Errorf("action %q is unknown", s.Action)
}

// first tells whether the node is the first control plane: it alone changes
// what the cluster keeps, also when an upgrade is continued.
func (u *upgrade) first(name string) bool {
	return u.plan.nodes[0].name == name
}

func (u *upgrade) applyManifests(ctx context.Context, s Step) error {
	r := &run{client: u.client, plan: u.plan.manifests, opts: u.opts, step: s.ID}
	result, err := r.apply(ctx)
	u.mu.Lock()
	u.result.Manifests = result
	u.mu.Unlock()
	return err
}
