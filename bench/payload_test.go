package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/slipway-release/slipway/internal/oci/ocitest"
	"github.com/slipway-release/slipway/release/releasetest"
)

const version = "1.36.3-0.nightly-2026-11-20-101500"

// short runs of a command are repeated, for one alone is mostly noise.
const repeats = 5

// site is a registry with a set of components, and a slipway.
type site struct {
	program
	registry *ocitest.Server
	root     string // folder of the registry's data
	set      *releasetest.Set
	stream   string // file with the set's ImageStream
	state    string // state folder whose caches are warm after a first run
	payload  string // pull spec by tag
	digest   string // of the payload, once it is made
	idle     usage  // of a slipway that does nothing
}

// BenchmarkPayload measures the commands one after another: what the first makes
// the others read.
func BenchmarkPayload(b *testing.B) {
	p := newProgram(b)
	for _, oneRepository := range []bool{false, true} {
		b.Run(fmt.Sprintf("one-repository=%v", oneRepository), func(b *testing.B) {
			s := newSite(b, p, oneRepository)
			b.Run("new-cold", s.newCold)
			if s.digest == "" {
				b.Skip("there is no payload to go on with")
			}
			b.Run("new-warm", s.newWarm)
			b.Run("new-20ms", s.newFarAway)
			b.Run("info", s.info)
			b.Run("extract", s.extract)
			b.Run("mirror-registry", s.mirrorToRegistry)
			b.Run("mirror-dir", s.mirrorToDir)
		})
	}
}

func newSite(b *testing.B, p program, oneRepository bool) *site {
	b.Helper()
	o := releasetest.Full()
	if testing.Short() {
		o = releasetest.Options{}
	}
	o.OneRepository = oneRepository
	s := &site{program: p, root: b.TempDir(), state: b.TempDir()}
	s.registry = ocitest.Serve(b, s.root)
	var idle measured
	for range repeats {
		_, u := s.run(b, "version")
		idle = append(idle, u)
	}
	s.idle = idle.typical()
	s.set = releasetest.New(b, s.registry.Addr()+"/okd", o)
	s.payload = s.registry.Addr() + "/okd/release:" + version
	s.stream = filepath.Join(b.TempDir(), "imagestream.json")
	if err := os.WriteFile(s.stream, s.set.ImageStream(), 0o600); err != nil {
		b.Fatal(err)
	}
	return s
}

// assemble runs `release new`, checks that the payload is the one it always is,
// and returns what it took.
func (s *site) assemble(b *testing.B, state string) usage {
	b.Helper()
	s.registry.Forget()
	out, u := s.run(b, "release", "new", "--from-image-stream-file", s.stream, "--name", version,
		"--to-image", s.payload, "--to-image-base-tag", releasetest.BaseName, "--state-dir", state, "-o", "json")
	var made struct{ Digest, Version string }
	if err := json.Unmarshal([]byte(out), &made); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	if s.digest == "" {
		s.digest = made.Digest
	}
	if made.Version != version || made.Digest != s.digest {
		b.Fatalf("made %s %s, the first was %s", made.Version, made.Digest, s.digest)
	}
	resp := s.get(b, "/v2/okd/release/manifests/"+version)
	if got := resp.Header.Get("Docker-Content-Digest"); got != s.digest {
		b.Fatalf("the registry has %s under the tag, not %s", got, s.digest)
	}
	if twice := s.registry.Twice(); len(twice) > 0 {
		b.Errorf("transferred twice: %s", strings.Join(twice, ", "))
	}
	return u
}

func (s *site) newCold(b *testing.B) {
	s.has(b, "release", "new")
	var m measured
	for b.Loop() {
		m = append(m, s.assemble(b, b.TempDir()))
	}
	m.report(b, s.idle, s.timeOfLayers(b), "plain-reading")
}

