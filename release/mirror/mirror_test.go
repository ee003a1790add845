package mirror_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/oci/ocitest"
	"github.com/slipway-release/slipway/release/mirror"
	"github.com/slipway-release/slipway/release/releasetest"
)

func TestFromRegistryToRegistry(t *testing.T) {
	w := newOrigin(t, releasetest.Options{})
	w.speak(t)
	target := ocitest.Registry(t)
	registry := client(t, target.Addr())
	repository := target.Addr() + "/mirror/okd"
	present := func() bool {
		t.Helper()
		there, err := mirror.Present(t.Context(), w.options(w.toRegistry(t, registry, repository)))
		if err != nil {
			t.Fatal(err)
		}
		return there
	}

	if present() {
		t.Error("it is present before it was copied")
	}
	r := run(t, w.options(w.toRegistry(t, registry, repository)))
	w.holds(t, registry, within(repository))
	if r.Target != repository+":"+version+"-x86_64" || r.Architecture != "x86_64" || r.Version != version {
		t.Errorf("the result is %+v", r)
	}
	tags, err := registry.Tags(t.Context(), repository)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range w.set.Components {
		if !slices.Contains(tags, version+"-x86_64-"+c.Name) {
			t.Errorf("component %s has no tag; there are %v", c.Name, tags)
		}
	}
	if got := r.Images[len(r.Images)-1]; got.Component != "release" || got.Status != mirror.StatusCopied || got.Companions == 0 || got.Companions != got.CompanionsCopied {
		t.Errorf("the payload is %+v", got)
	}

	// Again: nothing is written.
	target.Forget()
	if !present() {
		t.Error("it is not present after it was copied")
	}
	r = run(t, w.options(w.toRegistry(t, registry, repository)))
	if written := target.Total(ocitest.Match{Method: ocitest.Writes}).Requests; written != 0 {
		t.Errorf("the second run wrote %d times", written)
	}
	for _, i := range r.Images {
		if i.Status != mirror.StatusPresent || i.CompanionsCopied != 0 {
			t.Errorf("the second run says %+v", i)
		}
	}
	// What is said of the payload later is not there.
	if _, err := w.registry.Attach(t.Context(), w.reference, oci.Artifact{Type: "application/vnd.later", MediaType: "text/plain", Content: []byte("later")}); err != nil {
		t.Fatal(err)
	}
	if present() {
		t.Error("it is present without what was said later")
	}
	run(t, w.options(w.toRegistry(t, registry, repository)))
	if !present() {
		t.Error("it is not present after what was said later was copied")
	}
}

func TestWithinOneRegistryNoByteTravels(t *testing.T) {
	w := newOrigin(t, releasetest.Options{})
	w.speak(t)
	repository := w.server.Addr() + "/mirror/okd"
	w.server.Forget()
	r := run(t, w.options(w.toRegistry(t, w.registry, repository)))
	if r.Blobs.Copied != 0 || r.Bytes != 0 || r.Blobs.Mounted == 0 {
		t.Errorf("blobs: %+v, bytes: %d", r.Blobs, r.Bytes)
	}
	for _, req := range w.server.Requests(ocitest.Match{}) {
		if req.Method == "GET" && req.Kind == ocitest.Blob && !strings.Contains(req.Path, "/okd/release/") {
			t.Errorf("a blob was read: %s", req.Path)
		}
	}
	w.holds(t, w.registry, within(repository))
}

func TestOneRepositoryForEachComponent(t *testing.T) {
	w := newOrigin(t, releasetest.Options{})
	target := ocitest.Registry(t)
	registry := client(t, target.Addr())
	template := target.Addr() + "/m/${component}:${version}"
	r := run(t, w.options(w.toRegistry(t, registry, template)))
	for _, i := range r.Images {
		if want := target.Addr() + "/m/" + i.Component + ":" + version; i.To != want {
			t.Errorf("%s went to %s", i.Component, i.To)
		}
	}
	w.holds(t, registry, func(component string) string { return target.Addr() + "/m/" + component })
	// The layers that images share were sent once.
	sent := map[string]int{}
	for _, req := range target.Requests(ocitest.Match{}) {
		if req.Kind == ocitest.Upload && req.Received > 0 {
			sent[req.Digest]++
		}
	}
	for digest, n := range sent {
		if n > 1 {
			t.Errorf("blob %s was sent %d times", digest, n)
		}
	}
	if len(sent) == 0 {
		t.Error("nothing was seen to be sent")
	}
}

