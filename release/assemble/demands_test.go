package assemble_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/blang/semver/v4"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-release/slipway/internal/oci/ocitest"
	"github.com/slipway-release/slipway/release/assemble"
	"github.com/slipway-release/slipway/release/releasetest"

	. "github.com/slipway-release/slipway/internal/layer/layertest"
)

// asRead is a payload image as oc and the cluster-version operator read it: with
// encoding/json and archive/tar, and nothing of the code under test.
type asRead struct {
	manifest v1.Manifest
	config   v1.ConfigFile
	base     *v1.ConfigFile
	names    []string // of release-manifests/, in the archive's order
	headers  []*tar.Header
	files    map[string][]byte
	stream   imageStream
	metadata cincinnati
	docker   bool
	multi    bool
}

type imageStream struct {
	Kind, APIVersion string
	Metadata         struct {
		Name              string
		CreationTimestamp string
		Annotations       map[string]string
	}
	Spec struct {
		LookupPolicy json.RawMessage
		Tags         []struct {
			Name            string
			Annotations     map[string]string
			From            struct{ Kind, Name string }
			Generation      *int64
			ImportPolicy    json.RawMessage
			ReferencePolicy json.RawMessage
		}
	}
	Status json.RawMessage
}

type cincinnati struct {
	Kind, Version  string
	Previous, Next []string
	Metadata       map[string]any
}

func readAsOC(t *testing.T, img v1.Image, base *v1.ConfigFile, docker, multi bool) *asRead {
	t.Helper()
	r := &asRead{base: base, files: map[string][]byte{}, docker: docker, multi: multi}
	raw, err := img.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	strict(t, raw, &r.manifest)
	if raw, err = img.RawConfigFile(); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &r.config); err != nil {
		t.Fatal(err)
	}
	last, err := img.LayerByDigest(r.manifest.Layers[len(r.manifest.Layers)-1].Digest)
	if err != nil {
		t.Fatal(err)
	}
	packed, err := last.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	r.unpack(t, packed)
	strict(t, r.files["image-references"], &r.stream)
	strict(t, r.files["release-metadata"], &r.metadata)
	return r
}

func strict(t *testing.T, data []byte, into any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		t.Fatalf("%v: %s", err, data)
	}
}

func (r *asRead) unpack(t *testing.T, packed io.ReadCloser) {
	t.Helper()
	defer packed.Close()
	zr, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	for tr := tar.NewReader(zr); ; {
		header, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		r.headers = append(r.headers, header)
		dir, name := path.Split(header.Name)
		if dir != "release-manifests/" {
			continue
		}
		r.names = append(r.names, name)
		if r.files[name], err = io.ReadAll(tr); err != nil {
			t.Fatal(err)
		}
	}
}

func (r *asRead) manifests() []string { return r.names[min(2, len(r.names)):] }

var (
	pinnedByDigest = regexp.MustCompile(`^[a-z0-9.:-]+/\S+@sha256:[0-9a-f]{64}$`)
	pinnedAnywhere = regexp.MustCompile(`[a-z0-9.:-]+(?:/[a-zA-Z0-9._-]+)+@sha256:[0-9a-f]{64}`)
	runLevel       = regexp.MustCompile(`^0000_(\d+)_([a-zA-Z0-9]+(-[a-zA-Z0-9]+)*?)_`)
	versionKey     = regexp.MustCompile(`^[a-z0-9]+[\-a-z0-9]*[a-z0-9]+$`)
	displayName    = regexp.MustCompile(`^[a-zA-Z0-9\-:\s().]+$`)
	sourceImage    = regexp.MustCompile(`(?m)^[^#\n]*quay\.io/upstream/`) // comments may speak of them
	snapshot       = regexp.MustCompile(`(\W|^)0\.0\.1-snapshot([a-z0-9\-]*)`)
)

