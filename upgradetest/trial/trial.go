// Package trial tries an upgrade: it lets the monitor prove that it finds outages, and
// then measures a cluster from before a driver upgrades it until after.
package trial

import (
	"context"
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/slipway-release/slipway/upgradetest"
	"github.com/slipway-release/slipway/upgradetest/driver"
	"github.com/slipway-release/slipway/upgradetest/selftest"
	"github.com/slipway-release/slipway/upgradetest/session"
)

// Options say how to measure.
type Options struct {
	session.Options
	// SelfTest injects outages on this host first, for under ten seconds. What the
	// monitor finds of them becomes part of the result; without it, no verdict rests on
	// the result.
	SelfTest bool
}

// Run measures one upgrade. Gaps, and that the new release does not come up, are part
// of the result; an error says that the upgrade could not be tried. The probed
// workloads stay in a cluster that did not arrive.
func Run(ctx context.Context, config *rest.Config, d driver.Driver, o Options) (upgradetest.Result, error) {
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	var tested *upgradetest.SelfTest
	if o.SelfTest {
		t, err := selftest.Loopback(ctx, selftest.Options{Short: true, Hertz: o.Monitor.Hertz, Progress: o.Progress})
		if err != nil {
			return upgradetest.Result{}, fmt.Errorf("testing the monitor: %w", err)
		}
		tested = &t
	}
	s, err := session.Start(ctx, config, o.Options)
	if err != nil {
		return upgradetest.Result{}, err
	}
	report, upgradeErr := d.Upgrade(ctx, func(e driver.Event) {
		if e.Step != "" {
			s.Mark(e.Step)
		}
		o.Progress(e.String())
	})
	res, err := s.Stop(context.WithoutCancel(ctx))
	var stall *driver.StallError
	if upgradeErr != nil && !errors.As(upgradeErr, &stall) {
		return upgradetest.Result{}, upgradeErr
	}
	if err != nil {
		return upgradetest.Result{}, err
	}
	res.SelfTest = tested
	describe(&res, report)
	if res.Nodes == 0 {
		// How many there are is told for people; the measurement stands without it.
		res.Nodes, _ = nodes(ctx, config)
	}
	if stall != nil {
		res.Failure = upgradeErr.Error()
		return res, nil
	}
	return res, s.Remove(ctx)
}

// describe says in the result between which releases was measured.
func describe(res *upgradetest.Result, r driver.Report) {
	res.From, res.To = release(r.From), release(r.To)
	for _, via := range r.Via {
		res.Via = append(res.Via, release(via))
	}
	res.Nodes, res.Aborted, res.RolledBack = r.Nodes, r.Aborted, r.RolledBack
}

func release(r driver.Release) upgradetest.Release {
	return upgradetest.Release{Version: r.Version, Digest: r.Digest()}
}

func nodes(ctx context.Context, config *rest.Config) (int, error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return 0, err
	}
	list, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return 0, err
	}
	return len(list.Items), nil
}
