package premerge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/slipway-release/slipway/internal/progress"
	"github.com/slipway-release/slipway/pipelines/report"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/streams"
	"github.com/slipway-release/slipway/upgradetest"
	"github.com/slipway-release/slipway/upgradetest/session"
)

// Place is a cluster that is upgraded while it is measured. say is told what happens.
type Place interface {
	// Make brings up a cluster of a payload. Logs of one that does not come up go to logs.
	Make(ctx context.Context, p *release.Payload, logs string, say func(string)) error
	// Upgrade brings the cluster to a payload, and records it in the folder samples. That
	// the payload does not come up is part of the result; an error says that it could not
	// be tried.
	Upgrade(ctx context.Context, to *release.Payload, samples string, say func(string)) (upgradetest.Result, error)
	// Logs keeps what explains a failure.
	Logs(ctx context.Context, dir string) error
	// Remove removes the cluster, made or half made.
	Remove(ctx context.Context) error
}

// measured is an upgrade that was measured.
type measured struct {
	way    string
	result upgradetest.Result
}

// endWithin bounds what is done with the cluster when everything else has ended.
const endWithin = 5 * time.Minute

// measure makes a cluster of the base, and upgrades it into the change and out of it.
func (c *check) measure(ctx context.Context) error {
	place, err := c.Place(ctx, c.report.Run.ID)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endWithin)
		defer cancel()
		_ = place.Remove(ctx) // what cannot be removed now is removed by the next run
	}()
	base := c.Base.Payload
	err = c.stage(stageCluster, func(item *progress.Item) (string, error) {
		return fmt.Sprintf("%s, at %s", c.Profile, base.Version), place.Make(ctx, base, c.path("cluster-logs"), item.Update)
	})
	if err != nil {
		return err
	}
	for _, way := range []struct {
		name string
		to   *release.Payload
	}{{stageInto, c.payload}, {stageOutOf, base}} {
		if why := c.noWay(way.name); why != "" {
			c.skip(why, way.name)
			continue
		}
		err := c.stage(way.name, func(item *progress.Item) (string, error) { return c.travel(ctx, place, way.name, way.to, item.Update) })
		if err != nil || c.stuck() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endWithin)
			err = errors.Join(err, place.Logs(ctx, c.path("cluster-logs")))
			cancel()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// noWay says why an upgrade is not tried.
func (c *check) noWay(way string) string {
	switch {
	case way != stageOutOf:
		return ""
	case c.stuck():
		return "the way in did not come to its end"
	}
	return c.oneWay()
}

// stuck reports whether the last upgrade did not come to its end.
func (c *check) stuck() bool {
	n := len(c.measured)
	return n > 0 && c.measured[n-1].result.Failure != ""
}

// travel measures one upgrade, and judges it.
func (c *check) travel(ctx context.Context, place Place, way string, to *release.Payload, say func(string)) (string, error) {
	folder := c.path(way)
	samples := filepath.Join(folder, "samples")
	res, err := place.Upgrade(ctx, to, samples, say)
	if err != nil {
		return "", err
	}
	if err := session.Write(folder, samples, res); err != nil {
		return "", err
	}
	result, err := c.outcome(way, res)
	if err != nil {
		return "", err
	}
	c.measured = append(c.measured, measured{way, res})
	c.results = append(c.results, result)
	c.found.Ways = append(c.found.Ways, report.Way{
		Name: way, Status: string(result.Status), Detail: result.Detail, Folder: way, Seconds: res.Seconds,
		AtLeastMs: res.DowntimeMs.AtLeast, AtMostMs: res.DowntimeMs.AtMost,
	})
	c.found.Losses = append(c.found.Losses, losses(way, res)...)
	return fmt.Sprintf("%s: %s", result.Status, result.Detail), nil
}

// outcome applies the stream's policy, as its nightly does.
func (c *check) outcome(way string, res upgradetest.Result) (streams.Result, error) {
	data, err := json.Marshal(res)
	if err != nil {
		return streams.Result{}, err
	}
	var u streams.Upgrade
	if err := json.Unmarshal(data, &u); err != nil {
		return streams.Result{}, err
	}
	return streams.EvaluateUpgrade(way, c.Policy, u), nil
}