func (s *site) newWarm(b *testing.B) {
	s.assemble(b, s.state)
	var m measured
	for b.Loop() {
		for range repeats {
			m = append(m, s.assemble(b, s.state))
			if read := s.registry.Total(ocitest.Match{Method: "GET", Kind: ocitest.Blob}); read.Sent >= s.set.Options.LayerBytes {
				b.Errorf("with warm caches %d bytes of layers were read", read.Sent)
			}
		}
	}
	m.report(b, s.idle, s.idle.Wall, "start")
}

// newFarAway reports how much longer 20 ms of latency make it.
func (s *site) newFarAway(b *testing.B) {
	// The difference of two single runs would be mostly noise.
	best := func() usage {
		first, second := s.assemble(b, b.TempDir()), s.assemble(b, b.TempDir())
		if first.Wall < second.Wall {
			return first
		}
		return second
	}
	near := best()
	s.registry.Inject(ocitest.Fault{Do: ocitest.Latency(20 * time.Millisecond)})
	defer s.registry.Heal()
	var m measured
	for b.Loop() {
		m = append(m, best())
	}
	m.report(b, s.idle, near.Wall, "near")
	b.ReportMetric((m[0].Wall - near.Wall).Seconds(), "more-s")
}

func (s *site) info(b *testing.B) {
	s.has(b, "release", "info")
	var m measured
	for b.Loop() {
		for range repeats {
			out, u := s.run(b, "release", "info", s.payload, "-o", "json", "--state-dir", s.state)
			m = append(m, u)
			if !json.Valid([]byte(out)) || !strings.Contains(out, s.digest) {
				b.Fatalf("it does not tell the digest: %.500s", out)
			}
			for _, c := range s.set.Components {
				if !strings.Contains(out, c.Digest.String()) {
					b.Fatalf("component %s is missing", c.Name)
				}
			}
		}
	}
	m.report(b, s.idle, s.idle.Wall, "start")
}

