package mirror_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/slipway-release/slipway/internal/oci/ocitest"
	"github.com/slipway-release/slipway/release/mirror"
	"github.com/slipway-release/slipway/release/releasetest"
)

// importer answers ImageStreamImports as a cluster does.
type importer struct {
	mu       sync.Mutex
	tags     map[string]string // tag → pull spec
	requests int
	largest  int
	dry      bool
	fails    map[string]int // by tag, how often
	code     int            // of every answer, when it is not 0
}

func (i *importer) answer(w http.ResponseWriter, r *http.Request, body releasetest.Object) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if r.Method != http.MethodPost || r.URL.Path != "/apis/image.openshift.io/v1/namespaces/builds/imagestreamimports" {
		return false
	}
	if i.requests++; i.code != 0 {
		w.WriteHeader(i.code)
		return true
	}
	spec := body["spec"].(releasetest.Object)
	i.dry = spec["import"] == false
	images := spec["images"].([]any)
	i.largest = max(i.largest, len(images))
	var said []any
	for _, one := range images {
		image := one.(releasetest.Object)
		tag := image["to"].(releasetest.Object)["name"].(string)
		if i.fails[tag] > 0 {
			i.fails[tag]--
			said = append(said, releasetest.Object{"status": releasetest.Object{"status": "Failure", "message": "the registry is busy"}})
			continue
		}
		if image["importPolicy"].(releasetest.Object)["importMode"] != "PreserveOriginal" {
			tag += " without other platforms"
		}
		i.tags[tag] = image["from"].(releasetest.Object)["name"].(string)
		said = append(said, releasetest.Object{"status": releasetest.Object{"status": "Success"}})
	}
	body["status"] = releasetest.Object{"images": said}
	_ = json.NewEncoder(w).Encode(body)
	return true
}

func TestImport(t *testing.T) {
	s := ocitest.Registry(t)
	set := releasetest.New(t, s.Addr()+"/okd", releasetest.Options{Components: 30, Operators: 1, Manifests: 1})
	registry := client(t, s.Addr())
	ref := s.Addr() + "/okd/release"
	digest, err := registry.Push(t.Context(), ref+":1.0.0", set.Payload("1.0.0").Image(t))
	if err != nil {
		t.Fatal(err)
	}
	ref += "@" + digest.String()
	run := func(i *importer, change func(*mirror.Options)) (*mirror.Result, error) {
		cluster := releasetest.NewCluster(t)
		i.tags = map[string]string{}
		cluster.Answer = i.answer
		o := mirror.Options{Source: registry, Reference: ref, Unverified: true}
		if change != nil {
			change(&o)
		}
		return mirror.Import(t.Context(), o, mirror.ImageStream{Config: cluster.Config(), Namespace: "builds", Name: "okd", Pause: time.Millisecond})
	}

	name := set.Components[0].Name
	i := &importer{fails: map[string]int{name: 1}}
	r, err := run(i, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Images) != 31 || len(i.tags) != 31 || i.requests != 4 || i.largest != 12 || i.dry {
		t.Errorf("%d images, %d tags, %d requests, %d in one", len(r.Images), len(i.tags), i.requests, i.largest)
	}
	for _, c := range set.Components {
		if i.tags[c.Name] != c.Reference {
			t.Errorf("%s is %q, want %q", c.Name, i.tags[c.Name], c.Reference)
		}
	}
	if i.tags["release"] != ref || r.Images[30].To != "builds/okd:release" || r.Digest != digest.String() {
		t.Errorf("the payload is %q, %+v", i.tags["release"], r.Images[30])
	}

	i = &importer{}
	if _, err := run(i, func(o *mirror.Options) { o.DryRun, o.SkipRelease = true, true }); err != nil || !i.dry || len(i.tags) != 30 {
		t.Errorf("dry: %v, %d tags, %v", i.dry, len(i.tags), err)
	}

	i = &importer{}
	refused := errors.New("refused")
	_, err = run(i, func(o *mirror.Options) {
		o.Unverified = false
		o.Verify = func(context.Context, mirror.Subject) error { return refused }
	})
	if !errors.Is(err, refused) || i.requests != 0 {
		t.Errorf("%d requests for a payload that is refused, %v", i.requests, err)
	}
	for code, says := range map[int]string{http.StatusNotFound: "no API for image streams", http.StatusForbidden: "builds/okd"} {
		i = &importer{code: code}
		if _, err := run(i, nil); err == nil || !strings.Contains(err.Error(), says) || i.requests != 1 {
			t.Errorf("%d: %d requests, %v", code, i.requests, err)
		}
	}
	if _, err := run(&importer{}, func(o *mirror.Options) { o.Reference = "oci:/a@" + digest.String() }); err == nil || !strings.Contains(err.Error(), "not from files") {
		t.Error(err)
	}
}

// TestImportOfSeveralPlatforms imports a payload whose platforms differ in a component.
func TestImportOfSeveralPlatforms(t *testing.T) {
	s := ocitest.Registry(t)
	set := releasetest.New(t, s.Addr()+"/okd", releasetest.Options{Components: 3, Operators: 1, Manifests: 1})
	registry := client(t, s.Addr())
	digest, err := registry.PushIndex(t.Context(), s.Addr()+"/okd/release:multi", set.Payload("1.0.0").Index(t, "amd64", "arm64"))
	if err != nil {
		t.Fatal(err)
	}
	i := &importer{tags: map[string]string{}}
	cluster := releasetest.NewCluster(t)
	cluster.Answer = i.answer
	r, err := mirror.Import(t.Context(), mirror.Options{Source: registry, Reference: s.Addr() + "/okd/release@" + digest.String(), Unverified: true},
		mirror.ImageStream{Config: cluster.Config(), Namespace: "builds", Name: "okd", Pause: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for tag := range i.tags {
		names = append(names, tag)
	}
	slices.Sort(names)
	if len(names) != 4 || r.Architecture != "multi" || !strings.HasSuffix(i.tags["release"], digest.String()) {
		t.Errorf("%s, %v", r.Architecture, names)
	}
}

// TestImportGivesUp has one image fail for good.
func TestImportGivesUp(t *testing.T) {
	s := ocitest.Registry(t)
	set := releasetest.New(t, s.Addr()+"/okd", releasetest.Options{Components: 3, Operators: 1, Manifests: 1})
	registry := client(t, s.Addr())
	digest, err := registry.Push(t.Context(), s.Addr()+"/okd/release:1.0.0", set.Payload("1.0.0").Image(t))
	if err != nil {
		t.Fatal(err)
	}
	i := &importer{tags: map[string]string{}, fails: map[string]int{set.Components[1].Name: 1000}}
	cluster := releasetest.NewCluster(t)
	cluster.Answer = i.answer
	_, err = mirror.Import(t.Context(), mirror.Options{Source: registry, Reference: s.Addr() + "/okd/release@" + digest.String(), Unverified: true},
		mirror.ImageStream{Config: cluster.Config(), Namespace: "builds", Name: "okd", Pause: time.Millisecond})
	if err == nil || !strings.Contains(err.Error(), "component "+set.Components[1].Name+": the registry is busy") || i.requests != 4 {
		t.Errorf("%d requests, %v", i.requests, err)
	}
}
