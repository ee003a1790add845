package sign_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	spdxjson "github.com/spdx/tools-golang/json"
	spdx "github.com/spdx/tools-golang/spdx/v2/v2_3"
	"github.com/spdx/tools-golang/spdxlib"

	"github.com/slipway-release/slipway/internal/golden"
	"github.com/slipway-release/slipway/release/sign"
)

func checkJSON(t *testing.T, name string, got []byte) {
	t.Helper()
	var indented bytes.Buffer
	if err := json.Indent(&indented, got, "", "  "); err != nil {
		t.Fatal(err)
	}
	indented.WriteByte('\n')
	golden.Check(t, "testdata/"+name, indented.Bytes())
}

var (
	hexA = strings.Repeat("a", 64)
	hexB = strings.Repeat("b", 64)
	hexC = strings.Repeat("c", 64)
)

func sbomOptions() sign.SBOMOptions {
	shared := sign.Package{Kind: "golang", Name: "golang.org/x/net", Version: "v0.59.0", PURL: "pkg:golang/golang.org/x/net@v0.59.0", Digest: map[string]string{"dirHash": hexB}}
	return sign.SBOMOptions{
		Name: "skiff 1.36.3", Namespace: "https://slipway.dev/spdx/skiff/1.36.3/" + hexA,
		Created: time.Date(2026, 11, 20, 10, 15, 0, 0, time.FixedZone("x", 3600)), Tool: "slipway",
		Payload: sign.ImageContent{Component: "release", Reference: canonical + "/release@sha256:" + hexA},
		Images: []sign.ImageContent{
			{Component: "machine-os", Reference: canonical + "/machine-os@sha256:" + hexC, Packages: []sign.Package{
				{Kind: "deb", Name: "bash", Version: "5.2.15-2+b7", PURL: "pkg:deb/debian/bash@5.2.15-2%2Bb7?arch=amd64", Digest: map[string]string{"sha256": hexC}},
			}},
			{Component: "etcd", Reference: canonical + "/etcd@sha256:" + hexB, Packages: []sign.Package{
				shared,
				{Kind: "golang", Name: "go.etcd.io/etcd/server/v3", Version: "v3.6.6", PURL: "pkg:golang/go.etcd.io/etcd/server/v3@v3.6.6"},
				shared,
			}},
			{Component: "coredns", Reference: canonical + "/coredns@sha256:" + hexA, Packages: []sign.Package{shared}},
		},
	}
}

func TestSBOM(t *testing.T) {
	got, err := sign.NewSBOM(sbomOptions())
	if err != nil {
		t.Fatal(err)
	}
	checkJSON(t, "sbom.json", got)

	// The order in which things were found does not matter.
	shuffled := sbomOptions()
	slices.Reverse(shuffled.Images)
	for _, img := range shuffled.Images {
		slices.Reverse(img.Packages)
	}
	if again, err := sign.NewSBOM(shuffled); err != nil || !bytes.Equal(again, got) {
		t.Errorf("another order gives another document, %v", err)
	}

	// SPDX's own library reads and accepts it.
	var doc spdx.Document
	if err := spdxjson.ReadInto(bytes.NewReader(got), &doc); err != nil {
		t.Fatal(err)
	}
	if err := spdxlib.ValidateDocument(&doc); err != nil {
		t.Error(err)
	}
	if len(doc.Packages) != 1+3+3 {
		t.Errorf("%d packages, want the payload, three images and three packages", len(doc.Packages))
	}
}

func TestSBOMRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*sign.SBOMOptions)
		want   string
	}{
		"namespace": {func(o *sign.SBOMOptions) { o.Namespace = "skiff" }, "absolute URI"},
		"tag":       {func(o *sign.SBOMOptions) { o.Images[0].Reference = canonical + "/machine-os:v1" }, "must end in a digest"},
		"twice":     {func(o *sign.SBOMOptions) { o.Images[0].Component = "etcd" }, "twice"},
		"no name":   {func(o *sign.SBOMOptions) { o.Images[0].Packages[0].Name = "" }, "without a name"},
	} {
		o := sbomOptions()
		test.change(&o)
		if _, err := sign.NewSBOM(o); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

func TestProvenance(t *testing.T) {
	at := time.Date(2026, 11, 20, 11, 15, 0, 999, time.FixedZone("x", 3600))
	p := sign.NewProvenance(sign.BuildDefinition{
		BuildType:          "https://slipway.dev/build/payload/v1",
		ExternalParameters: map[string]string{"distribution": "skiff"},
		ResolvedDependencies: []sign.Material{
			{URI: "pkg:golang/k8s.io/kubernetes@v1.36.3", Digest: map[string]string{"dirHash": hexB}},
			{URI: "git+https://github.com/etcd-io/etcd", Digest: map[string]string{"gitCommit": strings.Repeat("d", 40)}},
			{URI: "pkg:golang/k8s.io/kubernetes@v1.36.3", Digest: map[string]string{"dirHash": hexB}},
		},
	}, sign.RunDetails{
		Builder:  sign.Builder{ID: "https://slipway.dev/builder/local"},
		Metadata: sign.RunMetadata{InvocationID: "2026-11-20-101500", StartedOn: at, FinishedOn: at.Add(time.Minute)},
	})
	got, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	checkJSON(t, "provenance.json", got)
}
