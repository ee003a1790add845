package journal

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/streams"
)

// Edit changes a journal and says whether it had to.
type Edit func(*State) (changed bool, err error)

var (
	// ErrTaken says that somebody else has made the cut of that number.
	ErrTaken = errors.New("somebody else has made this cut")
	// ErrUnknown says that the stream has no such payload.
	ErrUnknown = errors.New("no such payload was cut of this stream")
	// ErrFrozen says that a cut was asked for of a frozen stream.
	ErrFrozen = errors.New("the stream is frozen")
)

// AddCut enters a cut, unless another one has its number: of two controllers that mean
// to make the same cut, one gets ErrTaken.
func AddCut(c Cut, d streams.Declaration) Edit {
	return func(s *State) (bool, error) {
		if c.Number <= len(s.Cuts) {
			if s.Cuts[c.Number-1].ID != c.ID {
				return false, fmt.Errorf("entering cut %d: %w", c.Number, ErrTaken)
			}
			return false, nil
		}
		if c.Number != len(s.Cuts)+1 {
			return false, fmt.Errorf("entering cut %d: the journal has only %d", c.Number, len(s.Cuts))
		}
		if s.Frozen != nil {
			return false, fmt.Errorf("entering cut %d: %w: %s", c.Number, ErrFrozen, s.Frozen.Why)
		}
		if s.Declarations == nil {
			s.Declarations = map[string]streams.Declaration{}
		}
		s.Declarations[c.Declaration] = d
		s.Cuts = append(s.Cuts, c)
		s.Requests = slices.DeleteFunc(s.Requests, func(r streams.Request) bool { return c.Request != "" && r.ID == c.Request })
		return true, nil
	}
}

// AddRequest asks for a cut.
func AddRequest(r streams.Request) Edit {
	return func(s *State) (bool, error) {
		if s.Frozen != nil {
			return false, fmt.Errorf("asking for a cut: %w by %s: %s", ErrFrozen, s.Frozen.By, s.Frozen.Why)
		}
		heeded := slices.ContainsFunc(s.Cuts, func(c Cut) bool { return c.Request == r.ID })
		if heeded || slices.ContainsFunc(s.Requests, func(o streams.Request) bool { return o.ID == r.ID }) {
			return false, nil
		}
		s.Requests = append(s.Requests, r)
		return true, nil
	}
}

// Freeze stops cutting. A stream that is frozen stays as it was.
func Freeze(m Mark) Edit {
	return func(s *State) (bool, error) {
		if s.Frozen != nil {
			return false, nil
		}
		s.Frozen = &m
		return true, nil
	}
}

// Unfreeze ends what Freeze did.
func Unfreeze() Edit {
	return func(s *State) (bool, error) {
		changed := s.Frozen != nil
		s.Frozen = nil
		return changed, nil
	}
}

// onCut is an edit of one cut.
func onCut(v release.Version, edit func(*Cut) bool) Edit {
	return func(s *State) (bool, error) {
		c := s.Find(v)
		if c == nil {
			return false, fmt.Errorf("looking for %q: %w", v, ErrUnknown)
		}
		return edit(c), nil
	}
}

// SetPayload enters the digest that came of a cut.
func SetPayload(v release.Version, digest string) Edit {
	return onCut(v, func(c *Cut) bool {
		changed := c.Payload != digest
		c.Payload = digest
		return changed
	})
}

// AddFailure enters an attempt that the host or a service failed.
func AddFailure(v release.Version, f Failure) Edit {
	return onCut(v, func(c *Cut) bool {
		if slices.ContainsFunc(c.Failures, func(o Failure) bool { return o.At.Equal(f.At) && o.Stage == f.Stage }) {
			return false
		}
		c.Failures = append(c.Failures, f)
		return true
	})
}

// Finish ends the work on a cut. The first end counts.
func Finish(v release.Version, end End) Edit {
	return onCut(v, func(c *Cut) bool {
		if c.End != nil {
			return false
		}
		c.End = &end
		return true
	})
}

// Decide enters a decision by hand; a later one replaces an earlier one.
func Decide(v release.Version, o Override) Edit {
	return onCut(v, func(c *Cut) bool {
		if have := c.Override; have != nil && (*have == o || have.At.After(o.At)) {
			return false
		}
		c.Override = &o
		return true
	})
}

// Pin keeps a payload from being deleted, and with a nil mark no longer. One that is
// being deleted cannot be pinned.
func Pin(v release.Version, m *Mark) Edit {
	return func(s *State) (bool, error) {
		c := s.Find(v)
		if c == nil {
			return false, fmt.Errorf("looking for %q: %w", v, ErrUnknown)
		}
		if c.Deleted != nil && m != nil {
			return false, fmt.Errorf("pinning %q: it was deleted by %s: %s", v, c.Deleted.By, c.Deleted.Why)
		}
		if (c.Pin == nil) == (m == nil) {
			return false, nil
		}
		c.Pin = m
		return true, nil
	}
}

// Delete enters that retention removes a payload. It is refused when the payload has
// been pinned meanwhile.
func Delete(v release.Version, m Mark) Edit {
	return func(s *State) (bool, error) {
		c := s.Find(v)
		if c == nil {
			return false, fmt.Errorf("looking for %q: %w", v, ErrUnknown)
		}
		if c.Pin != nil {
			return false, fmt.Errorf("deleting %q: it is pinned by %s: %s", v, c.Pin.By, c.Pin.Why)
		}
		if c.Deleted != nil {
			return false, nil
		}
		c.Deleted = &m
		return true, nil
	}
}

// Publish enters that a payload was copied to a place outside. The first time counts.
func Publish(v release.Version, p Published) Edit {
	return onCut(v, func(c *Cut) bool {
		if c.PublishedTo(p.Mirror) {
			return false
		}
		c.Published = append(c.Published, p)
		return true
	})
}

// Adopt enters a payload that was made without a controller, so that it can be decided
// about, pinned and retained like the others. at is when it was cut.
func Adopt(v release.Version, digest, id, tool string, at time.Time, end End, d streams.Declaration) Edit {
	return func(s *State) (bool, error) {
		if s.Find(v) != nil {
			return false, nil
		}
		if s.Declarations == nil {
			s.Declarations = map[string]streams.Declaration{}
		}
		s.Declarations[d.Digest()] = d
		s.Cuts = append(s.Cuts, Cut{
			Number: len(s.Cuts) + 1, ID: id, Version: v, Mark: Mark{By: "slipway", Why: "it was made without a controller", At: at},
			Declaration: d.Digest(), Tool: tool, Adopted: true, Payload: digest, End: &end,
		})
		return true, nil
	}
}
