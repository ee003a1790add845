package controlplane

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/uuid"
)

// Flags are flags of static pods, without dashes, by part.
type Flags map[string]map[string]string

// Reconfiguration is what a running control plane has beside what its payload says. The
// zero value is nothing.
type Reconfiguration struct {
	// ID is another one for every reconfiguration.
	ID string `json:"id"`
	// Flags hold in place of the payload's.
	Flags Flags `json:"flags,omitempty"`
	// RotateCertificates says that its serving certificates were to be rotated.
	RotateCertificates bool `json:"rotateCertificates,omitempty"`
}

// Change is what is to be different from now on about how a control plane is run.
type Change struct {
	// Set are flags that get a value; Unset, those that are the payload's again.
	Set, Unset Flags
	// RotateCertificates asks for new serving certificates of the same authorities.
	RotateCertificates bool
}

// ParseChange reads changes of flags, each PART.FLAG=VALUE, or PART.FLAG- to take one back.
// All that is wrong is one error.
func ParseChange(flags []string, rotateCertificates bool) (Change, error) {
	c := Change{Set: Flags{}, Unset: Flags{}, RotateCertificates: rotateCertificates}
	var errs []error
	for _, text := range flags {
		if err := c.parse(text); err != nil {
			errs = append(errs, fmt.Errorf("%q: %w", text, err))
		}
	}
	return c, errors.Join(errs...)
}

func (c Change) parse(text string) error {
	name, value, set := strings.Cut(text, "=")
	if !set {
		var unset bool
		if name, unset = strings.CutSuffix(text, "-"); !unset {
			return errors.New("it is neither PART.FLAG=VALUE nor PART.FLAG-")
		}
	}
	part, flag, _ := strings.Cut(name, ".")
	if !slices.Contains(StaticPods, part) {
		return fmt.Errorf("%q is no static pod of a control plane; known are %s", part, strings.Join(StaticPods, ", "))
	}
	if err := checkFlag(part, flag); err != nil {
		return err
	}
	if c.Set.has(part, flag) || c.Unset.has(part, flag) {
		return fmt.Errorf("%s.%s is named twice", part, flag)
	}
	if set {
		c.Set.put(part, flag, value)
	} else {
		c.Unset.put(part, flag, "")
	}
	return nil
}

func (f Flags) has(part, flag string) bool {
	_, ok := f[part][flag]
	return ok
}

func (f Flags) put(part, flag, value string) {
	if f[part] == nil {
		f[part] = map[string]string{}
	}
	f[part][flag] = value
}

// Next is what the reconfiguration r becomes by a change. It is r itself when r is that
// already. complete says that the whole control plane is at r: certificates that were
// rotated then are rotated anew.
func (r Reconfiguration) Next(c Change, complete bool) Reconfiguration {
	flags := Flags{}
	for part, values := range r.Flags {
		for flag, value := range values {
			if !c.Unset.has(part, flag) {
				flags.put(part, flag, value)
			}
		}
	}
	for part, values := range c.Set {
		for flag, value := range values {
			flags.put(part, flag, value)
		}
	}
	same := maps.EqualFunc(flags, r.Flags, maps.Equal)
	if same && (!c.RotateCertificates || r.RotateCertificates && !complete) {
		return r
	}
	return Reconfiguration{ID: string(uuid.NewUUID()), Flags: flags, RotateCertificates: c.RotateCertificates}
}

// String names what is different, one thing a line, each with two spaces before it.
func (r Reconfiguration) String() string {
	var s strings.Builder
	for _, part := range slices.Sorted(maps.Keys(r.Flags)) {
		for _, flag := range slices.Sorted(maps.Keys(r.Flags[part])) {
			fmt.Fprintf(&s, "  %s --%s=%s\n", part, flag, r.Flags[part][flag])
		}
	}
	if r.RotateCertificates {
		s.WriteString("  new serving certificates\n")
	}
	return s.String()
}
