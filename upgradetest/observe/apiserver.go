package observe

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"k8s.io/client-go/rest"

	"github.com/slipway-release/slipway/upgradetest"
)

// Each API server is asked four times a second whether it is ready: often enough to
// see it say that it shuts down, on one connection that costs nearly nothing.
const (
	readyEvery = 250 * time.Millisecond
	// A server that takes longer than a second is slow and not away.
	readyTimeout = upgradetest.DefaultTimeout
)

func (o *Observer) apiServers(ctx context.Context, config *rest.Config, addresses []string) {
	target, err := upgradetest.APIServerTarget(config)
	if err != nil {
		o.sink.Skip("API servers: " + err.Error())
		return
	}
	for _, address := range addresses {
		target.URL = (&url.URL{Scheme: "https", Host: address, Path: "/readyz"}).String()
		target.ReadyzShutdown = true
		prober, err := upgradetest.HTTP(upgradetest.Reused, target)
		if err != nil {
			o.sink.Skip(fmt.Sprintf("API server %s: %v", address, err))
			continue
		}
		o.users.Go(func() { o.ready(ctx, address, prober) })
	}
}

func (o *Observer) ready(ctx context.Context, address string, prober upgradetest.Prober) {
	defer prober.Close()
	ticker := time.NewTicker(readyEvery)
	defer ticker.Stop()
	object, last, seen := address, "", false
	for {
		asked := time.Now()
		state, server, detail := ask(ctx, prober)
		if server != "" {
			object = server
		}
		seen = seen || server != ""
		if state != last && ctx.Err() == nil {
			if !seen {
				o.sink.Skip(fmt.Sprintf("API server %s: it cannot be reached from here: %s", address, detail))
				return
			}
			// The change lies before the answer.
			o.sink.Event(upgradetest.Event{At: asked, Lane: upgradetest.LaneAPIServer, Object: object, State: state, Detail: detail})
			last = state
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// ask names the state of a server as the lane of API servers has it.
func ask(ctx context.Context, prober upgradetest.Prober) (state, server, detail string) {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	p := upgradetest.Probe{Begin: time.Now()}
	prober.Probe(ctx, &p)
	switch {
	case p.Class == upgradetest.OK:
		return "ready", p.Server, ""
	case p.Leaving:
		return "terminating", p.Server, "/readyz says that it shuts down"
	case p.Status != 0:
		return "not-ready", p.Server, p.Detail
	}
	return "down", p.Server, p.Class.String() + ", " + p.Detail
}
