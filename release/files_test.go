package release_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-release/slipway/internal/golden"
	"github.com/slipway-release/slipway/release"
)

const digestA = "quay.io/okd/scos-content@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
const digestB = "quay.io/okd/scos-content@sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

func version(t testing.TB, s string) release.Version {
	t.Helper()
	v, err := release.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestImageReferencesAreWrittenAsOcDoes(t *testing.T) {
	refs := release.ImageReferences{
		Name: "4.15.0", Created: time.Date(2023, 2, 12, 18, 29, 52, 7, time.UTC),
		Annotations: map[string]string{"release.openshift.io/from-image-stream": "ns/name"},
		Tags: []release.ImageTag{
			{Name: "tests", Image: digestB},
			{Name: "cli", Image: digestA, Annotations: map[string]string{
				release.LabelCommit: "6b8e30c", release.LabelCommitRef: "", release.LabelSource: "https://github.com/o/r",
				release.LabelVersions: "kubernetes=1.28.2,kubectl=1.28.2",
			}},
		},
	}
	data, err := refs.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/image-references.json", data)
	if refs.Tags[0].Name != "tests" {
		t.Error("writing changed the order of the caller's tags")
	}
}

func TestMetadataIsWrittenAsOcDoes(t *testing.T) {
	data, err := release.Metadata{
		Version:  version(t, "4.15.0"),
		Previous: []release.Version{version(t, "4.14.11"), version(t, "4.14.9"), version(t, "4.14.11")},
		Values:   map[string]string{release.MetadataURL: "https://example.com/?a=1&b=2"},
	}.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/release-metadata.json", data)
	bare, err := release.Metadata{Version: version(t, "4.15.0")}.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/release-metadata-bare.json", bare)
}

func TestImageReferencesRefused(t *testing.T) {
	tag := func(name, from string) string { return `{"name":"` + name + `","from":` + from + `}` }
	image := `{"kind":"DockerImage","name":"` + digestA + `"}`
	stream := func(tags ...string) string {
		return `{"kind":"ImageStream","apiVersion":"image.openshift.io/v1","metadata":{"name":"1.0.0"},"spec":{"tags":[` + strings.Join(tags, ",") + `]}}`
	}
	for name, tc := range map[string]struct {
		data string
		want []string
	}{
		"no JSON":         {"tags: []", []string{"parsing image-references"}},
		"another kind":    {`{"kind":"ConfigMap","apiVersion":"v1"}`, []string{`kind is "ConfigMap"`}},
		"another API":     {`{"kind":"ImageStream","apiVersion":"image.openshift.io/v2"}`, []string{`"image.openshift.io/v2"`}},
		"all at once":     {stream(tag("", image), tag("a", `null`), tag("b", `{"kind":"ImageStreamTag","name":"x"}`), tag("c", image), tag("c", image)), []string{"spec.tags[0]", "has no image", "ImageStreamTag", `"c" is named twice`}},
		"hostile name":    {stream(tag("../x", image)), []string{"not the name of a component"}},
		"wrong timestamp": {`{"kind":"ImageStream","apiVersion":"image.openshift.io/v1","metadata":{"creationTimestamp":"yesterday"}}`, []string{"yesterday"}},
	} {
		_, err := release.ParseImageReferences([]byte(tc.data))
		for _, want := range tc.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want %q", name, err, want)
			}
		}
	}
}

func TestMetadataRefused(t *testing.T) {
	for data, want := range map[string]string{
		`{"kind":"cincinnati-metadata-v1","version":"1.0.0"}`:                   "kind is",
		`{"kind":"cincinnati-metadata-v0"}`:                                     "version is missing",
		`{"kind":"cincinnati-metadata-v0","version":"1.0"}`:                     `"1.0"`,
		`{"kind":"cincinnati-metadata-v0","version":"1.0.0","previous":["x"]}`:  `"x"`,
		`{"kind":"cincinnati-metadata-v0","version":"1.0.0","previous":[null]}`: "holds no version",
		`{"kind":"cincinnati-metadata-v0","version":"1.0.0","metadata":[1]}`:    "metadata",
		`[]`: "parsing release-metadata",
	} {
		if _, err := release.ParseMetadata([]byte(data)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", data, err, want)
		}
	}
}

