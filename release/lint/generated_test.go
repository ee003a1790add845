package lint_test

import (
	"strings"
	"testing"

	"github.com/slipway-release/slipway/internal/oci/ocitest"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/lint"
	"github.com/slipway-release/slipway/release/releasetest"
)

// What oc would make of the generated set has nothing wrong with it.
func TestGeneratedPayload(t *testing.T) {
	set := releasetest.New(t, ocitest.Registry(t).Addr(), releasetest.Options{Components: 190, Operators: 90, LayerBytes: 1})
	payload := set.Payload("4.19.0-okd-scos.1")
	var all []release.File
	var refs release.ImageReferences
	for _, f := range payload.Files() {
		if f.Name == release.ReferencesFile {
			var err error
			if refs, err = release.ParseImageReferences(f.Data); err != nil {
				t.Fatal(err)
			}
		}
		all = append(all, release.File{Name: f.Name, Data: f.Data})
	}
	report := lint.Run(all, refs, lint.Options{Now: today, Profile: "self-managed-high-availability"})
	var b strings.Builder
	report.Text(&b)
	if report.Failed(lint.Warning) || report.Objects < 1000 || report.Kubernetes == "" {
		t.Error(b.String())
	}
}
