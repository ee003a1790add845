package images_test

import (
	"slices"
	"testing"

	"github.com/slipway-release/slipway/images"
)

// Packages of requests that an older lock has as well stay what they were.
func TestKeepPackages(t *testing.T) {
	locked := func(version string, packages ...string) images.LockedDebian {
		return images.LockedDebian{Suite: "bookworm", Variant: "minbase", Packages: packages, Closure: []images.DebPackage{{Name: "bash", Version: version}}}
	}
	older := &images.Lockfile{Debian: []images.LockedDebian{locked("1", "bash"), locked("1", "curl")}}
	l := &images.Lockfile{Debian: []images.LockedDebian{locked("2", "bash"), locked("2", "bash", "curl")}}
	l.KeepPackages(older)
	if l.Debian[0].Closure[0].Version != "1" || l.Debian[1].Closure[0].Version != "2" {
		t.Errorf("got %+v", l.Debian)
	}
}

func TestWithBases(t *testing.T) {
	var all []*images.Recipe
	for _, r := range [][2]string{{"top", "middle"}, {"middle", "bottom"}, {"other", "bottom"}, {"bottom", ""}, {"alone", ""}} {
		all = append(all, &images.Recipe{Metadata: images.Metadata{Name: r[0]}, From: r[1]})
	}
	for want, names := range map[string][]string{"top middle bottom ": {"top"}, "middle other bottom ": {"other", "middle"}, "alone ": {"alone", "nobody"}, "": nil} {
		got := ""
		for _, r := range images.WithBases(all, names...) {
			got += r.Metadata.Name + " "
		}
		if got != want {
			t.Errorf("%v: got %q, want %q", slices.Sorted(slices.Values(names)), got, want)
		}
	}
	if got := images.StandingOn(all, "bottom", "top"); !slices.Equal(got, []string{"middle", "other"}) {
		t.Errorf("on bottom stand %v", got)
	}
}
