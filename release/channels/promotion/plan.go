package promotion

import (
	"cmp"
	"slices"
	"time"
)

// Rules by which a release is held.
const (
	RuleDelay           = "delay"            // not long enough in the feeder
	RuleApproval        = "approval"         // not approved by enough people
	RuleFilter          = "filter"           // the feeder's filter or range does not choose it
	RuleTombstone       = "tombstone"        // the feeder's tombstones say that it goes no further
	RulePathOut         = "path-out"         // of an older minor, without a way to the channel's own
	RuleStrand          = "strand"           // clusters on it, or on others, would have no way to the head
	RuleRiskExtension   = "risk-extension"   // a risk of the patch before it is not declared for it
	RuleEvidenceMissing = "evidence-missing" // a check that is required did not pass
	RuleEvidenceStale   = "evidence-stale"   // its evidence is too old
	RuleUnknownAge      = "unknown-age"      // nobody knows since when the feeder has it
	RuleContradiction   = "contradiction"    // its version names several payloads
)

// Rules by which people are warned of what channels hold already.
const (
	WarnPatch         = "patch-connectivity" // no update to a newer patch without risks
	WarnStranded      = "stranded"           // no way to the head, before the plan already
	WarnTombstoned    = "tombstoned"         // it was let in before the feeder's tombstone
	WarnOutsideFilter = "outside-filter"     // it was let in before the filter was narrowed
	WarnRemoved       = "removed"            // it leaves the channel
	WarnNotInFeeder   = "not-in-feeder"      // the feeder does not hold it
)

// Plan is what should be done, and why nothing more. Its lists are in order of the
// channels' names, versions and rules.
type Plan struct {
	Additions []Addition `json:"additions"`
	Removals  []Removal  `json:"removals,omitempty"`
	Held      []Held     `json:"held"`
	Warnings  []Warning  `json:"warnings"`
}

// Addition is a release that enters a channel.
type Addition struct {
	Channel string  `json:"channel"`
	Version string  `json:"version"`
	Because Because `json:"because"`
	// Rollout is nil where the release opens to all clusters at once.
	Rollout *Rollout `json:"rollout,omitempty"`

	turn  int // place among those of the channel: it may need those before it
	depth int // how many feeders the channel has behind it
}

// Rollout opens a release in its channel to a growing share of clusters.
type Rollout struct {
	Start    time.Time `json:"start"`
	Duration string    `json:"duration"` // as time.ParseDuration reads it
}

// Because is what let a release in.
type Because struct {
	Feeder string `json:"feeder"`
	// Since is when it entered the feeder: zero when unknown, the plan's time when it
	// does so with this plan.
	Since time.Time `json:"since,omitzero"`
	// Approvals are those that count, by time.
	Approvals []Approval `json:"approvals,omitempty"`
}

// Held is a release that does not enter a channel, or does not leave it, and one of the rules that hold it.
type Held struct {
	Channel string `json:"channel"`
	Version string `json:"version"`
	Rule    string `json:"rule"`
	// Detail is a sentence for people.
	Detail string `json:"detail"`
	// Until is when the rule lets it go, if time alone does that; else zero.
	Until time.Time `json:"until,omitzero"`
}

// Warning is something wrong with a version that a channel holds.
type Warning struct {
	Channel string `json:"channel"`
	Version string `json:"version"`
	Rule    string `json:"rule"`
	// Detail is a sentence for people.
	Detail string `json:"detail"`
}

// ChangeSet is all that a plan does with one release.
type ChangeSet struct {
	Version string `json:"version"`
	// Additions are to channels in an order in which a feeder comes before what it feeds.
	Additions []Addition `json:"additions"`
}

// ChangeSets groups a plan's additions by release. Carried out in this order, no version
// is left without a way to its channel's head between two of them, as far as
// channels do not demand opposite orders.
func (p Plan) ChangeSets() []ChangeSet {
	place := map[string]int{} // of a version among the sets
	var sets []ChangeSet
	turns := map[string][]Addition{}
	for _, a := range p.Additions {
		at, ok := place[a.Version]
		if !ok {
			at = len(sets)
			place[a.Version] = at
			sets = append(sets, ChangeSet{Version: a.Version})
		}
		sets[at].Additions = append(sets[at].Additions, a)
		turns[a.Channel] = append(turns[a.Channel], a)
	}
	after := make([]map[int]bool, len(sets)) // sets that come later
	waits := make([]int, len(sets))
	for _, in := range turns {
		slices.SortFunc(in, func(a, b Addition) int { return cmp.Compare(a.turn, b.turn) })
		for i := 1; i < len(in); i++ {
			from, to := place[in[i-1].Version], place[in[i].Version]
			if after[from] == nil {
				after[from] = map[int]bool{}
			}
			if !after[from][to] {
				after[from][to] = true
				waits[to]++
			}
		}
	}
	return inTurn(sets, after, waits)
}

// inTurn takes the sets that wait for nothing first, and where a circle leaves none,
// the one that waits for fewest.
func inTurn(sets []ChangeSet, after []map[int]bool, waits []int) []ChangeSet {
	left := make([]int, len(sets))
	for i := range left {
		left[i] = i
	}
	// The sets stand in the order of their first channel, which says nothing.
	slices.SortFunc(left, func(a, b int) int { return compareVersions(sets[a].Version, sets[b].Version) })
	ordered := make([]ChangeSet, 0, len(sets))
	for len(left) > 0 {
		at := 0
		for i, set := range left {
			if waits[set] < waits[left[at]] {
				at = i
			}
		}
		next := left[at]
		left = slices.Delete(left, at, at+1)
		for later := range after[next] {
			waits[later]--
		}
		slices.SortStableFunc(sets[next].Additions, func(a, b Addition) int { return cmp.Compare(a.depth, b.depth) })
		ordered = append(ordered, sets[next])
	}
	return ordered
}
