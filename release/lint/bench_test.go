package lint_test

import (
	"fmt"
	"testing"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/lint"
)

// many are the manifests of a payload the size of OKD's: 90 components with 12 each.
func many() []release.File {
	var all []release.File
	for c := range 90 {
		namespace := fmt.Sprintf("component-%d", c)
		add := func(n int, text string) {
			all = append(all, release.File{Name: fmt.Sprintf("0000_50_c%02d_%02d.yaml", c, n), Data: []byte(text)})
		}
		add(0, fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata: {name: %s}\n", namespace))
		add(1, fmt.Sprintf("apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: web, namespace: %s}\n", namespace))
		for n := 2; n < 12; n++ {
			name := fmt.Sprintf("web-%d", n)
			text := ""
			for _, f := range files(deployment("replicas: 2", probed+"\nserviceAccountName: web\n"+spread) + svc + pdb("maxUnavailable: 1")) {
				text += string(f.Data)
			}
			add(n, replaceAll(text, "name: web, namespace: default", "name: "+name+", namespace: "+namespace, "app: web", "app: "+name))
		}
	}
	return all
}

// BenchmarkRun is of 1,080 files with 2,880 objects.
func BenchmarkRun(b *testing.B) {
	all := many()
	report := lint.Run(all, references(), lint.Options{Now: today})
	if len(report.Findings) != 0 || report.Files != 1080 || report.Objects != 2880 {
		b.Fatal(report.Summary(), report.Findings[:min(3, len(report.Findings))])
	}
	for b.Loop() {
		lint.Run(all, references(), lint.Options{Now: today})
	}
}
