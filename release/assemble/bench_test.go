package assemble_test

import (
	"fmt"
	"strings"
	"testing"

	. "github.com/slipway-release/slipway/internal/layer/layertest"
	"github.com/slipway-release/slipway/release/assemble"
)

// BenchmarkAssemble is a payload of OpenShift's size: 190 components, 90 of them
// with 12 manifests each.
func BenchmarkAssemble(b *testing.B) {
	o := assemble.Options{Version: version(b, "1.36.3-0.nightly-2026-11-20-101500"), Repository: repository, Base: "c000"}
	for i := range 190 {
		name := fmt.Sprintf("c%03d", i)
		if i >= 90 {
			o.Components = append(o.Components, component(b, name, nil, Layer(b, File("name", name))))
			continue
		}
		var entries []Entry
		for m := range 12 {
			text := strings.NewReplacer("name: web", fmt.Sprintf("name: %s-%d", name, m), "skiff/etcd", "skiff/c001", "quay.io/upstream/web:dev", repository+"/"+name,
				"skiff/proxy:1", "skiff/c002", "0.0.1-snapshot-kubernetes", "0.0.1-snapshot").Replace(deployment)
			entries = append(entries, File(fmt.Sprintf("manifests/%02d.yaml", m), text+strings.Repeat("# filler to the size of a usual manifest\n", 30)))
		}
		o.Components = append(o.Components, component(b, name, operator(), Layer(b, entries...)))
	}
	for b.Loop() {
		if _, _, err := assemble.Assemble(b.Context(), o); err != nil {
			b.Fatal(err)
		}
	}
}
