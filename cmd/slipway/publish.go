package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-release/slipway/distros"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/mirror"
	"github.com/slipway-release/slipway/release/sign/policy"
	"github.com/slipway-release/slipway/release/streams"
	"github.com/slipway-release/slipway/release/streams/journal"
)

// What became of a payload at a place that its stream declares.
const (
	publishedNew     = "published"
	publishedPresent = "present"
	publishedMissing = "missing" // of which a dry run says that it would be published
	publishedFailed  = "failed"
)

// publication is a payload at a place that its stream declares.
type publication struct {
	Stream  string          `json:"stream"`
	Version release.Version `json:"version"`
	Mirror  string          `json:"mirror"`
	Tag     string          `json:"tag,omitempty"`
	State   string          `json:"state"`
	Images  int             `json:"images,omitempty"` // that were not there before, of All
	All     int             `json:"all,omitempty"`
	Bytes   int64           `json:"bytes,omitempty"`
	Error   string          `json:"error,omitempty"`
}

func (p publication) String() string {
	where := p.Mirror
	if p.Tag != "" {
		where += " (tag " + p.Tag + ")"
	}
	switch p.State {
	case publishedNew:
		return fmt.Sprintf("is published to %s: %d of %d images were missing there, %s", where, p.Images, p.All, bytesOf(p.Bytes))
	case publishedPresent:
		return "is in " + where
	case publishedFailed:
		return "could not be published to " + where + ": " + p.Error
	}
	return "would be published to " + where
}

// publisher copies the accepted payloads of streams to the places that they declare.
type publisher struct {
	app *app
	*world
	history streams.History
	trusted *policy.Policy
	mark    journal.Mark // who is entered into the journal
	// thorough looks at every image of a payload that is there already.
	thorough bool
	dryRun   bool
	// watch runs a copy and shows how far it is.
	watch func(of *mirror.Progress, what publication, run func() (*mirror.Result, error)) (*mirror.Result, error)
}

// publisher opens what publishing needs, for a person who waits for it.
func (a *app) publisher(ctx context.Context, w *world, mark journal.Mark, dryRun bool) (*publisher, error) {
	history, err := a.judgedHistory(w)
	if err != nil {
		return nil, err
	}
	trusted, err := (&verification{}).open(ctx, a)
	if err != nil {
		return nil, err
	}
	watch := func(of *mirror.Progress, _ publication, run func() (*mirror.Result, error)) (*mirror.Result, error) {
		return a.watchMirror(of, run)
	}
	return &publisher{app: a, world: w, history: history, trusted: trusted, mark: mark, thorough: true, dryRun: dryRun, watch: watch}, nil
}

// accepted are the payloads of a stream that are to be published, newest first. One whose
// checks are still running waits for the rest of its evidence.
func (p *publisher) accepted(ctx context.Context, stream string) ([]streams.Release, error) {
	state, err := p.journal().Read(ctx, stream)
	if err != nil {
		return nil, err
	}
	return p.history.Accepted(ctx, stream, 0, func(v release.Version) bool {
		c := state.Find(v)
		return c != nil && c.Unfinished()
	})
}

// stream publishes what a stream has accepted. What fails is told of at the end, so that
// one place that is down does not keep payloads from another.
func (p *publisher) stream(ctx context.Context, s *distros.Stream, all []streams.Release) ([]publication, error) {
	done := []publication{}
	var errs []error
	for _, to := range s.Publish {
		some, err := p.place(ctx, s.Name, all, to)
		done, errs = append(done, some...), append(errs, err)
	}
	return done, errors.Join(errs...)
}

// place publishes payloads to one place.
func (p *publisher) place(ctx context.Context, stream string, all []streams.Release, to distros.Publication) ([]publication, error) {
	var done []publication
	var errs []error
	for _, r := range all {
		what := publication{Stream: stream, Version: r.Version, Mirror: to.Mirror, Tag: to.Tag}
		err := p.publish(ctx, r, &what)
		if ctx.Err() != nil {
			return done, context.Cause(ctx)
		}
		if err != nil {
			what.State, what.Error = publishedFailed, err.Error()
			errs = append(errs, fmt.Errorf("publishing %q of stream %q to %q: %w", r.Version, stream, to.Mirror, err))
		}
		done = append(done, what)
	}
	return done, errors.Join(errs...)
}

// publish copies a payload to a place, has the tag there name the newest, and enters both
// into the journal. Whether it is done is told by what the place has.
func (p *publisher) publish(ctx context.Context, r streams.Release, what *publication) error {
	registry, err := p.app.targetRegistry(ctx, what.Mirror)
	if err != nil {
		return err
	}
	to, err := mirror.ToRegistry(registry, what.Mirror, "")
	if err != nil {
		return err
	}
	o := mirror.Options{Source: p.registry, Reference: r.Reference, To: to, Verify: p.verify, Jobs: p.app.registries.jobs, Progress: &mirror.Progress{}}
	present := false
	if !p.thorough || p.dryRun {
		if present, err = mirror.Present(ctx, o); err != nil {
			return err
		}
	}
	what.State = publishedPresent
	switch {
	case p.dryRun && !present:
		what.State = publishedMissing
		return nil
	case p.dryRun:
		return nil
	case !present:
		done, err := p.watch(o.Progress, *what, func() (*mirror.Result, error) { return mirror.Run(ctx, o) })
		if err != nil {
			return err
		}
		what.count(done)
	}
	if what.Tag != "" {
		if err := moveTag(ctx, registry, what.Mirror, what.Tag, r); err != nil {
			return err
		}
	}
	entry := journal.Published{Mirror: what.Mirror, Mark: p.mark}
	entry.At = time.Now().UTC().Truncate(time.Second)
	if _, err = p.journal().Change(ctx, what.Stream, journal.Publish(r.Version, entry)); errors.Is(err, journal.ErrUnknown) {
		return nil // it was made without a controller
	}
	return err
}