func TestThroughFilesAndBack(t *testing.T) {
	for name, open := range map[string]func(t *testing.T, path string) (mirror.Destination, io.Closer, string){
		"layout": func(t *testing.T, path string) (mirror.Destination, io.Closer, string) {
			l, err := oci.CreateLayout(path)
			if err != nil {
				t.Fatal(err)
			}
			return mirror.ToLayout(l), l, path
		},
		"archive": func(t *testing.T, path string) (mirror.Destination, io.Closer, string) {
			a, err := oci.CreateArchive(t.Context(), path+".tar", 0)
			if err != nil {
				t.Fatal(err)
			}
			return mirror.ToArchive(a), a, path + ".tar"
		},
		"series": func(t *testing.T, path string) (mirror.Destination, io.Closer, string) {
			a, err := oci.CreateArchive(t.Context(), path, 100_000)
			if err != nil {
				t.Fatal(err)
			}
			return mirror.ToArchive(a), a, path
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newOrigin(t, releasetest.Options{})
			w.speak(t)
			path := filepath.Join(t.TempDir(), "there")
			to, files, path := open(t, path)
			r := run(t, w.options(to))
			if err := files.Close(); err != nil {
				t.Fatal(err)
			}
			if r.Bytes < w.set.Bytes() {
				t.Errorf("%d bytes were copied of %d", r.Bytes, w.set.Bytes())
			}
			for _, i := range r.Images {
				if i.Status != mirror.StatusCopied {
					t.Errorf("the first run says %+v", i)
				}
			}
			if name == "series" {
				checkSeries(t, path, 100_000)
			}

			// Again: nothing changes.
			before := fingerprint(t, path)
			to, files, _ = open(t, strings.TrimSuffix(path, ".tar"))
			w.server.Forget()
			r = run(t, w.options(to))
			files.Close()
			if r.Blobs.Copied != 0 || r.Bytes != 0 {
				t.Errorf("the second run copied %+v", r.Blobs)
			}
			for _, i := range r.Images {
				if i.Status != mirror.StatusPresent {
					t.Errorf("the second run says %+v", i)
				}
			}
			if after := fingerprint(t, path); after != before {
				t.Errorf("the second run changed the files:\n%s\n%s", before, after)
			}

			stored, err := oci.OpenLayout(path)
			if err != nil {
				t.Fatal(err)
			}
			defer stored.Close()
			w.holds(t, stored, within("any.example/repository"))
			entries, err := stored.Entries()
			if err != nil {
				t.Fatal(err)
			}
			for _, named := range []string{"", version, version + "-x86_64", w.server.Addr() + "/okd/release:" + version} {
				d, err := mirror.FindPayload(entries, named)
				if err != nil || !strings.HasSuffix(w.reference, d.Digest.String()) {
					t.Errorf("named %q the payload is %s, %v", named, d.Digest, err)
				}
			}

			target := ocitest.Registry(t)
			registry := client(t, target.Addr())
			repository := target.Addr() + "/back"
			d, err := mirror.FindPayload(entries, "")
			if err != nil {
				t.Fatal(err)
			}
			back := mirror.Options{Source: stored, Reference: "oci:" + path + "@" + d.Digest.String(), To: w.toRegistry(t, registry, repository), Unverified: true}
			r = run(t, back)
			w.holds(t, registry, within(repository))
			// What clusters ask for is where the release came from.
			var sources []string
			for _, m := range r.Sources {
				sources = append(sources, m.Source)
			}
			if !slices.Contains(sources, w.repository()) {
				t.Errorf("mirrors are told for %v", sources)
			}
		})
	}
}

func checkSeries(t *testing.T, dir string, limit int64) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 3 {
		t.Errorf("the series has %d files", len(files))
	}
	for i, f := range files {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		if f.Name() != fmt.Sprintf("mirror_%06d.tar", i+1) || info.Size() > limit {
			t.Errorf("%s has %d bytes", f.Name(), info.Size())
		}
	}
}

// fingerprint tells whether files below a path changed.
func fingerprint(t *testing.T, path string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(path, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			fmt.Fprintln(&all, p, info.Size(), info.ModTime().UnixNano())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

func TestEveryPlatform(t *testing.T) {
	w := newOrigin(t, releasetest.Options{})
	arm := w.payload()
	arm.Architecture = "arm64"
	other := w.set.Components[0]
	arm.Images[w.set.Components[1].Name] = other.Reference // differs between platforms
	amd := w.payload()
	index := mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: amd.Image(t), Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}},
		mutate.IndexAddendum{Add: arm.Image(t), Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "arm64"}}},
	)
	digest, err := w.registry.PushIndex(t.Context(), w.repository()+":multi", index)
	if err != nil {
		t.Fatal(err)
	}
	w.reference = w.repository() + "@" + digest.String()
	w.speak(t)
	target := ocitest.Registry(t)
	registry := client(t, target.Addr())
	repository := target.Addr() + "/multi"
	r := run(t, w.options(w.toRegistry(t, registry, repository)))
	w.holds(t, registry, within(repository))
	if r.Target != repository+":"+version+"-multi" {
		t.Errorf("the payload went to %s", r.Target)
	}
	tags, err := registry.Tags(t.Context(), repository)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"multi-" + w.set.Components[0].Name, "x86_64-" + w.set.Components[1].Name, "aarch64-" + w.set.Components[1].Name} {
		if !slices.Contains(tags, version+"-"+want) {
			t.Errorf("there is no tag %s", want)
		}
	}

	o := w.options(w.toRegistry(t, registry, target.Addr()+"/one"))
	o.Platform = &v1.Platform{OS: "linux", Architecture: "arm64"}
	if r := run(t, o); r.Architecture != "aarch64" || r.Target != target.Addr()+"/one:"+version+"-aarch64" {
		t.Errorf("one platform: %+v", r)
	}
}