// oc allows any JSON as a value; what clusters do not read is kept as it is.
func TestMetadataKeepsValuesThatAreNoStrings(t *testing.T) {
	const text = `{
  "kind": "cincinnati-metadata-v0",
  "version": "4.15.0",
  "previous": [],
  "metadata": {
    "large": 12345678901234567890,
    "list": [
      1.50,
      null
    ],
    "nothing": null,
    "url": "https://example.com"
  }
}`
	m, err := release.ParseMetadata([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"url": "https://example.com"}, m.Values); diff != "" {
		t.Error(diff)
	}
	data, err := m.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(text, string(data)); diff != "" {
		t.Error(diff)
	}
	values, other, err := release.ParseMetadataValues([]byte(`{"a":"b","c":{"d":[]}}`))
	if err != nil || values["a"] != "b" || string(other["c"]) != `{"d":[]}` {
		t.Errorf("%v %v %v", values, other, err)
	}
	if _, _, err := release.ParseMetadataValues([]byte(`"text"`)); err == nil {
		t.Error("a string was accepted as an object")
	}
}

// Fields that mean nothing in a payload are written as they were read, for a
// rebuild of somebody else's payload has to write them as well.
func TestReferencesOfOKDAreWrittenAgain(t *testing.T) {
	data, err := os.ReadFile("testdata/okd/image-references")
	if err != nil {
		t.Fatal(err)
	}
	refs, err := release.ParseImageReferences(data)
	if err != nil {
		t.Fatal(err)
	}
	written, err := refs.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	again, err := release.ParseImageReferences(written)
	if diff := cmp.Diff(refs, again); err != nil || diff != "" {
		t.Error(err, diff)
	}
	const policies = `        "generation": 2,
        "importPolicy": {
          "importMode": "Legacy"
        },
        "referencePolicy": {
          "type": "Source"
        }`
	if !strings.Contains(string(data), policies) || !strings.Contains(string(written), policies) {
		t.Errorf("got %s", written)
	}
}

func TestStatedVersionsSettleWhatImagesSay(t *testing.T) {
	refs := release.ImageReferences{Tags: []release.ImageTag{
		{Name: "a", Image: digestA, Annotations: map[string]string{release.LabelVersions: "kubernetes=1.36.3,kubectl=1.35.0"}},
		{Name: "b", Image: digestB, Annotations: map[string]string{release.LabelVersions: "kubernetes=1.36.4,kubectl=1.35.0"}},
	}}
	got, err := refs.ComponentVersions()
	if diff := cmp.Diff(map[string][]string{"kubernetes": {"1.36.3", "1.36.4"}, "kubectl": {"1.35.0"}}, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
	refs.Annotations = map[string]string{release.LabelVersions: "kubernetes=1.36.4,extra-key=2.0.0"}
	got, err = refs.ComponentVersions()
	if diff := cmp.Diff(map[string][]string{"kubernetes": {"1.36.4"}, "kubectl": {"1.35.0"}, "extra-key": {"2.0.0"}}, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
	refs.Annotations[release.LabelVersions] = "kubernetes"
	if _, err := refs.ComponentVersions(); err == nil {
		t.Error("a version without value was accepted")
	}
}

func TestComponentVersions(t *testing.T) {
	got, err := release.ParseComponentVersions("kubernetes=1.36.3+abc, machine-os=12.0.0-rc.1")
	if diff := cmp.Diff(map[string]string{"kubernetes": "1.36.3", "machine-os": "12.0.0-rc.1"}, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
	for _, bad := range []string{"kubernetes", "kubernetes=v1.36.3", "k=1.0.0", "Kubernetes=1.0.0", "aa=1.0.0,aa=1.0.0", "aa=1.0.0,,bb=1.0.0", "-a=1.0.0"} {
		if _, err := release.ParseComponentVersions(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

// What was read and is written is read as the same again, and written as the same bytes.
func FuzzImageReferences(f *testing.F) {
	seed, err := os.ReadFile("testdata/image-references.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte(`{"kind":"ImageStream","apiVersion":"v1","metadata":{"name":"x"},"spec":{"tags":null},"unknown":[1]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		first, err := release.ParseImageReferences(data)
		if err != nil {
			return
		}
		written, err := first.Marshal()
		if err != nil {
			return // a year beyond 9999 is a date that JSON cannot write
		}
		second, err := release.ParseImageReferences(written)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v\n%s", err, written)
		}
		again, err := second.Marshal()
		if err != nil || !bytes.Equal(written, again) {
			t.Errorf("%v\n%s\n%s", err, written, again)
		}
	})
}

func FuzzMetadata(f *testing.F) {
	for _, name := range []string{"release-metadata.json", "release-metadata-bare.json"} {
		seed, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		first, err := release.ParseMetadata(data)
		if err != nil {
			return
		}
		written, err := first.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		second, err := release.ParseMetadata(written)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v\n%s", err, written)
		}
		if again, err := second.Marshal(); err != nil || !bytes.Equal(written, again) {
			t.Errorf("%v\n%s\n%s", err, written, again)
		}
	})
}
