package lease

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/slipway-release/slipway/internal/clock"
	"github.com/slipway-release/slipway/internal/oci"
)

// Images is the registry that a lease lies in.
type Images interface {
	Image(ctx context.Context, reference string) (v1.Image, error)
	Push(ctx context.Context, reference string, img v1.Image) (v1.Hash, error)
	Delete(ctx context.Context, reference string) error
}

var _ Images = (*oci.Registry)(nil)

const (
	artifactType = types.MediaType("application/vnd.slipway.lease.config.v1+json")
	annotation   = "dev.slipway.lease"

	// minDuration leaves time for a write and its being seen.
	minDuration = 500 * time.Millisecond
)

// Registry is a lease under a tag of a registry.
//
// Registries know no conditional writes, so the lease relies on time, though on
// nobody's clock but one's own, and on no time of day. A lease is free when it was given
// back, or when nobody has changed it for its whole duration, watched by whoever wants
// it. Who wants a free lease writes his name, waits for longer than his own or another's
// write may take, and has it if the name is still there (Fischer's mutual exclusion). The
// holder stops leading when two thirds of the duration have passed since the
// beginning of the last renewal that came through, a third before others may take over.
type Registry struct {
	Images Images
	// Tag is where the lease lies: REPOSITORY:TAG. Nothing else may lie there.
	Tag string
	// Holder names this process for people.
	Holder string
	// Duration after which others take over from a holder that is gone; at least half a second.
	Duration time.Duration
}

// record is what lies under the tag.
type record struct {
	Holder string `json:"holder"`
	// Nonce is one of each claim, so that nobody takes another's lease for his own.
	Nonce    string `json:"nonce"`
	Term     int    `json:"term"`     // how often the lease has changed hands
	Renewals int    `json:"renewals"` // within the term
	// Duration in milliseconds; the one that others go by.
	Duration int64 `json:"durationMs"`
	Released bool  `json:"released,omitempty"`
	// Renewed is for people; nobody decides by it.
	Renewed time.Time `json:"renewed"`
}

// Lead implements Lease.
func (r Registry) Lead(ctx context.Context, waiting func(string), lead func(context.Context) error) error {
	if r.Duration < minDuration {
		return fmt.Errorf("taking lease %q: its duration of %s is less than %s", r.Tag, r.Duration, minDuration)
	}
	mine, digest, begun, err := r.acquire(ctx, waiting)
	if err != nil {
		return fmt.Errorf("taking lease %q: %w", r.Tag, err)
	}
	leading, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	// The deadline holds even when the loop below hangs in a request.
	expiry := time.AfterFunc(time.Until(begun.Add(r.validity())), func() { stop(ErrLost) })
	defer expiry.Stop()
	done := make(chan held, 1)
	go func() { done <- r.renew(leading, stop, expiry, held{record: mine, digest: digest}) }()
	err = lead(leading)
	lost := errors.Is(context.Cause(leading), ErrLost)
	stop(nil)
	last := <-done
	if lost {
		return errors.Join(ErrLost, err)
	}
	r.release(context.WithoutCancel(ctx), last)
	return err
}

func (r Registry) validity() time.Duration { return r.Duration * 2 / 3 }

// acquire waits until the lease is this holder's, and returns when the claim began.
func (r Registry) acquire(ctx context.Context, waiting func(string)) (record, v1.Hash, time.Time, error) {
	var none v1.Hash
	var seen record // the last that was seen, and since when it has been so
	var since time.Time
	for {
		now := time.Now()
		current, err := r.read(ctx)
		if err != nil {
			return record{}, none, now, err
		}
		if current != seen {
			if waiting != nil && current.Nonce != seen.Nonce && !current.Released {
				waiting(current.Holder)
			}
			seen, since = current, time.Now()
		}
		lasts := time.Duration(current.Duration) * time.Millisecond
		if current.Nonce == "" || current.Released || time.Since(since) > lasts {
			claim := record{Holder: r.Holder, Nonce: rand.Text(), Term: current.Term + 1, Duration: r.Duration.Milliseconds()}
			begun := time.Now()
			digest, won, err := r.claim(ctx, now, claim)
			if err != nil || won {
				return claim, digest, begun, err
			}
			continue
		}
		if err := clock.Sleep(ctx, r.Duration/10); err != nil {
			return record{}, none, now, err
		}
	}
}

