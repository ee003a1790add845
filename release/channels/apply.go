package channels

import (
	"context"
	"errors"
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Apply changes the channels of a set together. What was planned is stored first, then it
// is written down which channels are to change, and only then do they: whoever is killed
// between leaves a set that nobody sees anything of, or one that the next Apply or
// Recover finishes. A set that was applied already changes nothing.
//
// The error wraps ErrChanged when a channel is not any more what the set was planned for,
// or when somebody else was applying a set; read the channels and plan again. Clusters
// may for a moment see some of the channels changed and others not.
func (s Store) Apply(ctx context.Context, set ChangeSet) error {
	last, err := s.recover(ctx)
	if err != nil {
		return err
	}
	if err := s.apply(ctx, set, last); err != nil {
		return fmt.Errorf("promoting release %q into several channels: %w", set.Version, err)
	}
	return nil
}

// Recover finishes a set that somebody was killed over; it is to be called before
// channels are read to plan anew. The error wraps ErrChanged when channels were changed
// otherwise since, so that the set could not be applied to all of them: a plan made anew
// does what is missing.
func (s Store) Recover(ctx context.Context) error {
	_, err := s.recover(ctx)
	return err
}

// recover returns the digest of the last intent, which is done then.
func (s Store) recover(ctx context.Context) (v1.Hash, error) {
	in, digest, err := s.readIntent(ctx)
	if err != nil {
		return v1.Hash{}, fmt.Errorf("reading %s, which says whether a promotion was broken off: %w", s.tag(intentTag), err)
	}
	if in.Done {
		return digest, nil
	}
	if err := s.finish(ctx, in, digest); err != nil {
		return v1.Hash{}, fmt.Errorf("finishing the promotion of release %q, which was broken off: %w", in.Version, err)
	}
	return s.current(ctx, intentTag)
}

func (s Store) apply(ctx context.Context, set ChangeSet, last v1.Hash) error {
	in := intent{APIVersion: apiVersion, Kind: intentKind, Version: set.Version}
	seen := map[string]bool{}
	var images []v1.Image
	for _, plan := range set.Plans {
		if seen[plan.Channel] {
			return fmt.Errorf("channel %q is planned for twice", plan.Channel)
		}
		seen[plan.Channel] = true
		img, err := artifact(plan.After)
		if err != nil {
			return err
		}
		c := intentChannel{Name: plan.Channel, read: plan.Read}
		if c.target, err = img.Digest(); err != nil {
			return err
		}
		c.Target = c.target.String()
		if c.read != (v1.Hash{}) {
			c.Read = c.read.String()
		}
		in.Channels = append(in.Channels, c)
		images = append(images, img)
	}
	look, err := s.look(ctx, in)
	if err != nil {
		return err
	}
	if err := changedMeanwhile(look.changed); err != nil {
		return err
	}
	if len(look.waiting) == 0 {
		return nil
	}
	for _, img := range images {
		if _, err := s.store(ctx, img); err != nil {
			return err
		}
	}
	digest, err := s.writeIntent(ctx, in, last)
	if err != nil {
		return err
	}
	return s.finish(ctx, in, digest)
}

// finish moves the channels that are still to be moved and marks the intent done. When
// one was changed otherwise and none has moved, it stays at that.
func (s Store) finish(ctx context.Context, in intent, digest v1.Hash) error {
	look, err := s.look(ctx, in)
	if err != nil {
		return err
	}
	var changed []intentChannel
	for _, c := range look.changed {
		if err := s.passOver(ctx, in, c, &look.arrived, &changed); err != nil {
			return err
		}
	}
	for _, c := range look.waiting {
		if len(changed) > 0 && look.arrived == 0 {
			break
		}
		switch err := s.move(ctx, c.Name, c.read, c.target); {
		case errors.Is(err, ErrChanged): // perhaps by another's Recover
			if err := s.passOver(ctx, in, c, &look.arrived, &changed); err != nil {
				return err
			}
		case err != nil:
			return fmt.Errorf("writing channel %q: %w", c.Name, err)
		default:
			look.arrived++
		}
	}
	if err := s.settle(ctx, in, digest); err != nil {
		return fmt.Errorf("marking it done: %w", err)
	}
	return changedMeanwhile(changed)
}

// look is how far an intent has come.
type look struct {
	arrived int             // channels that are as they are to be
	waiting []intentChannel // those that are as they were
	changed []intentChannel // those that are neither
}

func (s Store) look(ctx context.Context, in intent) (look, error) {
	var l look
	for _, c := range in.Channels {
		switch at, err := s.current(ctx, c.Name); {
		case err != nil:
			return look{}, fmt.Errorf("reading channel %q: %w", c.Name, err)
		case at == c.target:
			l.arrived++
		case at == c.read:
			l.waiting = append(l.waiting, c)
		default:
			l.changed = append(l.changed, c)
		}
	}
	return l, nil
}

// passOver counts a channel as arrived if it holds the release as intended and was changed
// further since; otherwise it is one of the changed.
func (s Store) passOver(ctx context.Context, in intent, c intentChannel, arrived *int, changed *[]intentChannel) error {
	now, err := s.Read(ctx, c.Name)
	if err != nil {
		return err
	}
	target, err := s.fetch(ctx, c.target)
	if err != nil {
		return fmt.Errorf("reading what channel %q was to be: %w", c.Name, err)
	}
	have, held := now.State.Find(in.Version)
	want, wanted := target.Find(in.Version)
	if held && wanted && have.PullSpec == want.PullSpec {
		*arrived++
	} else {
		*changed = append(*changed, c)
	}
	return nil
}

func changedMeanwhile(channels []intentChannel) error {
	if len(channels) == 0 {
		return nil
	}
	var names []string
	for _, c := range channels {
		names = append(names, c.Name)
	}
	return fmt.Errorf("channel %s: %w", strings.Join(names, ", "), ErrChanged)
}
