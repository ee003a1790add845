package updates_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/slipway-release/slipway/internal/layer/layertest"
	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/oci/ocitest"
	"github.com/slipway-release/slipway/release/channels/graph"
	"github.com/slipway-release/slipway/release/releasetest"
	"github.com/slipway-release/slipway/release/updates"
)

// okd is a repository of payloads in a registry on loopback, and a folder of graph-data.
type okd struct {
	t          *testing.T
	server     *ocitest.Server
	registry   *oci.Registry
	repository string
	data       string
	cache      string
	log        strings.Builder
}

func newOKD(t *testing.T) *okd {
	t.Helper()
	o := &okd{t: t, server: ocitest.Registry(t), data: t.TempDir(), cache: filepath.Join(t.TempDir(), "updates", "payloads.json")}
	o.repository = o.server.Addr() + "/okd/release"
	registry, err := oci.NewRegistry(o.repository, "", oci.WithPatience(2, time.Millisecond, 10*time.Millisecond, time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	o.registry = registry
	o.file("version", "1.1.0\n")
	o.file("channels/stable-4.16.yaml", "name: stable-4.16\nversions: [4.15.9, 4.16.3, 4.16.4]\n")
	return o
}

func (o *okd) file(name, text string) {
	o.t.Helper()
	path := filepath.Join(o.data, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		o.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		o.t.Fatal(err)
	}
}

// source is one that was just started.
func (o *okd) source() *updates.PayloadSource {
	return &updates.PayloadSource{Registry: o.registry, Repository: o.repository, Data: o.data, Cache: o.cache, Log: slog.New(slog.NewTextHandler(&o.log, nil))}
}

func (o *okd) push(tag string, img v1.Image) string {
	o.t.Helper()
	digest, err := o.registry.Push(context.Background(), o.repository+":"+tag, img)
	if err != nil {
		o.t.Fatal(err)
	}
	return o.repository + "@" + digest.String()
}

func (o *okd) pushIndex(tag string, index v1.ImageIndex) string {
	o.t.Helper()
	digest, err := o.registry.PushIndex(context.Background(), o.repository+":"+tag, index)
	if err != nil {
		o.t.Fatal(err)
	}
	return o.repository + "@" + digest.String()
}

func payloadOf(version string, previous ...string) releasetest.Payload {
	p := releasetest.Small(version)
	p.Previous = previous
	return p
}

func snapshot(t *testing.T, s *updates.PayloadSource) *graph.Snapshot {
	t.Helper()
	got, err := s.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// shown is a graph in a few words: versions, edges by version, and risks behind them.
func shown(g *graph.Graph) []string {
	var all []string
	for _, n := range g.Nodes {
		all = append(all, n.Version)
	}
	for _, e := range g.Edges {
		all = append(all, g.Nodes[e[0]].Version+">"+g.Nodes[e[1]].Version)
	}
	for _, c := range g.ConditionalEdges {
		for _, e := range c.Edges {
			all = append(all, e.From+">"+e.To+" "+c.Risks[0].Name)
		}
	}
	return all
}

// listOf makes a manifest list that names an image for each of archs.
func listOf(img v1.Image, archs ...string) v1.ImageIndex {
	index := mutate.IndexMediaType(empty.Index, types.DockerManifestList)
	for _, arch := range archs {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{
			MediaType: types.DockerManifestSchema2, Platform: &v1.Platform{OS: "linux", Architecture: arch}}})
	}
	return index
}

// All kinds of what stands in a repository of releases.
func TestPayloads(t *testing.T) {
	o := newOKD(t)
	payload := map[string]string{}
	payload["4.15.9"] = o.push("4.15.9-x86_64", payloadOf("4.15.9").Image(t))
	payload["4.16.3"] = o.push("4.16.3-x86_64", payloadOf("4.16.3", "4.15.9", "4.14.1").Image(t))
	o.push("latest", payloadOf("4.16.3", "4.15.9", "4.14.1").Image(t)) // the same digest
	arm := payloadOf("4.16.3")
	arm.Architecture = "arm64"
	o.push("4.16.3-arm64", arm.Image(t))
	s390x := payloadOf("4.16.3")
	s390x.Architecture = "s390x"
	o.pushIndex("4.16.3-s390x", listOf(s390x.Image(t), "s390x"))
	multi := payloadOf("4.16.3").Index(t, "amd64", "arm64")
	payload["multi"] = o.pushIndex("4.16.3-multi", multi)
	manifest, err := multi.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	shard, err := multi.Image(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	o.push("4.16.3-multi-x86_64", shard)
	o.push("machine-os", layertest.Image(t, nil, layertest.Layer(t, layertest.File("etc/os-release", "fcos"))))
	o.push("sha256-"+strings.Repeat("0", 64)+".sig", payloadOf("4.99.0").Image(t))
	nameless := payloadOf("4.16.4")
	nameless.Name = "4.16.5"
	broken := o.push("4.16.4-x86_64", nameless.Image(t))
	built := o.push("4.16.6-x86_64", payloadOf("4.16.6+1").Image(t))
	rebuilt := payloadOf("4.16.3")
	rebuilt.Created = time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC) // later than the first
	twice := o.push("4.16.3-rebuilt", rebuilt.Image(t))

	s := snapshot(t, o.source())
	got := map[string][]string{}
	for arch, g := range s.Graphs {
		got[arch] = shown(g)
	}
	want := map[string][]string{"amd64": {"4.15.9", "4.16.3", "4.15.9>4.16.3"}, "arm64": {"4.16.3"}, "s390x": {"4.16.3"}, "multi": {"4.16.3"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, n := range s.Graphs["amd64"].Nodes {
		if n.Payload != payload[n.Version] || !slices.Equal(n.Channels, []string{"stable-4.16"}) || n.Metadata["url"] == "" {
			t.Errorf("node %+v, want payload %s", n, payload[n.Version])
		}
	}
	if n := s.Graphs["multi"].Nodes[0]; n.Payload != payload["multi"] {
		t.Errorf("node %+v, want payload %s", n, payload["multi"])
	}
	var out []string
	for _, q := range s.Quarantined {
		out = append(out, q.Version+" "+q.Payload)
	}
	if diff := cmp.Diff([]string{"4.16.4-x86_64 " + broken, "4.16.6-x86_64 " + built, "4.16.3 " + twice}, out); diff != "" {
		t.Errorf("quarantined: %s\n%v", diff, s.Quarantined)
	}
	if !strings.Contains(o.log.String(), "4.16.5") {
		t.Errorf("the log does not say what is wrong: %s", o.log.String())
	}

	// A restart reads nothing again, and comes to the same.
	o.server.Forget()
	if again := snapshot(t, o.source()); again.ID != s.ID {
		t.Errorf("ID %s after a restart, %s before", again.ID, s.ID)
	}
	if read := o.server.Requests(ocitest.Match{Method: "GET", Kind: ocitest.Manifest | ocitest.Blob}); len(read) > 0 {
		t.Errorf("read again: %v", read)
	}
	// A file that is torn or foreign is as good as none.
	whole, err := os.ReadFile(o.cache)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"torn": string(whole[:len(whole)/2]), "empty": "", "foreign": `{"kind":"other","payloads":{}}`, "longer": string(whole) + "{}",
		"unknown field": strings.Replace(string(whole), `"arch"`, `"architecture"`, 1), "says nothing": strings.Replace(string(whole), `"version":"4.15.9",`, "", 1),
	} {
		if err := os.WriteFile(o.cache, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if again := snapshot(t, o.source()); again.ID != s.ID {
			t.Errorf("%s: ID %s, want %s", name, again.ID, s.ID)
		}
		if data, err := os.ReadFile(o.cache); err != nil || string(data) != string(whole) {
			t.Errorf("%s: the file was not written anew: %v", name, err)
		}
	}
}

// Whatever fails, the last good graph stays and everybody is told; nothing is unblocked.
func TestPayloadsFailClosed(t *testing.T) {
	o := newOKD(t)
	o.push("4.15.9", payloadOf("4.15.9").Image(t))
	o.push("4.16.3", payloadOf("4.16.3", "4.15.9").Image(t))
	const block = "to: 4.16.3\nfrom: 4[.]15[.].*\n"
	o.file("blocked-edges/4.16.3-a.yaml", block)
	source, metrics := o.source(), prometheus.NewRegistry()
	r := &updates.Refresher{Source: source, Metrics: updates.NewMetrics(metrics)}
	if err := r.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	blocked := []string{"4.15.9", "4.16.3"}
	if diff := cmp.Diff(blocked, shown(r.Snapshot().Graphs["amd64"])); diff != "" {
		t.Fatal(diff)
	}
	fails := func(what, says string) {
		t.Helper()
		err := r.Refresh(t.Context())
		if err == nil || !strings.Contains(err.Error(), says) || r.Status().Problem != err.Error() {
			t.Errorf("%s: %v, %+v", what, err, r.Status())
		}
		if diff := cmp.Diff(blocked, shown(r.Snapshot().Graphs["amd64"])); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
		if got := metric(t, metrics, "slipway_updates_last_refresh_success"); got != 0 {
			t.Errorf("%s: success %v", what, got)
		}
	}
	o.file("blocked-edges/4.16.3-a.yaml", "to: 4.16.3\nform: .*\n")
	fails("a broken file", "4.16.3-a.yaml")
	o.file("blocked-edges/4.16.3-a.yaml", block)
	o.server.Inject(ocitest.Fault{On: ocitest.Match{Kind: ocitest.TagList}, Do: ocitest.Status(500)})
	fails("no list of tags", "500")
	o.server.Heal()
	o.server.Inject(ocitest.Fault{On: ocitest.Match{Kind: ocitest.Manifest}, Do: ocitest.Status(500)})
	fails("no manifests", "500")
	o.server.Heal()
	o.push("4.16.4", payloadOf("4.16.4", "4.16.3").Image(t))
	more := payloadOf("4.16.4", "4.16.3")
	more.Architecture = "arm64"
	o.push("4.16.4-arm64", more.Image(t))
	for name, effect := range map[string]ocitest.Effect{"500": ocitest.Status(500), "cut": ocitest.CutAfter(100), "wrong bytes": ocitest.WrongBytes()} {
		o.server.Inject(ocitest.Fault{On: ocitest.Match{Method: "GET", Kind: ocitest.Blob}, Do: effect})
		fails("blobs: "+name, "reading payload")
		o.server.Heal()
	}
	if err := os.Remove(filepath.Join(o.data, "blocked-edges/4.16.3-a.yaml")); err != nil {
		t.Fatal(err)
	}
	if err := r.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []string{"4.15.9", "4.16.3", "4.16.4", "4.15.9>4.16.3", "4.16.3>4.16.4"}
	if diff := cmp.Diff(want, shown(r.Snapshot().Graphs["amd64"])); diff != "" || r.Status().Problem != "" {
		t.Errorf("%s %+v", diff, r.Status())
	}
	source.Repository = o.server.Addr() + "/okd/relaese"
	blocked = want
	fails("a misspelt repository", "no tags")
}

// A payload whose layer is missing in the registry is looked for anew; the others are
// served.
func TestPayloadWithoutLayer(t *testing.T) {
	o := newOKD(t)
	o.push("4.16.3", payloadOf("4.16.3").Image(t))
	s := o.source()
	snapshot(t, s)
	pullSpec := o.push("4.16.4", payloadOf("4.16.4", "4.16.3").Image(t))
	o.server.Inject(ocitest.Fault{On: ocitest.Match{Method: "GET", Kind: ocitest.Blob}, Do: ocitest.Status(404)})
	got := snapshot(t, s)
	if len(got.Quarantined) != 1 || got.Quarantined[0].Payload != pullSpec || len(got.Graphs["amd64"].Nodes) != 1 {
		t.Errorf("%+v", got)
	}
	o.server.Heal()
	for name, s := range map[string]*updates.PayloadSource{"on": s, "after a restart": o.source()} {
		if got := shown(snapshot(t, s).Graphs["amd64"]); !slices.Equal(got, []string{"4.16.3", "4.16.4", "4.16.3>4.16.4"}) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// A payload that the registry alone fails to give is named and left out, whatever the
// failure: what is declared about the others reaches clusters, and it is read as soon as
// it can be.
func TestPayloadThatCannotBeRead(t *testing.T) {
	for name, effect := range map[string]ocitest.Effect{"500": ocitest.Status(500), "cut": ocitest.CutAfter(100), "wrong bytes": ocitest.WrongBytes()} {
		for _, cold := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, cold %v", name, cold), func(t *testing.T) {
				t.Parallel()
				o := newOKD(t)
				o.push("4.15.9", payloadOf("4.15.9").Image(t))
				o.push("4.16.3", payloadOf("4.16.3", "4.15.9").Image(t))
				s := o.source()
				if !cold {
					snapshot(t, s)
				}
				img := payloadOf("4.16.4", "4.16.3").Image(t)
				pullSpec := o.push("4.16.4", img)
				layers, err := img.Layers()
				if err != nil {
					t.Fatal(err)
				}
				damaged, err := layers[len(layers)-1].Digest()
				if err != nil {
					t.Fatal(err)
				}
				o.file("blocked-edges/a.yaml", "to: 4.16.3\nfrom: 4[.]15[.].*\n")
				o.server.Inject(ocitest.Fault{On: ocitest.Match{Method: "GET", Kind: ocitest.Blob, Path: damaged.String()}, Do: effect})
				for range 2 {
					got := snapshot(t, s)
					if diff := cmp.Diff([]string{"4.15.9", "4.16.3"}, shown(got.Graphs["amd64"])); diff != "" {
						t.Error(diff)
					}
					if len(got.Quarantined) != 1 || got.Quarantined[0].Version != "4.16.4" || got.Quarantined[0].Payload != pullSpec {
						t.Errorf("%+v, want %s", got.Quarantined, pullSpec)
					}
				}
				o.server.Heal()
				for after, s := range map[string]*updates.PayloadSource{"on": s, "after a restart": o.source()} {
					got := snapshot(t, s)
					if diff := cmp.Diff([]string{"4.15.9", "4.16.3", "4.16.4", "4.16.3>4.16.4"}, shown(got.Graphs["amd64"])); diff != "" || len(got.Quarantined) > 0 {
						t.Errorf("%s: %s %v", after, diff, got.Quarantined)
					}
				}
			})
		}
	}
}

// A source says that it changed when a tag or a file did.
func TestPayloadStamp(t *testing.T) {
	o := newOKD(t)
	o.push("4.16.3", payloadOf("4.16.3").Image(t))
	s := o.source()
	seen := map[string]bool{}
	stamp := func() string {
		got, err := s.Stamp(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	seen[stamp()] = true
	if !seen[stamp()] {
		t.Error("it changed by itself")
	}
	o.push("4.16.4", payloadOf("4.16.4").Image(t))
	o.push("4.16.4.sig", payloadOf("4.16.4").Image(t))
	if seen[stamp()] {
		t.Error("a new tag changes nothing")
	}
	seen[stamp()] = true
	o.file("blocked-edges/a.yaml", "to: 4.16.4\nfrom: .*\n")
	if seen[stamp()] {
		t.Error("a new file changes nothing")
	}
}

// A file of what payloads say is taken whole or not at all: what was read from it can be
// offered, and a file that was altered never makes a source fail.
func FuzzPayloadIndex(f *testing.F) {
	const digest = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
	for _, entry := range []string{
		`{"version":"4.16.3","arch":"amd64","previous":["4.15.9"],"next":["4.16.4"],"metadata":{"url":"https://example.com"},"created":"2026-11-20T00:00:00Z"}`,
		`{"broken":"no metadata"}`, `{"not":"an artifact"}`, `{}`, `{"version":"x","arch":"amd64"}`,
	} {
		f.Add([]byte(`{"kind":"slipway-payloads/1","payloads":{"` + digest + `":` + entry + `}}`))
	}
	data, cache := f.TempDir(), filepath.Join(f.TempDir(), "payloads.json")
	for name, text := range map[string]string{"version": "1.1.0\n", "channels/stable-4.16.yaml": "name: stable-4.16\nversions: [4.15.9, 4.16.3]\n"} {
		path := filepath.Join(data, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			f.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, index []byte) {
		if err := os.WriteFile(cache, index, 0o644); err != nil {
			t.Fatal(err)
		}
		one := taggedRegistry{digest}
		s, err := (&updates.PayloadSource{Registry: one, Repository: "example.com/release", Data: data, Cache: cache}).Snapshot(t.Context())
		if err != nil {
			return // what it says was not used, and the registry gives nothing else
		}
		if _, err := updates.NewEdition(s, nil, time.Now()); err != nil {
			t.Errorf("it was read and cannot be served: %v", err)
		}
	})
}

// taggedRegistry has one tag, and nothing behind it.
type taggedRegistry struct{ digest string }

func (r taggedRegistry) Tags(context.Context, string) ([]string, error) {
	return []string{"4.16.3"}, nil
}

func (r taggedRegistry) Descriptor(context.Context, string) (v1.Descriptor, error) {
	hash, err := v1.NewHash(r.digest)
	return v1.Descriptor{MediaType: types.OCIManifestSchema1, Digest: hash}, err
}

func (r taggedRegistry) Image(context.Context, string) (v1.Image, error) {
	return nil, oci.ErrNotFound
}

func (r taggedRegistry) Index(context.Context, string) (v1.ImageIndex, error) {
	return nil, oci.ErrNotFound
}
