// Package catalogtest is a small distribution for tests of what shows one: two streams
// with twelve payloads in all phases, evidence of every kind, two channels. It is all in
// memory, and the same every time.
package catalogtest

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-release/slipway/internal/git"
	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/inspect/changelog"
	"github.com/slipway-release/slipway/release/sign"
	"github.com/slipway-release/slipway/release/updates/catalog"
)

// Repository holds the payloads.
const Repository = "registry.example.com/skiff/release"

// Key signed what is believed.
const Key = "sha256:5f0c2a11"

// Now is the time in this world.
var Now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// World is the distribution: a registry, and whoever verifies what is in it. Its
// fields may be changed between two refreshes, under Lock.
type World struct {
	sync.Mutex
	Images      map[string]v1.Image      // by tag
	Said        map[string]sign.Evidence // by digest
	Sigs        map[string][]sign.Signature
	Definitions []catalog.Definition
	Offered     []catalog.Channel
	Unfinished  []catalog.Unfinished
	// Broken is a digest whose evidence cannot be read.
	Broken string
	// Down makes the registry fail.
	Down error
	// Read counts how often evidence was read and verified.
	Read int

	digests map[string]v1.Image
}

var (
	_ catalog.Registry = (*World)(nil)
	_ catalog.Verifier = (*World)(nil)
	_ catalog.Streams  = (*World)(nil)
	_ catalog.Channels = (*World)(nil)
	_ catalog.Progress = (*World)(nil)
	_ catalog.Reports  = (*World)(nil)
)

// Keeper returns one that has read the world once.
func (w *World) Keeper(t testing.TB) *catalog.Keeper {
	t.Helper()
	k := catalog.NewKeeper(w.Sources(), catalog.Options{Now: func() time.Time { return Now }})
	if err := k.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	return k
}

// Sources are those of the world.
func (w *World) Sources() catalog.Sources {
	return catalog.Sources{Registry: w, Verifier: w, Repository: Repository, Streams: w, Channels: w, Progress: w, Reports: w}
}

// Details read the world's payloads, and no histories from elsewhere.
func (w *World) Details(t testing.TB) *catalog.Details {
	t.Helper()
	repositories := git.NewCache(git.Options{Dir: t.TempDir(), Offline: true})
	return catalog.NewDetails(w.Sources(), catalog.RegistryOpener{Registry: w}, w, changelog.Options{Repositories: repositories}, catalog.Limits{Wait: 20 * time.Second})
}

// Digest returns that of the payload under a tag.
func (w *World) Digest(t testing.TB, tag string) v1.Hash {
	t.Helper()
	digest, err := w.Resolve(t.Context(), Repository+":"+tag)
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

// Tags implements catalog.Registry.
func (w *World) Tags(context.Context, string) ([]string, error) {
	w.Lock()
	defer w.Unlock()
	return append(slices.Sorted(maps.Keys(w.Images)), "latest", "sha256-"+strings.Repeat("a", 64)), w.Down
}

// Resolve implements catalog.Registry.
func (w *World) Resolve(_ context.Context, ref string) (v1.Hash, error) {
	w.Lock()
	defer w.Unlock()
	img := w.Images[strings.TrimPrefix(ref, Repository+":")]
	if img == nil {
		return v1.Hash{}, fmt.Errorf("resolving %q: %w", ref, oci.ErrNotFound)
	}
	return img.Digest()
}

// Image implements catalog.Registry. Component images are made up as they are asked for.
func (w *World) Image(_ context.Context, ref string) (v1.Image, error) {
	w.Lock()
	defer w.Unlock()
	repository, digest, _ := strings.Cut(ref, "@")
	if repository == Repository {
		if img := w.digests[digest]; img != nil {
			return img, nil
		}
		return nil, fmt.Errorf("reading %q: %w", ref, oci.ErrNotFound)
	}
	if strings.Contains(repository, "/content/") {
		return componentImage(digest), nil
	}
	return nil, fmt.Errorf("reading %q: %w", ref, oci.ErrNotFound)
}

// Index implements inspect.Source.
func (w *World) Index(_ context.Context, ref string) (v1.ImageIndex, error) {
	return nil, fmt.Errorf("reading %q: %w", ref, oci.ErrNotFound)
}

// Referrers implements catalog.Registry.
func (w *World) Referrers(_ context.Context, subject, _ string) ([]oci.Referrer, error) {
	w.Lock()
	defer w.Unlock()
	_, digest, _ := strings.Cut(subject, "@")
	var all []oci.Referrer
	for _, s := range w.Said[digest].Statements {
		all = append(all, oci.Referrer{Subject: subject, Digest: s.Digest})
	}
	return all, nil
}

// Fetch implements catalog.Registry; the verifier of this world needs it not.
func (w *World) Fetch(context.Context, oci.Referrer) ([]byte, error) { return nil, oci.ErrNotFound }

func (w *World) evidence(ref, predicateType string) (sign.Evidence, error) {
	w.Lock()
	defer w.Unlock()
	_, digest, _ := strings.Cut(ref, "@")
	if digest == w.Broken {
		return sign.Evidence{}, fmt.Errorf("reading evidence of image %q: the registry does not answer", ref)
	}
	w.Read++
	have := w.Said[digest]
	e := sign.Evidence{Refused: have.Refused}
	for _, s := range have.Statements {
		if predicateType == "" || s.PredicateType == predicateType {
			e.Statements = append(e.Statements, s)
		}
	}
	slices.SortStableFunc(e.Statements, func(a, b sign.Statement) int { return b.Time.Compare(a.Time) })
	return e, nil
}

// Evidence implements catalog.Verifier.
func (w *World) Evidence(_ context.Context, _ sign.Source, ref, predicateType string) (sign.Evidence, error) {
	return w.evidence(ref, predicateType)
}

// Signatures implements catalog.Verifier.
func (w *World) Signatures(_ context.Context, _ sign.Source, ref string, _ sign.Claim) ([]sign.Signature, error) {
	w.Lock()
	defer w.Unlock()
	_, digest, _ := strings.Cut(ref, "@")
	return w.Sigs[digest], nil
}

// Streams implements catalog.Streams.
func (w *World) Streams(context.Context) ([]catalog.Definition, error) {
	w.Lock()
	defer w.Unlock()
	return w.Definitions, nil
}

// Channels implements catalog.Channels.
func (w *World) Channels(context.Context) ([]catalog.Channel, error) {
	w.Lock()
	defer w.Unlock()
	return w.Offered, nil
}

// Progress implements catalog.Progress.
func (w *World) Progress(context.Context) ([]catalog.Unfinished, error) {
	w.Lock()
	defer w.Unlock()
	return w.Unfinished, nil
}

// Report implements catalog.Reports.
func (w *World) Report(version release.Version, _ string) (report, timeline string) {
	if version.Stream() != "nightly" {
		return "", ""
	}
	return "/runs/" + version.String() + "/report.html", "/runs/" + version.String() + "/timeline.html"
}

func digestOf(text string) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%x", sha256.Sum256([]byte(text)))}
}