// claim writes the claim and says whether it stays. Reading what was there before and
// writing must be done within an eighth of the duration, and a quarter is waited.
func (r Registry) claim(ctx context.Context, read time.Time, claim record) (digest v1.Hash, won bool, err error) {
	bounded, cancel := context.WithDeadline(ctx, read.Add(r.Duration/8))
	defer cancel()
	digest, err = r.write(bounded, claim)
	if ctx.Err() == nil && bounded.Err() != nil {
		// It may have come through too late to count; if so, it runs out as others' do.
		return digest, false, clock.Sleep(ctx, r.Duration/8)
	}
	if err != nil {
		return digest, false, err
	}
	if err := clock.Sleep(ctx, r.Duration/4); err != nil {
		return digest, false, err
	}
	current, err := r.read(ctx)
	return digest, err == nil && current.Nonce == claim.Nonce, err
}

// held is the record that was written last, and the one before it, which still lies in
// the registry for whoever has looked up the tag already.
type held struct {
	record
	digest, before v1.Hash
}

// renew keeps the lease until leading ends, and ends it when that fails. It returns
// the record that was written last.
func (r Registry) renew(leading context.Context, stop context.CancelCauseFunc, expiry *time.Timer, mine held) held {
	// Claiming has used up most of what the claim is good for, so the first renewal comes
	// at once.
	for wait := time.Duration(0); ; wait = r.Duration / 5 {
		if clock.Sleep(leading, wait) != nil {
			return mine
		}
		begun := time.Now()
		current, err := r.read(leading)
		if err == nil && current.Nonce != mine.Nonce {
			stop(ErrLost)
			return mine
		}
		next := mine.record
		next.Renewals++
		var written v1.Hash
		if err == nil {
			written, err = r.write(leading, next)
		}
		if err != nil {
			continue // expiry ends it when this goes on
		}
		if !expiry.Reset(time.Until(begun.Add(r.validity()))) {
			stop(ErrLost) // it had fired already
			return mine
		}
		r.forget(leading, mine.before)
		mine = held{next, written, mine.digest}
	}
}

// release gives the lease back, if nobody has taken it; when that fails, others wait
// for its end.
func (r Registry) release(ctx context.Context, mine held) {
	ctx, cancel := context.WithTimeout(ctx, r.Duration/8)
	defer cancel()
	if current, err := r.read(ctx); err == nil && current.Nonce == mine.Nonce {
		current.Released = true
		_, _ = r.write(ctx, current)
		r.forget(ctx, mine.before)
	}
}

// forget removes a record of one's own that newer ones have replaced, for the
// registry would gather them. One that stays does no harm.
func (r Registry) forget(ctx context.Context, digest v1.Hash) {
	if digest == (v1.Hash{}) {
		return
	}
	repository := r.Tag[:strings.LastIndexByte(r.Tag, ':')]
	_ = r.Images.Delete(ctx, repository+"@"+digest.String())
}

func (r Registry) read(ctx context.Context) (record, error) {
	img, err := r.Images.Image(ctx, r.Tag)
	if errors.Is(err, oci.ErrNotFound) {
		// A registry looks a tag up first and then reads the manifest, and it may be replaced
		// and removed in between. Taken for a free lease, that would give it to a second.
		img, err = r.Images.Image(ctx, r.Tag)
	}
	if errors.Is(err, oci.ErrNotFound) {
		return record{}, nil
	}
	if err != nil {
		return record{}, err
	}
	manifest, err := img.Manifest()
	if err != nil {
		return record{}, err
	}
	var rec record
	if err := json.Unmarshal([]byte(manifest.Annotations[annotation]), &rec); err != nil {
		return record{}, fmt.Errorf("what lies at %q is not a lease: %w", r.Tag, err)
	}
	if rec.Nonce == "" || rec.Duration <= 0 {
		return record{}, fmt.Errorf("what lies at %q is not a lease: it has nonce %q and a duration of %d ms", r.Tag, rec.Nonce, rec.Duration)
	}
	return rec, nil
}

func (r Registry) write(ctx context.Context, rec record) (v1.Hash, error) {
	rec.Renewed = time.Now().UTC().Truncate(time.Second)
	img, err := image(rec)
	if err != nil {
		return v1.Hash{}, err
	}
	return r.Images.Push(ctx, r.Tag, img)
}

// image is a record in the annotations of a manifest, so that renewing leaves no blobs.
func image(rec record) (v1.Image, error) {
	data, err := json.Marshal(rec)
	if err != nil {
		return nil, err
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), artifactType)
	annotated, ok := mutate.Annotations(img, map[string]string{annotation: string(data)}).(v1.Image)
	if !ok {
		return nil, errors.New("an image with annotations is no image")
	}
	return annotated, nil
}
