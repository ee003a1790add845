package manifests_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/manifests"
)

// many makes the manifests of a payload the size of OKD's: 90 components with 12 each.
func many() []release.File {
	const text = `apiVersion: apps/v1
kind: Deployment
metadata:
  name: web-%[2]d
  namespace: component-%[1]d
  annotations:
    include.release.openshift.io/self-managed-high-availability: "true"
spec:
  replicas: 2
  selector:
    matchLabels: {app: web-%[2]d}
  template:
    metadata:
      labels: {app: web-%[2]d}
    spec:
      containers:
      - name: web
        image: registry.example/skiff/etcd:1
        args: [--leader-elect=true, "--listen=:8443"]
        env:
        - {name: RELATED_IMAGE, value: registry.example/skiff/kube-proxy}
        readinessProbe: {httpGet: {path: /readyz, port: 8443}}
        resources: {requests: {cpu: 10m, memory: 32Mi}}
`
	var files []release.File
	for c := range 90 {
		for n := range 12 {
			files = append(files, release.File{Name: fmt.Sprintf("0000_50_c%02d_%02d.yaml", c, n), Data: fmt.Appendf(nil, text, c, n)})
		}
	}
	return files
}

func BenchmarkParseAll(b *testing.B) {
	files := many()
	for b.Loop() {
		if _, err := manifests.ParseAll(files); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSubstitute(b *testing.B) {
	files := many()
	s := substitution()
	for b.Loop() {
		for _, f := range files {
			if _, err := manifests.Substitute(f.Name, f.Data, s); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkSubstituteOneLine is of a file with 50,000 images on a single line.
func BenchmarkSubstituteOneLine(b *testing.B) {
	data := []byte(`{"images":["` + strings.Repeat(`registry.example/skiff/etcd:1","`, 50_000) + `"]}`)
	s := substitution()
	for b.Loop() {
		if _, err := manifests.Substitute("f.json", data, s); err != nil {
			b.Fatal(err)
		}
	}
}
