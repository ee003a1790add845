package streams

import (
	"fmt"
	"slices"
	"time"

	"github.com/slipway-release/slipway/release"
)

// Held is a payload as retention looks at it.
type Held struct {
	Version release.Version
	Digest  string
	Time    time.Time // of the cut
	Phase   Phase
	Pinned  string // why, or empty
	// Referred names the channels and edges that refer to it.
	Referred []string
}

// Retained is what becomes of a payload, and why.
type Retained struct {
	Version release.Version `json:"version"`
	Digest  string          `json:"digest,omitempty"`
	Delete  bool            `json:"delete"`
	Reason  string          `json:"reason"`
}

// Retain says which payloads of a stream are deleted, the newest first. Kept, whatever is
// declared, are those that are unfinished, pinned or referred to by a channel, the newest
// accepted one, and those whose digest is that of one that is kept.
func Retain(now time.Time, r Retention, all []Held) []Retained {
	sorted := slices.Clone(all)
	slices.SortStableFunc(sorted, func(a, b Held) int { return b.Time.Compare(a.Time) })
	out := make([]Retained, len(sorted))
	kept := map[string]release.Version{}
	accepted, others := 0, 0
	for i, h := range sorted {
		count, limit := &others, r.Others
		if h.Phase == PhaseAccepted {
			count, limit = &accepted, max(r.Accepted, 1)
		}
		declared := r.Age > 0 || (h.Phase == PhaseAccepted && r.Accepted > 0) || (h.Phase != PhaseAccepted && r.Others > 0)
		out[i] = Retained{Version: h.Version, Digest: h.Digest}
		if reason := keep(now, r, h, *count, limit, declared); reason != "" {
			out[i].Reason = reason
			kept[h.Digest] = h.Version
		} else {
			out[i].Delete = true
			out[i].Reason = fmt.Sprintf("it is %s, %d newer ones are kept, and it is %s old", h.Phase, *count, now.Sub(h.Time).Truncate(time.Second))
		}
		if h.Phase.Final() {
			*count++
		}
	}
	for i := range out {
		if v, same := kept[out[i].Digest]; out[i].Delete && same && out[i].Digest != "" {
			out[i].Delete, out[i].Reason = false, fmt.Sprintf("it is the same image as %s", v)
		}
	}
	return out
}

// keep says why a payload stays, or nothing.
func keep(now time.Time, r Retention, h Held, newer, limit int, declared bool) string {
	switch {
	case !h.Phase.Final():
		return "it has no verdict yet"
	case h.Pinned != "":
		return "it is pinned: " + h.Pinned
	case len(h.Referred) > 0:
		return fmt.Sprintf("%s refers to it", h.Referred[0])
	case newer < limit:
		return fmt.Sprintf("it is among the newest %d that are %s", limit, h.Phase)
	case !declared:
		return "no retention is declared"
	case now.Sub(h.Time) < r.Age:
		return fmt.Sprintf("it is younger than %s", r.Age)
	}
	return ""
}
