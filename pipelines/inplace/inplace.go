// Package inplace upgrades Slipway's own clusters in place, as a driver of upgrade
// tests.
package inplace

import (
	"context"
	"errors"
	"strings"

	"k8s.io/client-go/rest"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/rollout"
	"github.com/slipway-release/slipway/upgradetest/driver"
)

// Driver upgrades a cluster along a route of payloads.
type Driver struct {
	Config *rest.Config
	Route  rollout.Route
	// To is the payload that the upgrade is about: the last one of the route that is
	// upgraded to, or the one that is rolled back to when there is no other.
	To *release.Payload
}

var _ driver.Driver = (*Driver)(nil)

// Upgrade implements driver.Driver. A route that leads back is still about the payload
// that it led to.
func (d *Driver) Upgrade(ctx context.Context, say func(driver.Event)) (driver.Report, error) {
	hops, err := rollout.Travel(ctx, d.Config, d.Route, rollout.Options{Progress: func(e rollout.Event) {
		switch {
		case e.Step != "" && e.State == rollout.Started:
			say(driver.Event{Step: e.Step, Message: e.String()})
		case e.State != rollout.Applied: // of which there are hundreds
			say(driver.Event{Message: e.String()})
		}
	}})
	r := d.report(hops)
	var stall *rollout.StallError
	if errors.As(err, &stall) {
		err = &driver.StallError{Release: r.To, Message: stall.Message, Waited: stall.Waited, Err: err}
	}
	return r, err
}

func (d *Driver) report(hops []*rollout.UpgradeResult) driver.Report {
	r := driver.Report{To: driver.Release{Version: d.To.Version.String(), Image: d.To.Reference}, RolledBack: d.Route.Back != nil}
	for i, hop := range hops {
		switch {
		case i == 0:
			r.From, r.Nodes = d.at(hop.From), hop.Nodes
		case hop.From.Version != "" && i < len(d.Route.Hops):
			r.Via = append(r.Via, d.at(hop.From))
		}
		r.Aborted = r.Aborted || hop.Aborted
	}
	return r
}

// at names what a cluster was at. Payloads of one distribution lie in one repository.
func (d *Driver) at(p rollout.Point) driver.Release {
	r := driver.Release{Version: p.Version}
	if repository, _, ok := strings.Cut(d.To.Reference, "@"); ok && p.Digest != "" {
		r.Image = repository + "@" + p.Digest
	}
	return r
}
