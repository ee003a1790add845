package channels

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/slipway-release/slipway/release"
)

const (
	apiVersion = "slipway.dev/v1alpha1"
	kind       = "Channel"
)

// namePattern is what update clients may ask for, and a valid tag at the same time.
var namePattern = regexp.MustCompile(`^[0-9a-z][0-9a-z.-]{0,127}$`)

// archPattern is what update clients may ask for.
var archPattern = regexp.MustCompile(`^[0-9a-z]+$`)

// State is the content of one channel.
type State struct {
	Name     string    `json:"name"`
	Updated  time.Time `json:"updated"`  // whole seconds
	Versions []Version `json:"versions"` // ascending by semver
	Edges    []Edge    `json:"edges"`    // ascending by from and to
	// Rollouts open versions to clusters little by little, ascending by version.
	Rollouts []Rollout `json:"rollouts,omitempty"`
	// Removed are versions that left, ascending by version and time. One may be back.
	Removed []Removed `json:"removed,omitempty"`
}

// Version is one release in a channel.
type Version struct {
	Version release.Version `json:"version"`
	// PullSpec names the payload by digest.
	PullSpec string    `json:"pullSpec"`
	Added    time.Time `json:"added"`
	// Metadata is passed on to clusters, e.g. "url".
	Metadata map[string]string `json:"metadata,omitempty"`
	// Architectures are those of the payload, which is a manifest list when there are
	// several. None: that of the distribution.
	Architectures []string `json:"architectures,omitempty"`
	// Previous are versions that the payload says may upgrade to it, tested or not.
	Previous []release.Version `json:"previous,omitempty"`
}

// Edge is an upgrade that was tried.
type Edge struct {
	From release.Version `json:"from"`
	To   release.Version `json:"to"`
	// Evidence is the digest of the attestation that proves it.
	Evidence string `json:"evidence,omitempty"`
	// More are digests of attestations of other trials that passed as well, as far as
	// several are demanded.
	More []string `json:"more,omitempty"`
	// Failed says that the trial was no success: the edge is not offered.
	Failed bool `json:"failed,omitempty"`
	// Added is zero in channels that were written before it was noted.
	Added time.Time `json:"added,omitzero"`
}

// Passes is how many trials of the upgrade are known to have passed.
func (e Edge) Passes() int {
	if e.Failed {
		return 0
	}
	return 1 + len(e.More)
}

// Rollout opens the edges to a version to a growing share of clusters: none before
// Start, all from Start plus Duration on, and no more than at Halted once it was halted.
type Rollout struct {
	Version  release.Version `json:"version"`
	Start    time.Time       `json:"start"`
	Duration string          `json:"duration"` // as time.ParseDuration reads it
	Halted   *time.Time      `json:"halted,omitempty"`
}

type stateJSON struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	State
}

