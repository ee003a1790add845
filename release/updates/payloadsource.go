package updates

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/release/channels/graph"
	"github.com/slipway-release/slipway/release/channels/graphdata"
)

const (
	payloadJobs = 8  // requests side by side
	payloadStep = 64 // payloads read before what is known is written down

	// unreadShare is 1 in how many payloads a registry may fail to give: with more, it is
	// taken to be down.
	unreadShare = 10
)

// PayloadRegistry is where payloads are kept.
type PayloadRegistry interface {
	Tags(ctx context.Context, repository string) ([]string, error)
	Descriptor(ctx context.Context, reference string) (v1.Descriptor, error)
	Image(ctx context.Context, reference string) (v1.Image, error)
	Index(ctx context.Context, reference string) (v1.ImageIndex, error)
}

var _ PayloadRegistry = (*oci.Registry)(nil)

// PayloadSource offers the payloads of a repository in the channels of a folder of
// graph-data, as Cincinnati's graph builder does. A payload is read once: what it says is
// kept by its digest.
type PayloadSource struct {
	Registry PayloadRegistry
	// Repository is HOST/PATH; a payload is offered as REPOSITORY@DIGEST, with the digest
	// that its tag has.
	Repository string
	// Data is the folder of graph-data.
	Data string
	// Fetch, unless it is nil, brings Data up to date before it is looked at.
	Fetch func(context.Context) error
	// Cache is the file that keeps what payloads say over a restart; "" keeps it in memory.
	Cache string
	Log   *slog.Logger

	mu     sync.Mutex
	known  payloadIndex // nil before the first reading
	stored bool         // whether Cache holds known
}

var _ Watched = (*PayloadSource)(nil)

