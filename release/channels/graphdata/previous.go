package graphdata

import (
	"fmt"
	"slices"
	"strings"

	"github.com/blang/semver/v4"
)

// Suggested is a version, and whether and why a new release may be upgraded from it.
type Suggested struct {
	Version string `json:"version"`
	Taken   bool   `json:"taken"`
	Why     string `json:"why"`
}

// Previous are the versions that the build suggestions let a new release of one
// architecture be upgraded from, of those that channels list for it; and older ones of the
// minor versions concerned that they do not. They are ascending.
func (d *Data) Previous(version, arch string) ([]Suggested, error) {
	fail := func(err error) ([]Suggested, error) {
		return nil, fmt.Errorf("looking for what %q may be upgraded from: %w", version, err)
	}
	v, err := semver.Parse(version)
	if err != nil {
		return fail(err)
	}
	minor := fmt.Sprintf("%d.%d", v.Major, v.Minor)
	at := slices.IndexFunc(d.Suggestions, func(s Suggestions) bool { return s.Minor == minor })
	if at < 0 {
		return fail(fmt.Errorf("graph-data %q has no %s/%s%s", d.Path, suggestionsDir, minor, extension))
	}
	file := d.Suggestions[at]
	s, ok := file.ByArch[arch]
	if !ok {
		s, ok = file.ByArch["default"]
	}
	if !ok {
		return fail(fmt.Errorf("%s says nothing of architecture %q and has no default", file.File(), arch))
	}
	own, err := newSpan("z", s.ZMin, s.ZMax, s.ZBlockList)
	if err != nil {
		return fail(fmt.Errorf("reading %s: %w", file.File(), err))
	}
	before, err := newSpan("minor", s.MinorMin, s.MinorMax, s.MinorBlockList)
	if err != nil {
		return fail(fmt.Errorf("reading %s: %w", file.File(), err))
	}
	all := []Suggested{}
	for _, from := range d.listed(arch) {
		o := semver.MustParse(from) // is one of those that parse
		if !o.LT(v) {
			continue
		}
		of := before
		if o.Major == v.Major && o.Minor == v.Minor {
			of = own
		} else if !of.concerns(o) {
			continue
		}
		taken, why := of.judge(o)
		all = append(all, Suggested{from, taken, why})
	}
	return all, nil
}

// listed are the versions that channels list for an architecture, bare, ascending and each
// once.
func (d *Data) listed(arch string) []string {
	var all []string
	for _, c := range slices.Concat(d.Channels, d.Internal) {
		for _, text := range c.Versions {
			bare, only, _ := strings.Cut(text, "+")
			if _, err := semver.Parse(bare); err == nil && (only == "" || only == arch) {
				all = append(all, bare)
			}
		}
	}
	slices.SortFunc(all, compareVersions)
	return slices.Compact(all)
}

// span is a range of versions of build suggestions, both ends included.
type span struct {
	field    string // that its fields begin with
	min, max *semver.Version
	blocked  []string
}

func newSpan(field, least, most string, blocked []string) (span, error) {
	s := span{field: field, blocked: blocked}
	for end, text := range map[**semver.Version]string{&s.min: least, &s.max: most} {
		if text == "" {
			continue
		}
		v, err := semver.Parse(text)
		if err != nil {
			return s, fmt.Errorf("%q is no version: %w", text, err)
		}
		*end = &v
	}
	return s, nil
}

// concerns says whether a version is of a minor version that the span reaches into.
func (s span) concerns(v semver.Version) bool {
	if s.min == nil {
		return false
	}
	first := semver.Version{Major: s.min.Major, Minor: s.min.Minor, Pre: []semver.PRVersion{{VersionNum: 0, IsNum: true}}}
	return v.GE(first) && (s.max == nil || v.LE(*s.max))
}

// judge says whether a version is in the span, and why.
func (s span) judge(v semver.Version) (taken bool, why string) {
	switch {
	case s.min == nil:
		return false, fmt.Sprintf("%s_min does not say from which version on", s.field)
	case v.LT(*s.min):
		return false, fmt.Sprintf("it is older than %s_min, %s", s.field, s.min)
	case s.max != nil && v.GT(*s.max):
		return false, fmt.Sprintf("it is newer than %s_max, %s", s.field, s.max)
	case slices.Contains(s.blocked, v.String()):
		return false, fmt.Sprintf("%s_block_list names it", s.field)
	}
	return true, fmt.Sprintf("it is not older than %s_min, %s", s.field, s.min)
}