// demands are what oc adm release, the cluster-version operator and the update
// service ask of a payload, by the name of whoever asks. check says what is wrong.
var demands = map[string]func(r *asRead) string{
	"info reads the last layer alone: all files are in it": func(r *asRead) string {
		if len(r.names) < 3 || r.headers[0].Typeflag != tar.TypeDir || strings.TrimSuffix(r.headers[0].Name, "/") != "release-manifests" {
			return fmt.Sprint(r.names)
		}
		return ""
	},
	"extract takes files of release-manifests/, no links, no folders": func(r *asRead) string {
		for _, h := range r.headers[1:] {
			if h.Typeflag != tar.TypeReg || path.Dir(h.Name) != "release-manifests" || h.Mode != 0o444 || h.Uid != 0 || h.Gid != 0 {
				return fmt.Sprintf("%+v", h)
			}
		}
		return ""
	},
	"image-references and release-metadata come first": func(r *asRead) string {
		return unequal(r.names[:2], []string{"image-references", "release-metadata"})
	},
	"two labels, and none of the base's": func(r *asRead) string {
		labels := r.config.Config.Labels
		if labels["io.openshift.release"] != r.metadata.Version || len(labels) != 2 || !strings.HasPrefix(labels["io.openshift.release.base-image-digest"], "sha256:") {
			return fmt.Sprint(labels)
		}
		return ""
	},
	"new --from-release finds the base: the label is a component's digest": func(r *asRead) string {
		digest := r.config.Config.Labels["io.openshift.release.base-image-digest"]
		for _, tag := range r.stream.Spec.Tags {
			if strings.HasSuffix(tag.From.Name, "@"+digest) {
				return ""
			}
		}
		if r.multi {
			return "" // each platform's base is an image inside of the component's index
		}
		return digest
	},
	"the payload runs: layers, environment and entrypoint of the base stay": func(r *asRead) string {
		n := len(r.base.RootFS.DiffIDs)
		if len(r.config.RootFS.DiffIDs) != n+1 || !slices.Equal(r.config.RootFS.DiffIDs[:n], r.base.RootFS.DiffIDs) {
			return fmt.Sprint(r.config.RootFS.DiffIDs)
		}
		return unequal(append(r.config.Config.Entrypoint, r.config.Config.Env...), append(slices.Clone(r.base.Config.Entrypoint), r.base.Config.Env...))
	},
	"OS, architecture and time are told": func(r *asRead) string {
		if r.config.OS != "linux" || r.config.Architecture != r.base.Architecture || r.config.Created.IsZero() {
			return fmt.Sprintf("%s/%s %s", r.config.OS, r.config.Architecture, r.config.Created)
		}
		return ""
	},
	"a history entry for each layer": func(r *asRead) string {
		if len(r.config.History) != len(r.manifest.Layers) || slices.ContainsFunc(r.config.History, func(h v1.History) bool { return h.EmptyLayer }) {
			return fmt.Sprintf("%+v", r.config.History)
		}
		return ""
	},
	"media types of one format": func(r *asRead) string {
		want := []string{"application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.layer.v1.tar+gzip"}
		if r.docker {
			want = []string{"application/vnd.docker.distribution.manifest.v2+json", "application/vnd.docker.container.image.v1+json", "application/vnd.docker.image.rootfs.diff.tar.gzip"}
		}
		for _, l := range r.manifest.Layers {
			if diff := unequal([]string{string(r.manifest.MediaType), string(r.manifest.Config.MediaType), string(l.MediaType)}, want); diff != "" {
				return diff
			}
		}
		return ""
	},
	"image-references is an ImageStream": func(r *asRead) string {
		return unequal([]string{r.stream.Kind, r.stream.APIVersion}, []string{"ImageStream", "image.openshift.io/v1"})
	},
	"the operator: the ImageStream's name is the version": func(r *asRead) string {
		return unequal([]string{r.stream.Metadata.Name}, []string{r.metadata.Version})
	},
	"tags are sorted, each once": func(r *asRead) string {
		var names []string
		for _, tag := range r.stream.Spec.Tags {
			names = append(names, tag.Name)
		}
		return unequal(names, slices.Compact(slices.Sorted(slices.Values(names))))
	},
	"every tag is a DockerImage by digest": func(r *asRead) string {
		for _, tag := range r.stream.Spec.Tags {
			if tag.From.Kind != "DockerImage" || !pinnedByDigest.MatchString(tag.From.Name) {
				return fmt.Sprintf("%+v", tag)
			}
		}
		return ""
	},
	"info --commits: labels of the build are the tag's annotations": func(r *asRead) string {
		for _, tag := range r.stream.Spec.Tags {
			if tag.Annotations["io.openshift.build.commit.id"] == "" || tag.Annotations["io.openshift.build.source-location"] == "" {
				return fmt.Sprintf("%+v", tag)
			}
		}
		return ""
	},
	"component versions: keys, semantic versions and display names are oc's": func(r *asRead) string {
		found := 0
		for _, tag := range r.stream.Spec.Tags {
			for _, pair := range split(tag.Annotations["io.openshift.build.versions"]) {
				key, value, _ := strings.Cut(pair, "=")
				if _, err := semver.Parse(value); err != nil || !versionKey.MatchString(key) {
					return pair
				}
				found++
			}
			for _, pair := range split(tag.Annotations["io.openshift.build.version-display-names"]) {
				if key, value, _ := strings.Cut(pair, "="); !versionKey.MatchString(key) || !displayName.MatchString(value) {
					return pair
				}
			}
		}
		if found == 0 {
			return "no component announces a version"
		}
		return ""
	},
	"the operator: release-metadata has its kind and a semantic version": func(r *asRead) string {
		if _, err := semver.Parse(r.metadata.Version); err != nil || r.metadata.Kind != "cincinnati-metadata-v0" {
			return fmt.Sprintf("%+v", r.metadata)
		}
		return ""
	},
	"previous is there; next only when it says something": func(r *asRead) string {
		var keys map[string]json.RawMessage
		if err := json.Unmarshal(r.files["release-metadata"], &keys); err != nil {
			return err.Error()
		}
		if _, ok := keys["next"]; r.metadata.Previous == nil || ok != (len(r.metadata.Next) > 0) {
			return fmt.Sprint(slices.Sorted(maps.Keys(keys)))
		}
		return unequal(r.metadata.Previous, []string{"4.14.2", "4.14.11"})
	},
	"the update service: metadata tells url and channels": func(r *asRead) string {
		if r.metadata.Metadata["url"] == nil || r.metadata.Metadata["io.openshift.upgrades.graph.release.channels"] != "stable-4.15,fast-4.15" {
			return fmt.Sprint(r.metadata.Metadata)
		}
		return ""
	},
	"the operator: architecture is multi or not told": func(r *asRead) string {
		if told, ok := r.metadata.Metadata["release.openshift.io/architecture"]; ok != r.multi || (ok && told != "multi") {
			return fmt.Sprint(told)
		}
		return ""
	},
	"the operator: names of files tell run level and component": func(r *asRead) string {
		for _, name := range r.manifests() {
			if !runLevel.MatchString(name) {
				return name
			}
		}
		return ""
	},
	"the operator applies by name, and every name is there once": func(r *asRead) string {
		return unequal(slices.Sorted(slices.Values(r.names)), slices.Compact(slices.Sorted(slices.Values(r.names))))
	},
	"no version is left to fill in": func(r *asRead) string {
		for name, data := range r.files {
			if found := snapshot.Find(data); found != nil {
				return name + ": " + string(found)
			}
		}
		return ""
	},
	"no source pull spec is left; images are the payload's": func(r *asRead) string {
		known := map[string]bool{}
		for _, tag := range r.stream.Spec.Tags {
			known[tag.From.Name] = true
		}
		seen := 0
		for _, name := range r.manifests() {
			if sourceImage.Match(r.files[name]) {
				return name
			}
			for _, m := range pinnedAnywhere.FindAllString(string(r.files[name]), -1) {
				if !known[m] {
					return name + ": " + m
				}
				seen++
			}
		}
		if seen == 0 {
			return "no manifest names an image"
		}
		return ""
	},
}

