package release

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/blang/semver/v4"
)

// StampLayout is how a version carries the second it was cut at, in UTC.
const StampLayout = "2006-01-02-150405"

// maxVersion is the longest tag a registry accepts.
const maxVersion = 128

var (
	stampPattern    = regexp.MustCompile(`(?:^|-)(\d{4}-\d{2}-\d{2}-\d{6})$`)
	datedPattern    = regexp.MustCompile(`^0\.([a-z0-9]+(?:-[a-z0-9]+)*)-(\d{4}-\d{2}-\d{2}-\d{6})$`)
	promotedPattern = regexp.MustCompile(`^(okd|okd-scos)\.(?:(?:ec|rc|fc)\.)?\d+$`)
	streamPattern   = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
)

// Version names a release. It is valid semver without build metadata and a
// valid registry tag. Slipway's own form is
//
//	1.36.3-0.nightly-2026-11-20-101500    <base>-0.<stream>-<date>
//
// Others of the field are understood as well: 4.16.0-0.okd-scos-2024-06-26-093335,
// 4.19.0-okd-scos.16, 4.20.0-okd-scos.ec.14, 4.19.0-rc.1, 0.0.1-2024-03-10-010116, 4.19.0.
// Versions are comparable with == and usable as keys; the zero Version names nothing.
type Version struct {
	name   string
	base   string
	stream string
	stamp  int64 // Unix seconds, 0 without a date
}

// Parse reads a version. What ends like a date but is none, such as the
// 31st of February, is an error.
func Parse(s string) (Version, error) {
	if len(s) > maxVersion {
		return Version{}, fmt.Errorf("parsing version %q...: longer than %d characters", s[:32], maxVersion)
	}
	sv, err := semver.Parse(s)
	if err != nil {
		return Version{}, fmt.Errorf("parsing version %q: %w", s, err)
	}
	if len(sv.Build) > 0 {
		return Version{}, fmt.Errorf("parsing version %q: build metadata (behind +) cannot stand in a registry tag", s)
	}
	base, pre, _ := strings.Cut(s, "-")
	v := Version{name: s, base: base}
	if m := promotedPattern.FindStringSubmatch(pre); m != nil {
		v.stream = m[1]
	}
	m := stampPattern.FindStringSubmatch(pre)
	if m == nil {
		return v, nil
	}
	t, err := time.ParseInLocation(StampLayout, m[1], time.UTC)
	if err != nil {
		return Version{}, fmt.Errorf("parsing version %q: %q is not a date: %w", s, m[1], err)
	}
	if d := datedPattern.FindStringSubmatch(pre); d != nil {
		v.stream = d[1]
	}
	v.stamp = t.Unix()
	return v, nil
}

// New names a release that is cut now: base is the version of what is
// released ("1.36.3"), stream the name of the stream ("nightly"). When one of
// taken bears the name already, the next free second is used, so that two cuts
// in one second get different names.
func New(base, stream string, now time.Time, taken []Version) (Version, error) {
	sv, err := semver.Parse(base)
	if err != nil {
		return Version{}, fmt.Errorf("naming a release: parsing base version %q: %w", base, err)
	}
	if len(sv.Pre) > 0 || len(sv.Build) > 0 {
		return Version{}, fmt.Errorf("naming a release: base version %q must be three numbers", base)
	}
	if !streamPattern.MatchString(stream) {
		return Version{}, fmt.Errorf("naming a release: stream %q must be lower case letters and digits, joined by single dashes", stream)
	}
	for t := now.UTC().Truncate(time.Second); ; t = t.Add(time.Second) {
		v, err := Parse(fmt.Sprintf("%s-0.%s-%s", base, stream, t.Format(StampLayout)))
		if err != nil {
			return Version{}, fmt.Errorf("naming a release: %w", err)
		}
		if !slices.Contains(taken, v) {
			return v, nil
		}
	}
}

// String returns the whole name.
func (v Version) String() string { return v.name }

// Tag returns the registry tag of the release, which is its name.
func (v Version) Tag() string { return v.name }

// Base returns the three numbers, "1.36.3".
func (v Version) Base() string { return v.base }

// Stream returns the stream that the name tells, "nightly", or "".
func (v Version) Stream() string { return v.stream }

// Time returns the second the release was cut at, in UTC, if the name tells it.
func (v Version) Time() (time.Time, bool) {
	if v.stamp == 0 {
		return time.Time{}, false
	}
	return time.Unix(v.stamp, 0).UTC(), true
}

// IsZero reports whether the version names nothing.
func (v Version) IsZero() bool { return v.name == "" }

// Semver returns the version for range checks. That of the zero Version is 0.0.0.
func (v Version) Semver() semver.Version {
	sv, err := semver.Parse(v.name)
	if err != nil { // only the zero Version; every other was parsed before
		return semver.Version{}
	}
	return sv
}

// Compare orders by semver precedence: negative when v comes before w.
func (v Version) Compare(w Version) int { return v.Semver().Compare(w.Semver()) }

// SortVersions returns the versions in ascending order, each once.
func SortVersions(versions []Version) []Version {
	sorted := slices.Clone(versions)
	slices.SortFunc(sorted, Version.Compare)
	return slices.Compact(sorted)
}

// MarshalText writes the name; the zero Version has none and cannot be written.
func (v Version) MarshalText() ([]byte, error) {
	if v.IsZero() {
		return nil, errors.New("writing version: it is empty")
	}
	return []byte(v.name), nil
}

// UnmarshalText is Parse.
func (v *Version) UnmarshalText(text []byte) error {
	parsed, err := Parse(string(text))
	if err != nil {
		return err
	}
	*v = parsed
	return nil
}
