package channels_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/release/channels"
)

var errDead = errors.New("this process was killed")

// mortal is a registry whose user dies at a write: before it or, with late, after it.
type mortal struct {
	channels.Registry
	writesLeft int
	late, dead bool
}

func (m *mortal) write(do func() error) error {
	if m.dead {
		return errDead
	}
	if m.writesLeft--; m.writesLeft >= 0 {
		return do()
	}
	m.dead = true
	if m.late {
		_ = do() // nobody learns of it
	}
	return errDead
}

func (m *mortal) Push(ctx context.Context, ref string, img v1.Image) (digest v1.Hash, err error) {
	err = m.write(func() error { digest, err = m.Registry.Push(ctx, ref, img); return err })
	return digest, err
}

func (m *mortal) Tag(ctx context.Context, ref, tag string) error {
	return m.write(func() error { return m.Registry.Tag(ctx, ref, tag) })
}

func (m *mortal) Resolve(ctx context.Context, ref string) (v1.Hash, error) {
	if m.dead {
		return v1.Hash{}, errDead
	}
	return m.Registry.Resolve(ctx, ref)
}

// memory is a registry for the many that are written to once.
type memory struct {
	images map[v1.Hash]v1.Image
	tags   map[string]v1.Hash
}

func (m *memory) Resolve(_ context.Context, ref string) (v1.Hash, error) {
	if _, digest, ok := strings.Cut(ref, "@"); ok {
		return v1.NewHash(digest)
	}
	if digest, ok := m.tags[ref]; ok {
		return digest, nil
	}
	return v1.Hash{}, fmt.Errorf("%s: %w", ref, oci.ErrNotFound)
}

func (m *memory) Image(ctx context.Context, ref string) (v1.Image, error) {
	digest, err := m.Resolve(ctx, ref)
	if err != nil {
		return nil, err
	}
	if img, ok := m.images[digest]; ok {
		return img, nil
	}
	return nil, fmt.Errorf("%s: %w", ref, oci.ErrNotFound)
}

func (m *memory) Push(_ context.Context, _ string, img v1.Image) (v1.Hash, error) {
	digest, err := img.Digest()
	m.images[digest] = img
	return digest, err
}

func (m *memory) Tag(ctx context.Context, ref, tag string) error {
	digest, err := m.Resolve(ctx, ref)
	if err != nil {
		return err
	}
	if m.images[digest] == nil {
		return fmt.Errorf("%s: %w", ref, oci.ErrNotFound)
	}
	repository, _, _ := strings.Cut(ref, "@")
	m.tags[repository+":"+tag] = digest
	return nil
}

func (m *memory) Tags(_ context.Context, repository string) (tags []string, err error) {
	for ref := range m.tags {
		tags = append(tags, strings.TrimPrefix(ref, repository+":"))
	}
	slices.Sort(tags)
	return tags, nil
}