func split(list string) []string {
	return slices.DeleteFunc(strings.Split(list, ","), func(s string) bool { return s == "" })
}

func unequal(got, want []string) string {
	if slices.Equal(got, want) {
		return ""
	}
	return fmt.Sprintf("%q, want %q", got, want)
}

// A payload of ours meets everything that oc and clusters ask of one, in both formats,
// for one platform and for several.
func TestPayloadMeetsDemands(t *testing.T) {
	s := ocitest.Registry(t)
	registry := client(t, s)
	set := releasetest.New(t, s.Addr()+"/okd", releasetest.Options{Components: 4, Operators: 2, Docker: true})
	base, err := registry.Image(t.Context(), set.Component(t, releasetest.BaseName).Reference)
	if err != nil {
		t.Fatal(err)
	}
	config, err := base.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	o := ofSet(t, set, registry)
	o.Previous = append(o.Previous, version(t, "4.14.11"), version(t, "4.14.2"))
	o.Metadata = map[string]string{"url": "https://example.com/1", "io.openshift.upgrades.graph.release.channels": "stable-4.15,fast-4.15"}
	several := *set
	several.Components = slices.Clone(set.Components)
	several.ForPlatforms(t, "amd64", "arm64")
	lists := ofSet(t, &several, registry)
	lists.Previous, lists.Metadata = o.Previous, o.Metadata
	for _, docker := range []bool{false, true} {
		o.Docker, lists.Docker = docker, docker
		img, _, err := assemble.Assemble(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		judge(t, fmt.Sprintf("docker %v", docker), readAsOC(t, img, config, docker, false))

		made, err := assemble.MakeIndex(t.Context(), lists, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i, arch := range []string{"amd64", "arm64"} {
			onArch := config.DeepCopy()
			onArch.Architecture = arch
			judge(t, fmt.Sprintf("docker %v, %s", docker, arch), readAsOC(t, made.Results[i].Image, onArch, docker, true))
		}
	}
}

func judge(t *testing.T, of string, r *asRead) {
	t.Helper()
	for name, check := range demands {
		if wrong := check(r); wrong != "" {
			t.Errorf("%s: %s: %s", of, name, wrong)
		}
	}
}

// The demands are no empty words: what oc itself writes meets them, and a payload that
// lacks something does not.
func TestDemandsTellBadPayloads(t *testing.T) {
	s := ocitest.Registry(t)
	set := releasetest.New(t, s.Addr()+"/okd", releasetest.Options{})
	base, err := client(t, s).Image(t.Context(), set.Component(t, releasetest.BaseName).Reference)
	if err != nil {
		t.Fatal(err)
	}
	config, err := base.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	p := set.Payload("4.15.0")
	p.Base, p.Previous = base, []string{"4.14.2", "4.14.11"}
	p.Metadata = map[string]string{"url": "https://example.com/1", "io.openshift.upgrades.graph.release.channels": "stable-4.15,fast-4.15"}
	judge(t, "oc's", readAsOC(t, p.Image(t), config, true, false))
	for demand, change := range map[string]func(p *releasetest.Payload){
		"no version is left to fill in": func(p *releasetest.Payload) {
			p.Manifests = append(p.Manifests, releasetest.File{Name: "0000_99_a_b.yaml", Data: []byte("a: 0.0.1-snapshot-x")})
		},
		"no source pull spec is left; images are the payload's": func(p *releasetest.Payload) {
			p.Manifests = append(p.Manifests, releasetest.File{Name: "0000_99_a_b.yaml", Data: []byte("image: quay.io/upstream/x:dev")})
		},
		"the operator: names of files tell run level and component": func(p *releasetest.Payload) {
			p.Manifests = append(p.Manifests, releasetest.File{Name: "readme.yaml"})
		},
		"every tag is a DockerImage by digest": func(p *releasetest.Payload) {
			p.Images = map[string]string{"a": "quay.io/a:latest"}
		},
		"the operator: the ImageStream's name is the version": func(p *releasetest.Payload) { p.Name = "4.15" },
		"extract takes files of release-manifests/, no links, no folders": func(p *releasetest.Payload) {
			p.Entries = append(p.Entries, Link("release-manifests/a", "b"))
		},
		"previous is there; next only when it says something":           func(p *releasetest.Payload) { p.Previous = []string{"4.14.11"} },
		"the update service: metadata tells url and channels":           func(p *releasetest.Payload) { p.Metadata = nil },
		"info --commits: labels of the build are the tag's annotations": func(p *releasetest.Payload) { p.Labels = nil },
	} {
		bad := p
		change(&bad)
		if demands[demand](readAsOC(t, bad.Image(t), config, true, false)) == "" {
			t.Errorf("%s: a payload without it was taken", demand)
		}
	}
}
