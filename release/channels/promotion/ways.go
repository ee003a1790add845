package promotion

import "maps"

// ways says which versions of one channel have a way to its head, over edges between
// versions that the channel holds. It is kept up as versions are added, each edge being
// looked at a few times in all.
//
// The head of a channel with a minor of its own is the newest version of that minor. A
// channel without one has a head for every minor, and leaving for a later minor whose
// head can be reached is a way as well.
type ways struct {
	*catalog
	*edges
	own    minor
	hasOwn bool
	holds  []bool // by number of the version without architecture, as all here
	has    []bool // a way to a head
	heads  map[minor]int32
}

func newWays(c *catalog, e *edges, own minor, hasOwn bool) *ways {
	return &ways{catalog: c, edges: e, own: own, hasOwn: hasOwn,
		holds: make([]bool, len(c.all)), has: make([]bool, len(c.all)), heads: map[minor]int32{}}
}

func (w *ways) clone() *ways {
	c := *w
	c.holds = append([]bool{}, w.holds...)
	c.has = append([]bool{}, w.has...)
	c.heads = maps.Clone(w.heads)
	return &c
}

// lane is the minor whose head a version must have a way to.
func (w *ways) lane(v int32) minor {
	if m := w.all[v].minor; !w.hasOwn || m.compare(w.own) > 0 {
		return m
	}
	return w.own
}

// older says whether a version is of a minor before the channel's own, and so never its head.
func (w *ways) older(v int32) bool { return w.hasOwn && w.all[v].minor.compare(w.own) < 0 }

// start takes what the channel holds, in which some versions may have no way.
func (w *ways) start(members []int32) {
	for _, v := range members {
		w.holds[v] = true
		if head, ok := w.heads[w.lane(v)]; !w.older(v) && (!ok || head < v) {
			w.heads[w.lane(v)] = v
		}
	}
	for _, head := range w.heads {
		w.reach(head)
	}
}

// reach notes that a version has a way, and so all have it that lead there.
func (w *ways) reach(v int32) {
	w.has[v] = true
	for next := []int32{v}; len(next) > 0; {
		at := next[len(next)-1]
		next = next[:len(next)-1]
		for _, h := range w.in[at] {
			if w.holds[h.to] && !w.has[h.to] && w.counts(h.to, at) {
				w.has[h.to] = true
				next = append(next, h.to)
			}
		}
	}
}

// replaces returns the head that a version would take the place of, if it would become
// the head and there is one.
func (w *ways) replaces(v int32) (head int32, newHead bool) {
	head, ok := w.heads[w.lane(v)]
	if !ok {
		head = -1
	}
	return head, !w.older(v) && head < v
}

// add takes a version in, unless it, or one that the channel holds, would have no way then.
// Whoever has a way to a head has one to its successor if the head itself does.
func (w *ways) add(v int32) bool {
	if w.holds[v] {
		return true
	}
	head, newHead := w.replaces(v)
	switch {
	case newHead && head >= 0 && !w.follows(head, v):
		return false
	case newHead:
		w.heads[w.lane(v)] = v
	case !w.leaves(v):
		return false
	}
	w.holds[v] = true
	w.reach(v)
	return true
}

// follows says whether a head has a way to the version that would replace it, or to a
// later minor. Edges to older versions are none.
func (w *ways) follows(head, v int32) bool {
	for _, h := range w.out[head] {
		if h.to == v || w.has[h.to] && w.lane(h.to).compare(w.lane(head)) > 0 {
			return true
		}
	}
	return false
}

func (w *ways) leaves(v int32) bool {
	for _, h := range w.out[v] {
		if w.has[h.to] && w.counts(v, h.to) {
			return true
		}
	}
	return false
}

// counts says whether an edge to a version that has a way is one. Versions of older minors
// must not leave the channel's own out.
func (w *ways) counts(from, to int32) bool {
	later := w.lane(to).compare(w.lane(from))
	return later == 0 || later > 0 && !w.older(from)
}

// toOwn says which versions have an edge to a version of the channel's own minor that it
// holds, or to one that it holds and that has such a way.
func (w *ways) toOwn() []bool {
	can := make([]bool, len(w.all))
	var next []int32
	for v, held := range w.holds {
		if held && w.all[v].minor == w.own {
			next = append(next, int32(v))
		}
	}
	for len(next) > 0 {
		at := next[len(next)-1]
		next = next[:len(next)-1]
		for _, h := range w.in[at] {
			if can[h.to] {
				continue
			}
			can[h.to] = true
			if w.holds[h.to] && w.older(h.to) {
				next = append(next, h.to)
			}
		}
	}
	return can
}