// trio is a distribution with a release in candidate and two channels to move it to.
func trio(t *testing.T, s channels.Store) {
	t.Helper()
	for _, add := range []channels.Addition{addition(t, 18), addition(t, 19, 18)} {
		if _, err := s.Promote(t.Context(), "candidate", add, now); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Promote(t.Context(), "fast", addition(t, 18), now); err != nil {
		t.Fatal(err)
	}
}

func moves(day int) []channels.Move {
	all := []channels.Move{{Feeder: "candidate", Channel: "fast"}, {Feeder: "fast", Channel: "stable"}}
	if day == 19 {
		all = append(all, channels.Move{Feeder: "stable", Channel: "stable-1.36", Rollout: &channels.Rollout{Start: now, Duration: "48h"}})
	}
	return all
}

// changeSet plans the moves of a day's release from what the registry has.
func changeSet(t *testing.T, s channels.Store, day int) channels.ChangeSet {
	t.Helper()
	var read []channels.Stored
	for _, name := range []string{"candidate", "fast", "stable", "stable-1.36"} {
		stored, err := s.Read(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		read = append(read, stored)
	}
	set, err := channels.NewChangeSet(read, nightly(t, day), moves(day), now)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// holders are the channels that hold a day's release.
func holders(t *testing.T, s channels.Store, day int) string {
	t.Helper()
	all, err := s.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range all {
		v, ok := c.State.Find(nightly(t, day))
		if ok {
			names = append(names, c.State.Name)
			if v.PullSpec != pullSpec(day) {
				t.Errorf("channel %s holds %+v", c.State.Name, v)
			}
		}
	}
	return strings.Join(names, " ")
}

const everywhere = "candidate fast stable stable-1.36"

func TestApply(t *testing.T) {
	s := newStore(t)
	trio(t, s)
	set := changeSet(t, s, 19)
	if len(set.Plans) != 3 || set.Empty() {
		t.Fatalf("%d channels are planned for", len(set.Plans))
	}
	for range 2 {
		if err := s.Apply(t.Context(), set); err != nil {
			t.Fatal(err)
		}
		if got := holders(t, s, 19); got != everywhere {
			t.Errorf("got %s", got)
		}
	}
	all, err := s.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 4 {
		t.Errorf("the intent is taken for a channel: %v", all)
	}
	last := all[3].State
	if len(last.Edges) != 1 || last.Edges[0].From != nightly(t, 18) || last.Edges[0].Evidence == "" {
		t.Errorf("the edges are lost: %+v", last.Edges)
	}
	if len(last.Rollouts) != 1 || last.Rollouts[0].Version != nightly(t, 19) || last.Rollouts[0].Duration != "48h" || len(all[2].State.Rollouts) > 0 {
		t.Errorf("got rollouts %+v and %+v", last.Rollouts, all[2].State.Rollouts)
	}
	if again := changeSet(t, s, 19); !again.Empty() {
		t.Errorf("planning again changes %v", again.Plans[0].Changes)
	}
}

// Whoever is killed at whichever write, the next Apply leaves each release in all of its
// channels or in none.
func TestApplySurvivesDeathAtEveryWrite(t *testing.T) {
	deaths := 0
	for _, late := range []bool{false, true} {
		for writes := 0; ; writes++ {
			died := false
			for _, next := range []string{"the same", "planned anew", "another release", "recovered"} {
				s := channels.Store{Registry: &memory{images: map[v1.Hash]v1.Image{}, tags: map[string]v1.Hash{}}, Repository: repository}
				trio(t, s)
				m := &mortal{Registry: s.Registry, writesLeft: writes, late: late}
				set := changeSet(t, s, 19)
				err := channels.Store{Registry: m, Repository: s.Repository}.Apply(t.Context(), set)
				died = m.dead
				if died != (err != nil) || died && !errors.Is(err, errDead) {
					t.Fatalf("dead: %v, error: %v", died, err)
				}
				seen := holders(t, s, 19) != "candidate"
				switch next {
				case "the same":
					err = s.Apply(t.Context(), set)
				case "planned anew":
					if err = s.Recover(t.Context()); err == nil {
						err = s.Apply(t.Context(), changeSet(t, s, 19))
					}
				case "another release":
					// Planned before what was broken off is finished, it may have to be planned again.
					if err = s.Apply(t.Context(), changeSet(t, s, 18)); errors.Is(err, channels.ErrChanged) {
						err = s.Apply(t.Context(), changeSet(t, s, 18))
					}
					if got := holders(t, s, 18); got != "candidate fast stable" {
						t.Errorf("after %d writes the other release is in %s", writes, got)
					}
				case "recovered":
					err = s.Recover(t.Context())
				}
				if err != nil {
					t.Fatalf("after %d writes (late: %v), %s: %v", writes, late, next, err)
				}
				got := holders(t, s, 19)
				if must := next == "the same" || next == "planned anew" || seen; got != everywhere && (must || got != "candidate") {
					t.Errorf("after %d writes (late: %v), %s: the release is in %s", writes, late, next, got)
				}
				if got := holders(t, s, 18); !strings.HasPrefix(got, "candidate fast") {
					t.Errorf("after %d writes what was there is in %s only", writes, got)
				}
				quiet := &mortal{Registry: s.Registry}
				if err := (channels.Store{Registry: quiet, Repository: s.Repository}).Recover(t.Context()); err != nil {
					t.Errorf("after %d writes (late: %v), %s: something is left to do: %v", writes, late, next, err)
				}
			}
			if !died {
				break
			}
			deaths++
		}
	}
	if deaths != 20 {
		t.Errorf("the writer was killed at %d writes, expected 20: three states, the intent twice and their tags", deaths)
	}
}

func TestApplySeesConcurrentChange(t *testing.T) {
	s := newStore(t)
	trio(t, s)
	set := changeSet(t, s, 19)
	if _, err := s.Promote(t.Context(), "stable", addition(t, 17), now); err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(t.Context(), set); !errors.Is(err, channels.ErrChanged) || !strings.Contains(err.Error(), "stable") {
		t.Errorf("got %v", err)
	}
	if got := holders(t, s, 19); got != "candidate" {
		t.Errorf("the release is in %s", got)
	}
	if err := s.Apply(t.Context(), changeSet(t, s, 19)); err != nil {
		t.Fatal(err)
	}
	if a, b := holders(t, s, 19), holders(t, s, 17); a != everywhere || b != "stable" {
		t.Errorf("got %s and %s", a, b)
	}
}

// meddler does something once before a tag of that name is moved.
type meddler struct {
	channels.Registry
	tag string
	do  func()
}

func (m *meddler) Tag(ctx context.Context, ref, tag string) error {
	if do := m.do; tag == m.tag && do != nil {
		m.do = nil
		do()
	}
	return m.Registry.Tag(ctx, ref, tag)
}

// What others do between two moves is kept, and a plan made anew does the rest.
func TestApplyWhileOthersWrite(t *testing.T) {
	for _, tc := range []struct{ at, change string }{
		{"_intent", "fast"}, {"_intent", "stable-1.36"}, {"fast", "stable"}, {"fast", "stable-1.36"}, {"stable", "stable-1.36"}, {"stable-1.36", "fast"},
	} {
		t.Run(tc.at+" "+tc.change, func(t *testing.T) {
			s := newStore(t)
			trio(t, s)
			m := &meddler{Registry: s.Registry, tag: tc.at}
			m.do = func() {
				stored, err := s.Read(t.Context(), tc.change)
				if err != nil {
					t.Error(err)
				}
				plan, err := channels.NewPlan(stored, addition(t, 17), now.Add(time.Hour))
				if err != nil {
					t.Error(err)
				}
				if err := s.Execute(t.Context(), plan); err != nil {
					t.Error(err)
				}
			}
			err := channels.Store{Registry: m, Repository: repository}.Apply(t.Context(), changeSet(t, s, 19))
			if err != nil && !errors.Is(err, channels.ErrChanged) {
				t.Fatal(err)
			}
			if err := s.Recover(t.Context()); err != nil {
				t.Errorf("what cannot be finished is not settled: %v", err)
			}
			if tc.at == "_intent" {
				if got := holders(t, s, 19); err == nil || got != "candidate" {
					t.Errorf("nothing had moved yet, and the release is in %s: %v", got, err)
				}
			}
			if err := s.Apply(t.Context(), changeSet(t, s, 19)); err != nil {
				t.Fatal(err)
			}
			if a, b := holders(t, s, 19), holders(t, s, 17); a != everywhere || b != tc.change {
				t.Errorf("got %s and %s", a, b)
			}
		})
	}
}

// Two that apply at once both get their releases in, if those who are told so plan again.
func TestApplyWhileOthersApply(t *testing.T) {
	for _, at := range []string{"_intent", "fast", "stable", "stable-1.36"} {
		t.Run(at, func(t *testing.T) {
			s := newStore(t)
			trio(t, s)
			apply := func(s channels.Store, day int) {
				for range 5 {
					err := s.Apply(t.Context(), changeSet(t, s, day))
					if err == nil {
						return
					}
					if !errors.Is(err, channels.ErrChanged) {
						t.Fatal(err)
					}
				}
				t.Errorf("the release of day %d was never applied", day)
			}
			m := &meddler{Registry: s.Registry, tag: at, do: func() { apply(s, 18) }}
			apply(channels.Store{Registry: m, Repository: repository}, 19)
			apply(s, 18) // a lost move is found by the next plan
			if a, b := holders(t, s, 19), holders(t, s, 18); a != everywhere || b != "candidate fast stable" {
				t.Errorf("got %s and %s", a, b)
			}
		})
	}
}

func TestNewChangeSetRefuses(t *testing.T) {
	s := newStore(t)
	trio(t, s)
	candidate, err := s.Read(t.Context(), "candidate")
	if err != nil {
		t.Fatal(err)
	}
	other := candidate
	other.State.Name = "other"
	other.State.Versions = slices.Clone(other.State.Versions)
	other.State.Versions[1].PullSpec = pullSpec(99)
	_, err = channels.NewChangeSet([]channels.Stored{candidate, other, {State: channels.State{Name: "fast"}}}, nightly(t, 19), []channels.Move{
		{Feeder: "candidate", Channel: "fast"}, {Feeder: "candidate", Channel: "fast"},
		{Feeder: "candidate", Channel: "nowhere"}, {Feeder: "candidate", Channel: "other"},
	}, now)
	if err == nil {
		t.Fatal("nothing was wrong")
	}
	for _, want := range []string{"get it twice", `"nowhere" was not read`, "holds this version as"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in %v", want, err)
		}
	}
	if _, err := channels.NewChangeSet([]channels.Stored{candidate}, nightly(t, 17), []channels.Move{{Feeder: "candidate", Channel: "candidate"}}, now); err == nil || !strings.Contains(err.Error(), "does not hold it") {
		t.Errorf("got %v", err)
	}
}

// An intent that cannot be read stops everything, for it may be half done.
func TestRecoverRefusesWhatIsNoIntent(t *testing.T) {
	s := newStore(t)
	trio(t, s)
	set := changeSet(t, s, 19)
	img, err := s.Registry.Image(t.Context(), repository+"/channels:candidate")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Registry.Push(t.Context(), repository+"/channels:_intent", img); err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(t.Context(), set); err == nil || !strings.Contains(err.Error(), "_intent") {
		t.Errorf("got %v", err)
	}
	if got := holders(t, s, 19); got != "candidate" {
		t.Errorf("the release is in %s", got)
	}
}

// Whatever an intent says, nothing but the channels it names is touched, and those only
// from what it read to what it aims at.
func FuzzRecover(f *testing.F) {
	const hash = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
	f.Add([]byte(`{"apiVersion":"slipway.dev/v1alpha1","kind":"ChannelsIntent","version":"1.0.0","done":false,"channels":[{"name":"stable","target":"` + hash + `"}]}`))
	f.Add([]byte(`{"apiVersion":"slipway.dev/v1alpha1","kind":"ChannelsIntent","version":"1.0.0","done":false,"channels":[{"name":"candidate","read":"` + hash + `","target":"` + hash + `"}]}`))
	f.Add([]byte(`{"apiVersion":"slipway.dev/v1alpha1","kind":"ChannelsIntent","version":"1.0.0","done":true,"channels":null}`))
	f.Add([]byte(`{"apiVersion":"slipway.dev/v1alpha1","kind":"ChannelsIntent","version":"1.0.0","channels":[{"name":"_intent","target":"sha1:x"}]} {}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m := &memory{images: map[v1.Hash]v1.Image{}, tags: map[string]v1.Hash{}}
		s := channels.Store{Registry: m, Repository: repository}
		trio(t, s)
		before := maps.Clone(m.tags)
		img, err := mutate.Append(empty.Image, mutate.Addendum{Layer: static.NewLayer(data, "application/vnd.slipway.channels.intent.v1+json")})
		if err != nil {
			t.Fatal(err)
		}
		digest, err := m.Push(t.Context(), "", img)
		if err != nil {
			t.Fatal(err)
		}
		m.tags[repository+"/channels:_intent"] = digest
		if err := s.Recover(t.Context()); err == nil {
			if err := s.Recover(t.Context()); err != nil {
				t.Errorf("what was finished is not: %v", err)
			}
		}
		for ref, digest := range before {
			if now := m.tags[ref]; now != digest && !strings.Contains(string(data), digest.String()) {
				t.Errorf("%s was moved from %s to %s", ref, digest, now)
			}
		}
	})
}
