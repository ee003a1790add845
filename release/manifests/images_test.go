package manifests_test

import (
	"strings"
	"testing"

	"github.com/slipway-release/slipway/release/manifests"
)

func TestCheckImages(t *testing.T) {
	const manifest = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: a}
spec:
  template:
    spec:
      initContainers:
      - {name: init, image: nginx}
      containers:
      - name: good
        image: ETCD
      - name: foreign
        image: FOREIGN
      - {name: none}
      ephemeralContainers:
      - {name: debug, image: busybox:1}
      volumes:
      - name: vol
        image: {reference: registry.example/data:1}
      - name: config
        configMap: {name: x}
---
apiVersion: example.com/v1
kind: Boat
metadata: {name: dinghy}
spec:
  crew:
    podTemplate:
      containers:
      - image: busybox:1
        name: merged
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: boats.example.com}
spec:
  versions:
  - schema: {openAPIV3Schema: {properties: {containers: {type: array, items: {properties: {image: {type: string}}}}}}}
`
	foreign := "registry.example/other@sha256:" + strings.Repeat("0", 64)
	text := strings.NewReplacer("ETCD", etcd, "FOREIGN", foreign).Replace(manifest)
	objects, err := manifests.Parse([]byte(text), "f.yaml")
	if err != nil {
		t.Fatal(err)
	}
	err = manifests.CheckImages(objects, func(ref string) bool { return ref == etcd })
	want := strings.Join([]string{
		`f.yaml:8: Deployment a/web: image "nginx" of init container "init" is not pinned by digest`,
		`f.yaml:13: Deployment a/web: image "` + foreign + `" of container "foreign" is not in the payload`,
		`f.yaml:16: Deployment a/web: image "busybox:1" of ephemeral container "debug" is not pinned by digest`,
		`f.yaml:19: Deployment a/web: image "registry.example/data:1" of volume "vol" is not pinned by digest`,
		`f.yaml:30: Boat dinghy: image "busybox:1" of container "merged" is not pinned by digest`,
	}, "\n")
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	if err := manifests.CheckImages(objects[2:], func(string) bool { return false }); err != nil {
		t.Errorf("a schema was taken for a pod: %v", err)
	}
}

// An image that a pod gets by a merge key is as much its own as any.
func TestCheckImagesFollowsMerges(t *testing.T) {
	objects, err := manifests.Parse([]byte("apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: b}\nx-base: &b {image: nginx}\nspec: {containers: [{<<: *b, name: c}]}\n"), "f.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := manifests.CheckImages(objects, func(string) bool { return true }); err == nil || !strings.Contains(err.Error(), `f.yaml:4: Pod b/a: image "nginx" of container "c"`) {
		t.Errorf("got %v", err)
	}
}

// What arguments and variables name is run as well; what only looks like an image
// is left alone.
func TestImagesOfArgumentsAndVariables(t *testing.T) {
	foreign := "registry.example/other@sha256:" + strings.Repeat("0", 64)
	text := strings.NewReplacer("ETCD", etcd, "FOREIGN", foreign).Replace(`apiVersion: v1
kind: Pod
metadata: {name: a, namespace: b}
spec:
  containers:
  - name: c
    image: ETCD
    command: [/bin/x, --config=/etc/x.y/image:1, quay.io/no/flag:1]
    args:
    - --images=a={ETCD},b=FOREIGN
    - --sidecar-image
    - quay.io/a/b:v1
    - --listen
    - quay.io/a/b:v2
    - --proxy=https://quay.io/a/image:v3
    - --mirror-image=docker://localhost:5000/a:v4
    env:
    - {name: RELATED_IMAGE_X, value: registry.example:443/a/b:latest}
    - {name: OTHER, value: registry.example:443/a/b:latest}
    - {name: IMAGE_REPOSITORY, value: quay.io/a/b}
    - {name: PULL, value: FOREIGN}
    - {name: IMAGE_FROM, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
---
apiVersion: image.openshift.io/v1
kind: ImageStream
metadata: {name: cli, namespace: openshift}
spec:
  tags:
  - {name: latest, from: {kind: DockerImage, name: quay.io/okd/cli:4}}
  - {name: alias, from: {kind: ImageStreamTag, name: latest}}
`)
	objects, err := manifests.Parse([]byte(text), "f.yaml")
	if err != nil {
		t.Fatal(err)
	}
	err = manifests.CheckImages(objects, func(ref string) bool { return ref == etcd })
	want := strings.Join([]string{
		`f.yaml:10: Pod b/a: image "` + foreign + `" of argument of container "c" is not in the payload`,
		`f.yaml:12: Pod b/a: image "quay.io/a/b:v1" of argument of container "c" is not pinned by digest`,
		`f.yaml:16: Pod b/a: image "localhost:5000/a:v4" of argument of container "c" is not pinned by digest`,
		`f.yaml:18: Pod b/a: image "registry.example:443/a/b:latest" of environment variable "RELATED_IMAGE_X" is not pinned by digest`,
		`f.yaml:10: Pod b/a: image "` + foreign + `" of environment variable "PULL" is not in the payload`,
		`f.yaml:29: ImageStream openshift/cli: image "quay.io/okd/cli:4" of tag "latest" is not pinned by digest`,
	}, "\n")
	var got []string
	for _, line := range strings.Split(want, "\n") {
		if err == nil || !strings.Contains(err.Error(), line) {
			t.Errorf("got\n%v\nwant a line %s", err, line)
		}
		got = append(got, line)
	}
	if err != nil && strings.Count(err.Error(), "\n") != len(got)-1 {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}