// extract compares every file with the one that oc would have written.
func (s *site) extract(b *testing.B) {
	s.has(b, "release", "extract")
	want := s.set.Payload(version).Manifests
	var m measured
	for b.Loop() {
		for range repeats {
			dir := b.TempDir()
			_, u := s.run(b, "release", "extract", s.payload, "--to", dir, "--state-dir", s.state)
			m = append(m, u)
			for _, f := range want {
				got, err := os.ReadFile(filepath.Join(dir, f.Name))
				if err != nil {
					b.Fatal(err)
				}
				if diff := cmp.Diff(string(f.Data), string(got)); diff != "" {
					b.Fatalf("%s: %s", f.Name, diff)
				}
			}
			for _, name := range []string{"image-references", "release-metadata"} {
				if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	m.report(b, s.idle, s.idle.Wall, "start")
}

// mirror runs `release mirror` for a payload that nobody signed.
func (s *site) mirror(b *testing.B, to ...string) usage {
	b.Helper()
	s.registry.Forget()
	args := append([]string{"release", "mirror", s.payload, "--state-dir", b.TempDir(), "--skip-verification"}, to...)
	_, u := s.run(b, args...)
	return u
}

func (s *site) mirrorToRegistry(b *testing.B) {
	s.has(b, "release", "mirror")
	var m measured
	for i := 0; b.Loop(); i++ {
		repository := fmt.Sprintf("mirrored/okd%d", i)
		m = append(m, s.mirror(b, "--to", s.registry.Addr()+"/"+repository))
		if sent := s.registry.Total(ocitest.Match{Method: ocitest.Writes, Kind: ocitest.Upload}).Received; sent >= s.set.Options.LayerBytes {
			b.Errorf("%d bytes were sent to a registry that had them", sent)
		}
		for _, digest := range s.digests() {
			if resp := s.get(b, "/v2/"+repository+"/manifests/"+digest); resp.StatusCode != http.StatusOK {
				b.Errorf("image %s is not in the mirror: %s", digest, resp.Status)
			}
		}
	}
	m.report(b, s.idle, s.timeOfManifests(b), "plain-reading")
}

func (s *site) mirrorToDir(b *testing.B) {
	s.has(b, "release", "mirror")
	var m measured
	for b.Loop() {
		dir := filepath.Join(b.TempDir(), "mirror")
		m = append(m, s.mirror(b, "--to-dir", dir))
		sizes := map[string]int64{}
		err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			info, err := entry.Info()
			if err == nil {
				sizes[entry.Name()] = info.Size()
			}
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
		for digest, size := range s.set.Blobs {
			if sizes[digest.Hex] != size {
				b.Errorf("blob %s has %d bytes, want %d", digest, sizes[digest.Hex], size)
			}
		}
		for _, digest := range s.digests() {
			if sizes[strings.TrimPrefix(digest, "sha256:")] == 0 {
				b.Errorf("image %s is not in the mirror", digest)
			}
		}
		// The payload itself is read to learn what is to be copied.
		twice := slices.DeleteFunc(s.registry.Twice(), func(t string) bool { return strings.Contains(t, " okd/release ") })
		if len(twice) > 0 {
			b.Errorf("read twice: %s", strings.Join(twice, ", "))
		}
	}
	m.report(b, s.idle, s.timeOfCopying(b), "copying")
}

// digests are those of the payload and of all its components.
func (s *site) digests() []string {
	all := []string{s.digest}
	for _, c := range s.set.Components {
		all = append(all, c.Digest.String())
	}
	return all
}

// get asks the registry without slipway.
func (s *site) get(b *testing.B, path string) *http.Response {
	b.Helper()
	resp, err := s.fetch(path)
	if err != nil {
		b.Fatal(err)
	}
	return resp
}

// fetch reads an answer to its end.
func (s *site) fetch(path string) (*http.Response, error) {
	req, err := http.NewRequest(http.MethodGet, "http://"+s.registry.Addr()+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json, */*")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp, err
}

// timeOfLayers is what plain HTTP takes for the layers that a payload is made
// of: those of the operators, each once, eight at a time, not even hashed.
func (s *site) timeOfLayers(b *testing.B) time.Duration {
	b.Helper()
	paths := map[string]string{}
	for _, c := range s.set.Components {
		if c.Operator {
			for _, l := range c.Layers {
				paths[l.String()] = "/v2/" + s.repository(c) + "/blobs/" + l.String()
			}
		}
	}
	return s.timeOfReading(b, paths)
}

// timeOfManifests is what plain HTTP takes for manifest and configuration of
// every component.
func (s *site) timeOfManifests(b *testing.B) time.Duration {
	b.Helper()
	paths := map[string]string{}
	for _, c := range s.set.Components {
		paths[c.Digest.String()] = "/v2/" + s.repository(c) + "/manifests/" + c.Digest.String()
	}
	return s.timeOfReading(b, paths)
}

func (s *site) repository(c releasetest.Component) string {
	repository, _, _ := strings.Cut(strings.TrimPrefix(c.Reference, s.registry.Addr()+"/"), "@")
	return repository
}

func (s *site) timeOfReading(b *testing.B, paths map[string]string) time.Duration {
	b.Helper()
	begun := time.Now()
	var group errgroup.Group
	group.SetLimit(8)
	for _, path := range paths {
		group.Go(func() error {
			resp, err := s.fetch(path)
			if err == nil && resp.StatusCode != http.StatusOK {
				err = fmt.Errorf("%s: %s", path, resp.Status)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		b.Fatal(err)
	}
	return time.Since(begun)
}

// timeOfCopying is what it takes to copy all blobs from the registry's folder
// into another, through a buffer: reflinks would copy nothing.
func (s *site) timeOfCopying(b *testing.B) time.Duration {
	b.Helper()
	to := b.TempDir()
	begun := time.Now()
	for digest := range s.set.Blobs {
		from := filepath.Join(s.root, "docker/registry/v2/blobs/sha256", digest.Hex[:2], digest.Hex, "data")
		if err := copyFile(filepath.Join(to, digest.Hex), from); err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(begun)
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	if _, err := io.Copy(struct{ io.Writer }{out}, struct{ io.Reader }{in}); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}