// count takes over what a copy has done.
func (p *publication) count(r *mirror.Result) {
	p.All, p.Bytes = len(r.Images), r.Bytes
	companions := 0
	for _, i := range r.Images {
		companions += i.CompanionsCopied
		if i.Status == mirror.StatusCopied {
			p.Images++
		}
	}
	if p.Images > 0 || companions > 0 {
		p.State = publishedNew
	}
}

// verify refuses what the keys of this distribution have not signed.
func (p *publisher) verify(ctx context.Context, s mirror.Subject) error {
	report, err := p.trusted.Verify(ctx, policy.Subject{Source: p.registry, Reference: s.Reference, Version: s.Version, Architecture: s.Architecture})
	if err != nil {
		return err
	}
	return refusal(report, "verifying payload")
}

// released is a payload as streams know it. Of one for several architectures, its digest
// is that of the index, while the payload's own is of one image.
func released(p *release.Payload) (streams.Release, error) {
	hash, err := v1.NewHash(pullDigest(p.Reference))
	if err != nil {
		return streams.Release{}, fmt.Errorf("reading the digest of payload %q: %w", p.Reference, err)
	}
	return streams.Release{Version: p.Version, Digest: hash, Reference: p.Reference}, nil
}

// publishPromoted publishes a payload that a person or a pipeline promoted.
func (a *app) publishPromoted(ctx context.Context, w *world, reference, stream string, dryRun bool) ([]promotion, error) {
	s := w.distro.Stream(stream)
	if s == nil || len(s.Publish) == 0 {
		return nil, nil
	}
	p, err := a.payload(ctx, w, reference)
	if err != nil {
		return nil, err
	}
	r, err := released(p)
	if err != nil {
		return nil, err
	}
	out, err := a.publisher(ctx, w, journal.Mark{By: "slipway channel promote", Why: "it was promoted"}, dryRun)
	if err != nil {
		return nil, err
	}
	all, err := out.stream(ctx, s, []streams.Release{r})
	var done []promotion
	for _, what := range all {
		said := promotion{Name: what.Mirror, Mirror: true, Added: what.State == publishedNew || what.State == publishedMissing}
		if said.Added || what.State == publishedFailed {
			said.Changes = []string{"version " + r.Version.String() + " " + what.String()}
		}
		done = append(done, said)
	}
	return done, err
}

// publishing is the streams of some names, or of all, that declare places.
func (w *world) publishing(names []string) []*distros.Stream {
	var out []*distros.Stream
	for i := range w.distro.Streams {
		s := &w.distro.Streams[i]
		if len(s.Publish) > 0 && (len(names) == 0 || slices.Contains(names, s.Name)) {
			out = append(out, s)
		}
	}
	return out
}

// planPublications says what would be published of a stream. What cannot be found out is
// said in its place, for it keeps nothing else from being done.
func (a *app) planPublications(ctx context.Context, w *world, stream string) []publication {
	var all []publication
	for _, s := range w.publishing([]string{stream}) {
		p, err := a.publisher(ctx, w, journal.Mark{}, true)
		var accepted []streams.Release
		if err == nil {
			accepted, err = p.accepted(ctx, stream)
		}
		if err != nil {
			return []publication{{Stream: stream, Mirror: s.Publish[0].Mirror, State: publishedFailed, Error: err.Error()}}
		}
		found, _ := p.stream(ctx, s, accepted) // what failed says so itself
		all = append(all, found...)
	}
	return all
}

// publishLogEvery is how often a controller logs how far a copy is.
const publishLogEvery = 30 * time.Second

// publishAll has a controller publish what its streams have accepted. Each place is
// looked after by itself: one that is down, or slow, keeps nobody else waiting.
func (a *app) publishAll(ctx context.Context, w *world, names []string, holder string, log *slog.Logger) error {
	p, err := a.publisher(ctx, w, journal.Mark{By: holder, Why: "the stream declares it"}, false)
	if err != nil {
		return err
	}
	p.thorough = false
	p.watch = func(of *mirror.Progress, what publication, run func() (*mirror.Result, error)) (*mirror.Result, error) {
		log := log.With("stream", what.Stream, "version", what.Version.String(), "mirror", what.Mirror)
		log.Info("publishing")
		done, err := watchCopy(of, publishLogEvery, func(line string) { log.Info("publishing", "progress", line) }, run)
		if err == nil {
			log.Info("published", "images", len(done.Images), "bytes", done.Bytes, "seconds", done.Seconds)
		}
		return done, err
	}
	var places sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	failed := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		errs = append(errs, err)
	}
	for _, s := range w.publishing(names) {
		all, err := p.accepted(ctx, s.Name)
		if err != nil {
			failed(fmt.Errorf("publishing what stream %q has accepted: %w", s.Name, err))
			continue
		}
		for _, to := range s.Publish {
			places.Go(func() {
				if _, err := p.place(ctx, s.Name, all, to); err != nil {
					failed(err)
				}
			})
		}
	}
	places.Wait()
	return errors.Join(errs...)
}
