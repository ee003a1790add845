package catalog

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// How long things may take before they count as stuck.
const (
	defaultMaxAge   = 48 * time.Hour
	defaultMaxCheck = 12 * time.Hour
	defaultMaxBuild = 3 * time.Hour
)

// stuck says what does not go on in a stream.
func (s *Stream) stuck(now time.Time) []string {
	var found []string
	if s.EndOfLife {
		return nil
	}
	if s.Frozen != "" {
		found = append(found, "Nothing is cut: "+s.Frozen)
	}
	last := s.LastAccepted()
	switch limit := cmp.Or(s.MaxAge, defaultMaxAge); {
	case len(s.Payloads) == 0:
		return append(found, "There is no payload yet.")
	case last == nil:
		found = append(found, fmt.Sprintf("None of %d payloads was accepted%s", len(s.Payloads), s.since(nil)))
	case now.Sub(last.Created) > limit:
		found = append(found, fmt.Sprintf("The newest accepted payload is %s old, more than %s%s", Age(now.Sub(last.Created)), Age(limit), s.since(last)))
	}
	for _, p := range s.Late(now) {
		age := Age(now.Sub(p.Created))
		if p.Phase == Pending {
			found = append(found, fmt.Sprintf("%s has been building for %s.", p.Version, age))
		} else {
			found = append(found, fmt.Sprintf("%s has waited %s for a verdict%s", p.Version, age, p.waitsFor()))
		}
	}
	return found
}

// Late returns the payloads, the newest first, that are built or wait for a verdict for
// longer than they may. Those older than the newest accepted one do not count.
func (s *Stream) Late(now time.Time) []*Payload {
	if s.EndOfLife {
		return nil
	}
	var late []*Payload
	last := s.LastAccepted()
	for _, p := range s.Payloads {
		if p == last {
			break
		}
		age := now.Sub(p.Created)
		if p.Phase == Pending && age > defaultMaxBuild || p.Phase == Ready && age > cmp.Or(s.MaxCheck, defaultMaxCheck) {
			late = append(late, p)
		}
	}
	return late
}

// since counts what became of the payloads after the last accepted one, and tells
// which blocking check failed most.
func (s *Stream) since(last *Payload) string {
	rejected, checks := 0, map[string]int{}
	for _, p := range s.Payloads {
		if p == last {
			break
		}
		if p.Phase == Rejected || p.Phase == Failed {
			rejected++
		}
		for _, c := range p.Checks {
			if c.Blocking && c.State == CheckFailed {
				checks[c.Name]++
			}
		}
	}
	if rejected == 0 {
		return "."
	}
	text := fmt.Sprintf("; %d since then failed", rejected)
	if last == nil {
		text = fmt.Sprintf("; %d failed", rejected)
	}
	most := ""
	for name, n := range checks {
		if most == "" || n > checks[most] || n == checks[most] && name < most {
			most = name
		}
	}
	if most != "" {
		text += fmt.Sprintf(", most often in %s (%d)", most, checks[most])
	}
	return text + "."
}

// waitsFor names the blocking checks without an answer.
func (p *Payload) waitsFor() string {
	var names []string
	for _, c := range p.Checks {
		if c.Blocking && (c.State == Missing || c.State == Running || c.State == Unclear) {
			names = append(names, c.Name)
		}
	}
	if len(names) == 0 {
		return "; all checks have answered, and nobody decided."
	}
	return ": no answer from " + strings.Join(names, ", ") + "."
}

// Age writes how long something is, in the largest unit of which there are two or more.
func Age(d time.Duration) string {
	switch day := 24 * time.Hour; {
	case d < 0:
		return "0 s"
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 2*day:
		return fmt.Sprintf("%d h", int(d.Hours()))
	default:
		return fmt.Sprintf("%d days", int(d/day))
	}
}
