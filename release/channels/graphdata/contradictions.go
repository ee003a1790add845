package graphdata

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// both are the known VERSION+ARCH that two blocks' patterns are found in.
func (k *knowledge) both(a, b *Block) []string {
	return intersection(k.sources(a.pattern), k.sources(b.pattern))
}

// holding is a file that blocks edges, or gives them a risk.
type holding struct {
	source
	risk bool
	from []string // known VERSION+ARCH that the edges come from
}

// holdings are those of each version, without architecture: an edge stays within one, so
// that a block of VERSION+ARCH comes from that one only.
func (k *knowledge) holdings() map[string][]*holding {
	all := map[string][]*holding{}
	for i := range k.Blocks {
		b := &k.Blocks[i]
		to, arch, only := strings.Cut(b.To, "+")
		h := &holding{b.source, b.Conditional(), k.sources(b.pattern)}
		if only {
			h.from = slices.DeleteFunc(slices.Clone(h.from), func(v string) bool { return !strings.HasSuffix(v, "+"+arch) })
		}
		all[to] = append(all[to], h)
	}
	for i := range k.Risks {
		r := &k.Risks[i]
		h := &holding{source: r.source, risk: !r.Block}
		for _, v := range k.parsed {
			for _, arch := range architectures {
				if r.comesFrom(v, arch) {
					h.from = append(h.from, v.name+"+"+arch)
				}
			}
		}
		for _, v := range k.parsed {
			if r.holds(v.semver) {
				all[v.name] = append(all[v.name], h)
			}
		}
	}
	return all
}

// contradictions reports files whose risk has no effect, because another file blocks the
// same edge for everybody; each pair of files once.
func (k *knowledge) contradictions(report func(source, string, string)) {
	seen := map[[2]string]bool{}
	holdings := k.holdings()
	for _, to := range slices.SortedFunc(maps.Keys(holdings), compareVersions) {
		for _, risk := range holdings[to] {
			for _, block := range holdings[to] {
				pair := [2]string{risk.file, block.file}
				if !risk.risk || block.risk || seen[pair] {
					continue
				}
				seen[pair] = true
				if from := intersection(risk.from, block.from); len(from) > 0 {
					report(risk.source, "from", fmt.Sprintf("the edge from %s to %s bears this risk, and %s blocks it; it is not offered", from[0], to, block.file))
				}
			}
		}
	}
}

func intersection(a, b []string) []string {
	in := make(map[string]bool, len(a))
	for _, v := range a {
		in[v] = true
	}
	var both []string
	for _, v := range b {
		if in[v] {
			both = append(both, v)
		}
	}
	return both
}
