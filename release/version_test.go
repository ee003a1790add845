package release_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/slipway-release/slipway/release"
)

func TestParseVersion(t *testing.T) {
	for name, want := range map[string]struct{ base, stream, time string }{
		"1.36.3-0.nightly-2026-11-20-101500":            {"1.36.3", "nightly", "2026-11-20T10:15:00Z"},
		"4.15.0-0.okd-2024-03-10-010116":                {"4.15.0", "okd", "2024-03-10T01:01:16Z"},
		"4.16.0-0.okd-scos-2024-06-26-093335":           {"4.16.0", "okd-scos", "2024-06-26T09:33:35Z"},
		"4.16.0-0.nightly-multi-2024-06-26-093335":      {"4.16.0", "nightly-multi", "2024-06-26T09:33:35Z"},
		"4.20.0-0.konflux-nightly-2025-06-26-093335":    {"4.20.0", "konflux-nightly", "2025-06-26T09:33:35Z"},
		"4.20.0-0.ci-2025-06-26-093335":                 {"4.20.0", "ci", "2025-06-26T09:33:35Z"},
		"4.15.0-0.ci.test-2023-11-28-123456-ci-op-1-la": {"4.15.0", "", ""},
		"0.0.1-2024-03-10-010116":                       {"0.0.1", "", "2024-03-10T01:01:16Z"},
		"4.19.0-okd-scos.16":                            {"4.19.0", "okd-scos", ""},
		"4.20.0-okd-scos.ec.14":                         {"4.20.0", "okd-scos", ""},
		"4.19.0-rc.1":                                   {"4.19.0", "", ""},
		"4.14.11":                                       {"4.14.11", "", ""},
	} {
		v, err := release.Parse(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		stamp := ""
		if at, ok := v.Time(); ok {
			stamp = at.Format(time.RFC3339)
		}
		if v.String() != name || v.Tag() != name || v.Base() != want.base || v.Stream() != want.stream || stamp != want.time {
			t.Errorf("%s: got base %q, stream %q, time %q", name, v.Base(), v.Stream(), stamp)
		}
	}
}

func TestParseVersionRefuses(t *testing.T) {
	for _, name := range []string{
		"", "1.36", "v1.36.3", "1.36.03", "latest", "1.36.3+build", "1.36.3-0.nightly-2026-11-20-101500+amd64",
		"1.36.3-0.nightly-2026-02-30-101500", "1.36.3-0.nightly-2026-11-20-246161", "0.0.1-2024-13-10-010116",
		"1.36.3-0.nightly_2026", "1.36.3-", " 1.36.3", "1.36.3\n", "1.36.3-" + strings.Repeat("a", 128),
	} {
		if v, err := release.Parse(name); err == nil {
			t.Errorf("%q was read as %q", name, v)
		}
	}
	if _, err := release.Parse("1.0.0-" + strings.Repeat("a", 122)); err != nil {
		t.Errorf("128 characters are allowed: %v", err)
	}
}

// The order is that of the field's own versions, the odd parts of it included.
func TestVersionOrder(t *testing.T) {
	want := []string{
		"4.19.0-0.ci-2026-01-01-000000", "4.19.0-0.nightly-2024-01-01-000000", "4.19.0-0.nightly-2025-12-31-235959",
		"4.19.0-0.okd-2024-01-01-000000", "4.19.0-0.okd-scos-2023-01-01-000000", "4.19.0-ec.1", "4.19.0-okd-scos.9",
		"4.19.0-okd-scos.16", "4.19.0-okd-scos.ec.14", "4.19.0-rc.1", "4.19.0", "4.19.10", "4.20.0-ec.0",
	}
	var versions []release.Version
	for _, name := range slices.Backward(want) {
		v, err := release.Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		versions = append(versions, v, v)
	}
	sorted := release.SortVersions(versions)
	var got []string
	for _, v := range sorted {
		got = append(got, v.String())
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestNewVersion(t *testing.T) {
	at := time.Date(2026, 11, 20, 11, 15, 0, 999, time.FixedZone("", 3600))
	var taken []release.Version
	for _, want := range []string{
		"1.36.3-0.nightly-2026-11-20-101500", "1.36.3-0.nightly-2026-11-20-101501", "1.36.3-0.nightly-2026-11-20-101502",
	} {
		v, err := release.New("1.36.3", "nightly", at, taken)
		if err != nil {
			t.Fatal(err)
		}
		if v.String() != want {
			t.Errorf("got %s, want %s", v, want)
		}
		taken = append(taken, v)
	}
	other, err := release.New("1.36.3", "weekly", at, taken)
	if err != nil || other.String() != "1.36.3-0.weekly-2026-11-20-101500" {
		t.Errorf("another stream: got %s, %v", other, err)
	}
	for _, bad := range [][2]string{{"1.36", "nightly"}, {"1.36.3-rc.1", "nightly"}, {"v1.36.3", "nightly"}, {"1.36.3", ""}, {"1.36.3", "Nightly"}, {"1.36.3", "a--b"}, {"1.36.3", "a.b"}} {
		if v, err := release.New(bad[0], bad[1], at, nil); err == nil {
			t.Errorf("base %q and stream %q gave %s", bad[0], bad[1], v)
		}
	}
}

func FuzzParseVersion(f *testing.F) {
	for _, seed := range []string{"1.36.3-0.nightly-2026-11-20-101500", "4.20.0-okd-scos.ec.14", "4.14.11", "1.0.0-0.a-2026-02-30-000000", "1.0.0+x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := release.Parse(s)
		if err != nil {
			if !v.IsZero() {
				t.Errorf("%q: a version and an error", s)
			}
			return
		}
		if v.String() != s || v.Compare(v) != 0 || len(s) > 128 || strings.Contains(s, "+") {
			t.Errorf("%q came back as %q", s, v)
		}
		if at, ok := v.Time(); ok && !strings.HasSuffix(s, at.Format(release.StampLayout)) {
			t.Errorf("%q was dated %s", s, at)
		}
	})
}
