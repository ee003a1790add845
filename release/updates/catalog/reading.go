package catalog

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/slipway-release/slipway/release"
)

// reading is one refresh.
type reading struct {
	Sources
	options Options
	before  map[v1.Hash]*facts

	tags map[string]bool // of the repository

	mu       sync.Mutex
	facts    map[v1.Hash]*facts
	problems []string
}

func (r *reading) read(ctx context.Context) (*Catalog, error) {
	definitions, err := r.Streams.Streams(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the catalog: listing streams: %w", err)
	}
	tags, err := r.Registry.Tags(ctx, r.Repository)
	if err != nil {
		return nil, fmt.Errorf("reading the catalog: listing payloads: %w", err)
	}
	versions := r.sort(tags)
	c := &Catalog{Read: r.options.Now().UTC()}
	for _, d := range definitions {
		name := d.Policy.Name
		if d.Stable {
			name = ""
		}
		s, err := r.stream(ctx, d, versions[name])
		if err != nil {
			return nil, fmt.Errorf("reading stream %q: %w", d.Policy.Name, err)
		}
		c.Streams = append(c.Streams, s)
	}
	if err := r.addChannels(ctx, c); err != nil {
		return nil, err
	}
	if err := r.addProgress(ctx, c); err != nil {
		return nil, err
	}
	slices.Sort(r.problems)
	c.Problems = r.problems
	c.finish()
	return c, nil
}

// sort gives the versions of each stream, the newest first. Tags that name none, and
// versions of streams that nobody defined, are left out.
func (r *reading) sort(tags []string) map[string][]release.Version {
	versions := map[string][]release.Version{}
	r.tags = make(map[string]bool, len(tags))
	for _, tag := range tags {
		r.tags[tag] = true
		if v, err := release.Parse(tag); err == nil {
			versions[v.Stream()] = append(versions[v.Stream()], v)
		}
	}
	for _, list := range versions {
		slices.SortFunc(list, newestFirst)
	}
	return versions
}

// newestFirst orders by date; a stream goes on when its base version changes.
func newestFirst(a, b release.Version) int {
	ta, _ := a.Time()
	tb, _ := b.Time()
	if c := tb.Compare(ta); c != 0 {
		return c
	}
	return b.Compare(a)
}

func (r *reading) stream(ctx context.Context, d Definition, versions []release.Version) (*Stream, error) {
	s := &Stream{Definition: d}
	if n := r.options.Payloads; len(versions) > n {
		s.Left, versions = len(versions)-n, versions[:n]
	}
	policy, err := json.Marshal(d.Policy)
	if err != nil {
		return nil, err
	}
	found := make([]*Payload, len(versions))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(r.options.Jobs)
	for i, v := range versions {
		group.Go(func() error {
			p, err := r.payload(ctx, d, policy, v)
			found[i] = p
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	s.Payloads = slices.DeleteFunc(found, func(p *Payload) bool { return p == nil })
	return s, nil
}

// payload reads one payload; nil when its tag is gone meanwhile, or cannot be read,
// which is a problem of this payload and not of the others.
func (r *reading) payload(ctx context.Context, d Definition, policy []byte, v release.Version) (*Payload, error) {
	digest, err := r.Registry.Resolve(ctx, r.Repository+":"+v.Tag())
	if err != nil {
		if ctx.Err() == nil {
			r.problem("payload %s cannot be found: %v", v, err)
		}
		return nil, ctx.Err()
	}
	p := &Payload{Stream: d.Policy.Name, Version: v, Digest: digest.String(), Phase: Ready}
	from := r.Repository
	if r.PullFrom != "" {
		from = r.PullFrom
	}
	p.PullSpec, p.Tagged = from+"@"+p.Digest, from+":"+v.Tag()
	f, err := r.factsOf(ctx, d, policy, digest)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		r.problem("what was said about payload %s cannot be read: %v", v, err)
		if f = r.before[digest]; f == nil {
			p.Phase, p.Reason = Inconclusive, "what was said about it cannot be read now: "+clip(err.Error())
			f = &facts{}
		}
	}
	r.mu.Lock()
	r.facts[digest] = f
	r.mu.Unlock()
	if p.Created = f.created; p.Created.IsZero() {
		p.Created, _ = v.Time()
	}
	p.fill(d, f)
	if r.Reports != nil {
		p.Report, p.Timeline = r.Reports.Report(v, p.Digest)
	}
	return p, nil
}

func (r *reading) factsOf(ctx context.Context, d Definition, policy []byte, digest v1.Hash) (*facts, error) {
	key, err := r.keyOf(ctx, digest, policy)
	if err != nil {
		return nil, err
	}
	if f := r.before[digest]; f != nil && f.key == key {
		return f, nil
	}
	f, err := r.readFacts(ctx, digest, d.Policy)
	if err != nil {
		return nil, err
	}
	f.key = key
	if d.Stable {
		f.created = r.created(ctx, r.Repository+"@"+digest.String())
	}
	return f, nil
}

// created is when the image says that it was made, for versions that do not say it.
func (r *reading) created(ctx context.Context, ref string) time.Time {
	img, err := r.Registry.Image(ctx, ref)
	if err != nil {
		return time.Time{} // an index, or a time that nobody needs to have
	}
	config, err := img.ConfigFile()
	if err != nil {
		return time.Time{}
	}
	return config.Created.UTC()
}

func (r *reading) problem(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.problems = append(r.problems, clip(fmt.Sprintf(format, args...)))
}