// ParseState reads a channel and checks it: an unknown field, a version without
// a pull spec by digest or one that occurs twice is an error.
func ParseState(data []byte) (State, error) {
	var raw stateJSON
	dec := json.NewDecoder(strings.NewReader(string(data)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&raw); err != nil {
		return State{}, fmt.Errorf("parsing channel: %w", err)
	}
	if dec.More() {
		return State{}, errors.New("parsing channel: something stands behind its end")
	}
	if raw.APIVersion != apiVersion || raw.Kind != kind {
		return State{}, fmt.Errorf("parsing channel: it is %s in %s, expected %s in %s", raw.Kind, raw.APIVersion, kind, apiVersion)
	}
	s := raw.State
	s.Updated = s.Updated.UTC()
	if err := s.validate(); err != nil {
		return State{}, fmt.Errorf("parsing channel %q: %w", s.Name, err)
	}
	return s.sorted(), nil
}

// Marshal writes the channel. The same content always gives the same bytes.
func (s State) Marshal() ([]byte, error) {
	if err := s.validate(); err != nil {
		return nil, fmt.Errorf("writing channel %q: %w", s.Name, err)
	}
	s = s.sorted()
	s.Updated = s.Updated.UTC().Truncate(time.Second)
	data, err := json.Marshal(stateJSON{APIVersion: apiVersion, Kind: kind, State: s})
	if err != nil {
		return nil, fmt.Errorf("writing channel %q: %w", s.Name, err)
	}
	return data, nil
}

func (s State) validate() error {
	var problems []error
	if !namePattern.MatchString(s.Name) {
		problems = append(problems, fmt.Errorf("%q is not the name of a channel: lower case letters, digits, dots and dashes", s.Name))
	}
	seen := map[release.Version]bool{}
	for _, v := range s.Versions {
		if v.Version.IsZero() {
			problems = append(problems, errors.New("a version has no name"))
			continue
		}
		if seen[v.Version] {
			problems = append(problems, fmt.Errorf("version %q stands there twice", v.Version))
		}
		seen[v.Version] = true
		problems = append(problems, checkPullSpec(v)...)
		for i, a := range v.Architectures {
			if !archPattern.MatchString(a) || a == release.ArchitectureMulti || slices.Contains(v.Architectures[:i], a) {
				problems = append(problems, fmt.Errorf("version %q: its architectures are %q, expected each once, such as amd64", v.Version, v.Architectures))
				break
			}
		}
	}
	problems = append(problems, s.sorted().checkRemoved()...)
	edges := map[[2]release.Version]bool{}
	for _, e := range s.Edges {
		if e.From.IsZero() || e.To.IsZero() || e.From == e.To {
			problems = append(problems, fmt.Errorf("the edge from %q to %q does not join two versions", e.From, e.To))
		}
		if e.Failed && len(e.More) > 0 {
			problems = append(problems, fmt.Errorf("the edge from %q to %q failed and has more evidence that it passed", e.From, e.To))
		}
		if all := slices.Sorted(slices.Values(append([]string{e.Evidence}, e.More...))); len(slices.Compact(all)) != e.Passes() && !e.Failed {
			problems = append(problems, fmt.Errorf("the edge from %q to %q names evidence twice", e.From, e.To))
		}
		if edges[[2]release.Version{e.From, e.To}] {
			problems = append(problems, fmt.Errorf("the edge from %q to %q stands there twice", e.From, e.To))
		}
		edges[[2]release.Version{e.From, e.To}] = true
	}
	for _, r := range s.Rollouts {
		if d, err := time.ParseDuration(r.Duration); err != nil || d < 0 || r.Version.IsZero() {
			problems = append(problems, fmt.Errorf("the rollout of version %q has duration %q, expected one such as 24h", r.Version, r.Duration))
		}
	}
	if len(problems) == 0 && s.cyclic() {
		problems = append(problems, errors.New("its edges form a circle"))
	}
	return errors.Join(problems...)
}

func checkPullSpec(v Version) []error {
	if _, err := name.NewDigest(v.PullSpec); err != nil {
		return []error{fmt.Errorf("version %q: pull spec %q is not by digest", v.Version, v.PullSpec)}
	}
	return nil
}

// cyclic removes versions without incoming edges until none is left to remove.
func (s State) cyclic() bool {
	incoming := map[release.Version]int{}
	out := map[release.Version][]release.Version{}
	for _, e := range s.Edges {
		incoming[e.From] += 0
		incoming[e.To]++
		out[e.From] = append(out[e.From], e.To)
	}
	var free []release.Version
	for v, n := range incoming {
		if n == 0 {
			free = append(free, v)
		}
	}
	removed := 0
	for ; len(free) > 0; removed++ {
		v := free[len(free)-1]
		free = free[:len(free)-1]
		for _, to := range out[v] {
			if incoming[to]--; incoming[to] == 0 {
				free = append(free, to)
			}
		}
	}
	return removed < len(incoming)
}

func (s State) sorted() State {
	s.Versions = append([]Version{}, s.Versions...) // never nil, which JSON would tell apart
	s.Edges = append([]Edge{}, s.Edges...)
	s.Rollouts, s.Removed = slices.Clone(s.Rollouts), slices.Clone(s.Removed)
	slices.SortFunc(s.Versions, func(a, b Version) int { return a.Version.Compare(b.Version) })
	slices.SortFunc(s.Edges, func(a, b Edge) int {
		return cmp.Or(a.From.Compare(b.From), a.To.Compare(b.To))
	})
	slices.SortFunc(s.Rollouts, func(a, b Rollout) int { return a.Version.Compare(b.Version) })
	slices.SortStableFunc(s.Removed, func(a, b Removed) int {
		return cmp.Or(a.Version.Version.Compare(b.Version.Version), a.Removed.Compare(b.Removed))
	})
	return s
}

// Find returns a version of the channel.
func (s State) Find(v release.Version) (Version, bool) {
	for _, have := range s.Versions {
		if have.Version == v {
			return have, true
		}
	}
	return Version{}, false
}
