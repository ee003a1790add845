package extract

import (
	"testing"

	"github.com/slipway-release/slipway/release"
)

func version(t testing.TB) release.Version {
	t.Helper()
	v, err := release.Parse("4.19.0-okd-scos.16")
	if err != nil {
		t.Fatal(err)
	}
	return v
}
