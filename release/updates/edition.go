package updates

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/slipway-release/slipway/internal/clock"
	"github.com/slipway-release/slipway/release/channels/graph"
)

// Edition is every answer to be had from one snapshot. Any number of requests read it
// at once; it never changes, except that answers which nobody asked for yet are made
// when somebody does.
type Edition struct {
	snapshot *graph.Snapshot
	channels map[string]map[string]*channel // by architecture and name
	empty    *channel
	variants *variants
	// gentle says that another edition is served while this one is made.
	gentle bool
}

// channel is one channel of one architecture.
type channel struct {
	arch, name string
	view       graph.View
	gates      []gate
	// alias is a channel that nobody declared: OKD's clusters ask for "stable-4" and mean
	// every stable version 4.
	alias bool

	made   atomic.Pointer[body]
	making sync.Mutex
	// before is the answer of the edition before, until this one is made.
	before *body
}

// NewEdition indexes a snapshot. before may be nil; what it has compressed is not
// compressed again. It is quick: the answers are made by Warm or when asked for.
func NewEdition(s *graph.Snapshot, before *Edition, now time.Time) (*Edition, error) {
	e := &Edition{snapshot: s, channels: map[string]map[string]*channel{}, variants: newVariants(), gentle: before != nil}
	none := graph.NewIndex(&graph.Graph{})
	e.empty = &channel{view: graph.View{Index: none}}
	for arch, g := range s.Graphs {
		if err := g.Check(); err != nil {
			return nil, fmt.Errorf("reading the update graph of architecture %q: %w", arch, err)
		}
		x := graph.NewIndex(g)
		all := map[string]*channel{}
		for _, name := range g.Channels() {
			v := x.Select(func(n graph.Node) bool { return slices.Contains(n.Channels, name) })
			all[name] = &channel{arch: arch, name: name, view: v, gates: gatesOf(s.Rollouts, []string{name}, x, now)}
		}
		addAliases(all, x, arch, s.Rollouts, now)
		e.channels[arch] = all
		e.reuse(before, arch)
	}
	return e, nil
}

// reuse hands the answers of the edition before to the channels that bear their names.
func (e *Edition) reuse(before *Edition, arch string) {
	if before == nil {
		return
	}
	for name, c := range e.channels[arch] {
		if old := before.channels[arch][name]; old != nil {
			c.before = old.made.Load()
		}
	}
}

// ID is that of the snapshot.
func (e *Edition) ID() string { return e.snapshot.ID }

// Snapshot is what the edition was made from. It must not be changed.
func (e *Edition) Snapshot() *graph.Snapshot { return e.snapshot }

// find returns a channel; one that there is not is empty, as the protocol demands.
func (e *Edition) find(arch, name string) *channel {
	if c := e.channels[arch][name]; c != nil {
		return c
	}
	return e.empty
}

// whole is the answer of a channel in which every rollout is open.
func (c *channel) whole() (*body, error) {
	if b := c.made.Load(); b != nil {
		return b, nil
	}
	c.making.Lock()
	defer c.making.Unlock()
	if b := c.made.Load(); b != nil {
		return b, nil
	}
	data, err := c.view.Cut().Encode()
	if err != nil {
		return nil, err
	}
	b := newBody(data, c.before)
	c.made.Store(b)
	c.before = nil
	return b, nil
}

// answer is the one for a client. Most are those made beforehand; only where a rollout
// has not opened to every cluster, or one hop is asked for, there are several.
func (e *Edition) answer(p *parameters, now func() time.Time) (*body, error) {
	c := e.find(p.arch, p.channel)
	var closed mask
	if len(c.gates) > 0 {
		closed = closedTo(c.gates, p.id, now())
	}
	if closed == 0 && !p.narrow {
		return c.whole()
	}
	key := variant{channel: c, closed: closed}
	if p.narrow {
		key.narrow = true
		if _, ok := c.view.Places[p.version]; ok {
			key.version = p.version // all unknown versions share an answer
		}
	}
	return e.variants.get(key)
}

// Warm makes the answers of all channels, so that no client waits for one. Where another
// edition is served meanwhile, it leaves half of the time to that.
func (e *Edition) Warm(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(1, runtime.GOMAXPROCS(0)/2))
	for _, all := range e.channels {
		for _, c := range all {
			if c.alias {
				continue
			}
			group.Go(func() error {
				start := time.Now()
				if _, err := c.whole(); err != nil || !e.gentle {
					return errors.Join(err, ctx.Err())
				}
				return clock.Sleep(ctx, time.Since(start))
			})
		}
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("making the answers of the update graph: %w", err)
	}
	_, err := e.empty.whole()
	return err
}

// Size is how much is offered in a channel.
type Size struct {
	Arch, Channel             string
	Nodes, Edges, Conditional int
}

// Sizes says how large each declared channel is, by architecture and name.
func (e *Edition) Sizes() []Size {
	var sizes []Size
	for _, all := range e.channels {
		for _, c := range all {
			if !c.alias {
				sizes = append(sizes, c.size())
			}
		}
	}
	slices.SortFunc(sizes, func(a, b Size) int {
		return slices.Compare([]string{a.Arch, a.Channel}, []string{b.Arch, b.Channel})
	})
	return sizes
}

func (c *channel) size() Size {
	s := Size{Arch: c.arch, Channel: c.name}
	for _, shown := range c.view.Node {
		if shown {
			s.Nodes++
		}
	}
	for _, e := range c.view.Graph.Edges {
		if c.view.Shows(int32(e[0]), int32(e[1])) {
			s.Edges++
		}
	}
	c.view.Each(func(_, _ int32) { s.Conditional++ })
	s.Conditional -= s.Edges
	return s
}
