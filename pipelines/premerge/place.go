package premerge

import (
	"context"
	"fmt"

	"k8s.io/client-go/rest"

	"github.com/slipway-release/slipway/internal/cluster"
	"github.com/slipway-release/slipway/pipelines/inplace"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/rollout"
	"github.com/slipway-release/slipway/upgradetest"
	"github.com/slipway-release/slipway/upgradetest/session"
	"github.com/slipway-release/slipway/upgradetest/trial"
)

// OnThisHost is a Place of containers. All fields are needed.
type OnThisHost struct {
	Clusters *cluster.Manager
	// Name of the cluster, which nobody else uses, and the run that it belongs to: the
	// next one removes what a killed run has left.
	Name, Run string
	Profile   string
	Images    rollout.Images
	Backends  upgradetest.Selection
	Probing   upgradetest.Options

	cluster *cluster.Cluster
	config  *rest.Config
	// base is what the cluster was made of, whose images all nodes hold from the beginning.
	base *release.Payload
}

var _ Place = (*OnThisHost)(nil)

// The components of a payload whose images measuring needs: that of agnhost serves
// what is probed, and that of slipway itself probes from within.
const (
	serverComponent = "agnhost"
	proberComponent = "slipway"
)

// Make implements Place.
func (h *OnThisHost) Make(ctx context.Context, p *release.Payload, logs string, say func(string)) error {
	if _, ok := p.Image(serverComponent); !ok {
		return wrong(fmt.Errorf("measuring upgrades from release %s: it has no component %q to run the probed services with", p.Version, serverComponent))
	}
	bits, err := rollout.Bits(ctx, p, h.Images)
	if err != nil {
		return err
	}
	if err := h.Clusters.Delete(ctx, h.Name); err != nil {
		return err
	}
	h.base = p
	h.cluster, err = h.Clusters.Create(ctx, cluster.Options{
		Name: h.Name, Profile: h.Profile, Bits: bits, Ephemeral: true, Run: h.Run, LogDir: logs,
	}, say)
	if err != nil {
		return err
	}
	if err := rollout.Install(ctx, h.cluster, p, rollout.Options{Progress: func(e rollout.Event) {
		if e.State != rollout.Applied {
			say(e.String())
		}
	}}); err != nil {
		return fmt.Errorf("bringing up a cluster of release %s: %w", p.Version, err)
	}
	config, err := h.cluster.RestConfig()
	if err != nil {
		return err
	}
	h.config = rollout.Unthrottled(config)
	return nil
}

// Upgrade implements Place.
func (h *OnThisHost) Upgrade(ctx context.Context, to *release.Payload, samples string, say func(string)) (upgradetest.Result, error) {
	bits, err := rollout.Bits(ctx, to, h.Images)
	if err != nil {
		return upgradetest.Result{}, err
	}
	image, _ := h.base.Image(serverComponent)
	prober, _ := h.base.Image(proberComponent)
	probing := h.Probing
	probing.SamplesDir = samples
	driver := &inplace.Driver{
		Config: h.config, To: to,
		Route: rollout.Route{Hops: []rollout.Hop{{Payload: to, Target: rollout.OnCluster(h.cluster, bits)}}},
	}
	return trial.Run(ctx, h.config, driver, trial.Options{
		Options:  session.Options{Image: image, Server: prober, Selected: h.Backends, Monitor: probing, Progress: say},
		SelfTest: true,
	})
}

// Logs implements Place.
func (h *OnThisHost) Logs(ctx context.Context, dir string) error {
	return h.Clusters.Logs(ctx, h.Name, dir)
}

// Remove implements Place.
func (h *OnThisHost) Remove(ctx context.Context) error { return h.Clusters.Delete(ctx, h.Name) }