// Stamp implements Watched: the names of the tags, and the folder's files. To which
// digests tags lead is not asked, as that is a request for each: one that was moved is
// seen when all is read.
func (s *PayloadSource) Stamp(ctx context.Context) (string, error) {
	tags, err := s.tags(ctx)
	if err != nil {
		return "", err
	}
	hash := sha256.New()
	if err := s.fetch(ctx); err != nil {
		// That it cannot be had is a change, too: Snapshot is to find it and say so.
		fmt.Fprintln(hash, err)
	}
	data, err := graphdata.Stamp(os.DirFS(s.Data))
	if err != nil {
		return "", err
	}
	for _, tag := range tags {
		fmt.Fprintln(hash, tag)
	}
	fmt.Fprintln(hash, data)
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// Snapshot implements Source. A registry or a folder that cannot be read is an error; a
// payload that is broken, or alone cannot be read, is quarantined.
func (s *PayloadSource) Snapshot(ctx context.Context) (*graph.Snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fetch(ctx); err != nil {
		return nil, err
	}
	data, err := graphdata.Load(s.Data)
	if err != nil {
		return nil, err
	}
	tagged, err := s.resolve(ctx)
	if err != nil {
		return nil, err
	}
	if s.known == nil {
		s.restore()
	}
	if err := s.learn(ctx, tagged); err != nil {
		return nil, err
	}
	releases, broken := s.releases(tagged)
	if len(releases)+len(broken) == 0 {
		return nil, fmt.Errorf("reading repository %q: none of its %d images is a release payload; is it the repository of the releases?", s.Repository, len(tagged))
	}
	snapshot, err := data.Compile(releases)
	if err != nil {
		return nil, err
	}
	snapshot.Quarantined = append(broken, snapshot.Quarantined...)
	return snapshot, snapshot.Identify()
}

func (s *PayloadSource) fetch(ctx context.Context) error {
	if s.Fetch == nil {
		return nil
	}
	return s.Fetch(ctx)
}

// attached are tags of what belongs to an image: signatures, attestations, lists of
// components, and whatever refers to a digest in registries without referrers.
var attached = regexp.MustCompile(`\.(sig|att|sbom)$|^sha256-[0-9a-f]{64}`)

// tags are those that may name payloads. None at all is an error: with a repository that
// is misspelt or was emptied by mistake no cluster would be offered anything any more.
func (s *PayloadSource) tags(ctx context.Context) ([]string, error) {
	tags, err := s.Registry.Tags(ctx, s.Repository)
	if err != nil {
		return nil, err
	}
	tags = slices.DeleteFunc(tags, attached.MatchString)
	if len(tags) == 0 {
		return nil, fmt.Errorf("listing the payloads of repository %q: it has no tags; is it the repository of the releases?", s.Repository)
	}
	return tags, nil
}

// resolve is what the tags name: the manifests, and each one's first tag.
func (s *PayloadSource) resolve(ctx context.Context) (map[v1.Hash]taggedImage, error) {
	tags, err := s.tags(ctx)
	if err != nil {
		return nil, err
	}
	slices.Sort(tags)
	found := make([]*v1.Descriptor, len(tags))
	group, limited := errgroup.WithContext(ctx)
	group.SetLimit(payloadJobs)
	for i, tag := range tags {
		group.Go(func() error {
			d, err := s.Registry.Descriptor(limited, s.Repository+":"+tag)
			if errors.Is(err, oci.ErrNotFound) { // removed since the tags were listed
				return nil
			}
			found[i] = &d
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	tagged := map[v1.Hash]taggedImage{}
	for i, d := range found {
		if d == nil {
			continue
		}
		if _, twice := tagged[d.Digest]; !twice {
			tagged[d.Digest] = taggedImage{tag: tags[i], descriptor: *d}
		}
	}
	return tagged, nil
}

// taggedImage is a manifest or index that tags name.
type taggedImage struct {
	tag        string // the first of them
	descriptor v1.Descriptor
}

// learn reads the payloads that are not known yet and forgets those without a tag. What
// was read before an error is kept, so that the next attempt goes on from there.
func (s *PayloadSource) learn(ctx context.Context, tagged map[v1.Hash]taggedImage) error {
	var unknown []v1.Descriptor
	for digest, t := range tagged {
		if e, ok := s.known[digest.String()]; !ok || e.again {
			unknown = append(unknown, t.descriptor)
		}
	}
	slices.SortFunc(unknown, func(a, b v1.Descriptor) int { return strings.Compare(a.Digest.Hex, b.Digest.Hex) })
	before := len(s.known)
	maps.DeleteFunc(s.known, func(digest string, _ payloadEntry) bool {
		hash, err := v1.NewHash(digest)
		_, ok := tagged[hash]
		return err != nil || !ok
	})
	s.stored = s.stored && len(s.known) == before
	unread := newPatience(len(tagged))
	for some := range slices.Chunk(unknown, payloadStep) {
		err := s.read(ctx, some, unread)
		s.save()
		if err != nil {
			return err
		}
	}
	s.save()
	return nil
}

// patience is with a registry that fails to give some payloads. One damaged blob must not
// keep clusters from what is declared about all other releases, such as a new block. What
// was read before is kept, so that only a reading without that may offer less for it.
type patience struct {
	mu   sync.Mutex
	left int
}

func newPatience(payloads int) *patience {
	return &patience{left: min(max(1, payloads/unreadShare), payloads-1)}
}

// takes says whether one more failure is that of a payload and not of the registry.
func (p *patience) takes() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left--
	return p.left >= 0
}

// read reads payloads and keeps what they say.
func (s *PayloadSource) read(ctx context.Context, unknown []v1.Descriptor, unread *patience) error {
	entries := make([]*payloadEntry, len(unknown))
	group, limited := errgroup.WithContext(ctx)
	group.SetLimit(payloadJobs)
	for i, d := range unknown {
		group.Go(func() error {
			e, err := readPayload(limited, s.Registry, s.Repository, d)
			if err != nil && limited.Err() == nil && unread.takes() {
				e, err = payloadEntry{Broken: fmt.Sprintf("the registry fails to give it: %v", err), again: true}, nil
			}
			if err != nil {
				return fmt.Errorf("reading payload %q: %w", s.Repository+"@"+d.Digest.String(), err)
			}
			entries[i] = &e
			return nil
		})
	}
	err := group.Wait()
	for i, e := range entries {
		if e == nil {
			continue
		}
		s.known[unknown[i].Digest.String()] = *e
		s.stored = s.stored && e.again
		if e.Broken != "" {
			s.log().Warn("a payload is broken and not offered", "payload", s.Repository+"@"+unknown[i].Digest.String(), "error", e.Broken)
		}
	}
	return err
}

// releases are the payloads that the tags name, the oldest first, and those that are
// broken.
func (s *PayloadSource) releases(tagged map[v1.Hash]taggedImage) ([]graph.Release, []graph.Quarantined) {
	digests := slices.SortedFunc(maps.Keys(tagged), func(a, b v1.Hash) int {
		one, other := s.known[a.String()], s.known[b.String()]
		return cmp.Or(one.compareCreated(other), strings.Compare(a.Hex, b.Hex))
	})
	var all []graph.Release
	var broken []graph.Quarantined
	for _, digest := range digests {
		e, pullSpec := s.known[digest.String()], s.Repository+"@"+digest.String()
		switch {
		case e.Broken != "":
			broken = append(broken, graph.Quarantined{Arch: e.Arch, Version: tagged[digest].tag, Payload: pullSpec, Reason: e.Broken})
		case e.Version != "":
			all = append(all, graph.Release{Version: e.Version, Arch: e.Arch, Payload: pullSpec,
				Previous: e.Previous, Next: e.Next, Metadata: e.Metadata})
		}
	}
	slices.SortFunc(broken, func(a, b graph.Quarantined) int {
		return cmp.Or(strings.Compare(a.Version, b.Version), strings.Compare(a.Payload, b.Payload))
	})
	return all, broken
}

// restore takes up what was kept. A file that cannot be used is as good as none.
func (s *PayloadSource) restore() {
	s.known = payloadIndex{}
	if s.Cache == "" {
		return
	}
	known, err := readPayloadIndex(s.Cache)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		s.log().Warn("all payloads are read anew", "error", err)
	default:
		s.known, s.stored = known, true
	}
}

// save keeps what is known; that it cannot does not make the graph worse.
func (s *PayloadSource) save() {
	if s.Cache == "" || s.stored {
		return
	}
	if err := s.known.write(s.Cache); err != nil {
		s.log().Error("a restart would have to read all payloads anew", "error", err)
		return
	}
	s.stored = true
}

func (s *PayloadSource) log() *slog.Logger {
	if s.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return s.Log
}
