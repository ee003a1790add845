package updates

import (
	"container/list"
	"slices"
	"sync"
	"time"

	"github.com/slipway-release/slipway/release/channels/graph"
)

// mask has a bit for every gate that is closed to a cluster.
type mask uint8

// maxGates bounds how many versions of a channel open independently of each other, and
// with them how many different answers there can be: 2^7 at most.
const maxGates = 7

// gate is what must be open before a cluster is offered the edges to some versions.
type gate struct {
	places   map[int32]bool
	rollouts []graph.Rollout
}

// gatesOf are the gates of a channel, that of channels together: one for each version
// that is not open to every cluster for good. Where there are too many, the last are
// one, which opens when all of them would.
func gatesOf(rollouts []graph.Rollout, channels []string, x *graph.Index, now time.Time) []gate {
	var gates []gate
	for _, r := range rollouts {
		place, known := x.Places[r.Version]
		if !known || r.Channel != "" && !slices.Contains(channels, r.Channel) || r.Share(now) >= 1 {
			continue
		}
		at := slices.IndexFunc(gates, func(g gate) bool { return g.places[place] })
		if at < 0 && len(gates) == maxGates {
			at = maxGates - 1
		}
		if at < 0 {
			gates = append(gates, gate{map[int32]bool{}, nil})
			at = len(gates) - 1
		}
		gates[at].places[place] = true
		gates[at].rollouts = append(gates[at].rollouts, r)
	}
	return gates
}

// closedTo says which gates are closed to a cluster at a time.
func closedTo(gates []gate, cluster string, now time.Time) mask {
	var closed mask
	for i, g := range gates {
		if slices.ContainsFunc(g.rollouts, func(r graph.Rollout) bool { return !r.Open(cluster, now) }) {
			closed |= 1 << i
		}
	}
	return closed
}

// variant names an answer that is not the whole channel's. It does not name the
// cluster: all clusters that the same rollouts are open to get the same bytes.
type variant struct {
	channel *channel
	closed  mask
	narrow  bool
	version string
}

func (k variant) make() (*body, error) {
	hidden := map[int32]bool{}
	for i, g := range k.channel.gates {
		if k.closed&(1<<i) != 0 {
			for place := range g.places {
				hidden[place] = true
			}
		}
	}
	v := k.channel.view.Without(hidden)
	if k.narrow {
		v = v.From(k.version)
	}
	data, err := v.Cut().Encode()
	if err != nil {
		return nil, err
	}
	return newBody(data, nil), nil
}

// maxVariants bounds what is kept of variants, in bytes.
const maxVariants = 64 << 20

// variants keeps those asked for last.
type variants struct {
	mu    sync.Mutex
	used  int
	order *list.List // of *kept, the one asked for last in front
	known map[variant]*list.Element
}

type kept struct {
	key  variant
	body *body
	size int
}

func newVariants() *variants {
	return &variants{order: list.New(), known: map[variant]*list.Element{}}
}

// get returns a variant, and makes it where it is not kept. Two that ask at once may
// both make it, and get the same bytes.
func (v *variants) get(key variant) (*body, error) {
	if b := v.find(key); b != nil {
		return b, nil
	}
	b, err := key.make()
	if err != nil {
		return nil, err
	}
	v.keep(key, b)
	return b, nil
}

func (v *variants) find(key variant) *body {
	v.mu.Lock()
	defer v.mu.Unlock()
	at := v.known[key]
	if at == nil {
		return nil
	}
	v.order.MoveToFront(at)
	return at.Value.(*kept).body
}

func (v *variants) keep(key variant, b *body) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.known[key] != nil {
		return
	}
	k := &kept{key, b, len(b.plain.data) + len(b.packed.data) + 512}
	v.known[key] = v.order.PushFront(k)
	for v.used += k.size; v.used > maxVariants; {
		oldest := v.order.Remove(v.order.Back()).(*kept)
		delete(v.known, oldest.key)
		v.used -= oldest.size
	}
}
