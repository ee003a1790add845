package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/oci/ocitest"
)

// publishingTiny has a signed payload in a stream that declares two places, and nothing to
// cut.
func publishingTiny(t *testing.T, places string) (distro, state, version string) {
	t.Helper()
	distro, state, version = signedTiny(t)
	file := filepath.Join(distro, "distro.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	edited := strings.Replace(string(text), "  channels: [candidate]\n", "  channels: [candidate]\n  run: {pipeline: cheap, params: {code: \"0\"}}\n  publish: ["+places+"]\n", 1)
	if edited == string(text) {
		t.Fatalf("distro.yaml declares another stream than this test replaces:\n%s", text)
	}
	for name, text := range map[string]string{"distro.yaml": edited, "pipelines/cheap.yaml": cheapPipeline} {
		path := filepath.Join(distro, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return distro, state, version
}

// An accepted payload is copied to the places that its stream declares. One that does not
// answer loses neither the verdict nor the other place, and is served at the next round.
func TestPublish(t *testing.T) {
	t.Parallel()
	good, bad := ocitest.Registry(t), ocitest.Registry(t)
	mirror, down := good.Addr()+"/mirror/release", bad.Addr()+"/copies/tiny"
	distro, state, version := publishingTiny(t, "{mirror: '"+mirror+"', tag: newest}, {mirror: '"+down+"'}")
	writes := ocitest.Match{Method: ocitest.Writes}
	run := func(code int, args ...string) (out, errs string) {
		t.Helper()
		out, errs, got := slipway(t, state, append(args, "--distro", distro)...)
		if got != code {
			t.Fatalf("slipway %s: exit %d, want %d\n%s%s", strings.Join(args, " "), got, code, out, errs)
		}
		return out, errs
	}

	// What nobody has accepted is published nowhere.
	out, _ := run(exitDone, "stream", "publish", "nightly")
	contains(t, out, "nothing is accepted")
	run(exitUsage, "stream", "publish", "nightly", version)
	run(exitDone, "stream", "accept", version, "--by", "ann", "--reason", "for this test")
	for _, args := range [][]string{
		{"stream", "publish", "nightly", "--dry-run"}, {"controller", "--once", "--dry-run"}, {"channel", "promote", version, "--stream", "nightly", "--dry-run"},
	} {
		out, _ := run(exitDone, args...)
		contains(t, out, "would be published to "+mirror+" (tag newest)", "would be published to "+down)
	}
	if got := append(good.Requests(writes), bad.Requests(writes)...); len(got) > 0 {
		t.Errorf("dry runs wrote %v", got)
	}

	bad.Inject(ocitest.Fault{Do: ocitest.Status(500)})
	out, errs := run(exitHost, "channel", "promote", version, "--stream", "nightly")
	contains(t, out, "candidate: version "+version, mirror+": version "+version+" is published to", "could not be published to "+down)
	contains(t, errs, `publishing "`+version+`" of stream "nightly" to "`+down+`"`)
	out, _ = run(exitDone, "channel", "show", "candidate")
	contains(t, out, version+"  since")
	out, _ = run(exitDone, "stream", "list", "nightly")
	contains(t, out, "Accepted")
	_, errs = run(exitHost, "controller", "--once", "--lease", "1m")
	contains(t, errs, "accepted payloads could not be published; it is tried again", down)
	out, _ = run(exitDone, "controller", "--once", "--dry-run")
	contains(t, out, "could not be published to "+down)
	if strings.Contains(out, mirror) {
		t.Errorf("what is there would be published again:\n%s", out)
	}

	bad.Heal()
	_, errs = run(exitDone, "controller", "--once", "--lease", "1m")
	contains(t, errs, "msg=published", down)
	for _, place := range []struct {
		server *ocitest.Server
		ref    string
	}{{good, mirror + ":newest"}, {good, mirror + ":" + version + "-x86_64"}, {bad, down + ":" + version + "-x86_64"}} {
		out, _ := run(exitDone, "release", "info", place.ref, "-o=jsonpath=<{.metadata.version}>")
		contains(t, out, "<"+version+">")
		registry, err := oci.NewRegistry(place.server.Addr()+"/any", "")
		if err != nil {
			t.Fatal(err)
		}
		repository := place.ref[:strings.LastIndexByte(place.ref, ':')]
		digest, err := registry.Resolve(t.Context(), place.ref)
		if err != nil {
			t.Fatal(err)
		}
		said, err := registry.Referrers(t.Context(), repository+"@"+digest.String(), "")
		if err != nil || len(said) == 0 {
			t.Errorf("beside %s lie %v, error %v; want signatures and decisions", place.ref, said, err)
		}
		tags, err := registry.Tags(t.Context(), repository)
		if err != nil || !slices.Contains(tags, version+"-x86_64-op") {
			t.Errorf("tags of %s are %q, error %v", repository, tags, err)
		}
	}

	// Again, by whoever: nothing is written.
	good.Forget()
	bad.Forget()
	run(exitDone, "controller", "--once", "--lease", "1m")
	out, _ = run(exitDone, "stream", "publish", "nightly", "-o", "json")
	var done []publication
	if err := json.Unmarshal([]byte(out), &done); err != nil || len(done) != 2 || done[0].State != publishedPresent || done[1].State != publishedPresent {
		t.Errorf("the second time: %s, error %v", out, err)
	}
	if got := append(good.Requests(writes), bad.Requests(writes)...); len(got) > 0 {
		t.Errorf("what was there already was written again: %v", got)
	}

	// What is said of it later follows.
	run(exitDone, "stream", "accept", version, "--by", "bob", "--reason", "for this test, too")
	if out, _ = run(exitDone, "stream", "publish", "nightly", "--dry-run"); strings.Count(out, "would be published") > 0 {
		run(exitDone, "controller", "--once", "--lease", "1m")
		if out, _ = run(exitDone, "stream", "publish", "nightly", "--dry-run"); strings.Contains(out, "would be") {
			t.Errorf("after what was said later was published: %s", out)
		}
	} else {
		t.Errorf("after another decision: %s", out)
	}
	out, _ = run(exitDone, "stream", "show", "nightly")
	contains(t, out, "Publish    "+mirror+", tag newest\n", "Publish    "+down+"\n", "published to "+mirror+" at", "published to "+down+" at")
	out, _ = run(exitDone, "stream", "show", "nightly", "-o", "jsonpath={.publish[0].mirror} {.journal.cuts[0].published[0].mirror}")
	contains(t, out, mirror+" "+mirror)
}

// A copy that is broken off at any byte is carried on by the next command.
func TestPublishGoesOn(t *testing.T) {
	t.Parallel()
	target := ocitest.Registry(t)
	distro, state, version := publishingTiny(t, "{mirror: '"+target.Addr()+"/tiny', tag: newest}")
	mustRun(t, state, "stream", "accept", version, "--by", "ann", "--reason", "for this test", "--distro", distro)
	// The tag that says that all is there comes last, and is refused.
	target.Inject(ocitest.Fault{On: ocitest.Match{Method: "PUT", Kind: ocitest.Tag}, Do: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if strings.HasSuffix(r.URL.Path, "/"+version+"-x86_64") {
			ocitest.Status(http.StatusForbidden)(w, r, next)
			return
		}
		next.ServeHTTP(w, r)
	}})
	out, errs, code := slipway(t, state, "stream", "publish", "nightly", "--distro", distro)
	if code != exitHost || !strings.Contains(out, "could not be published") {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	target.Heal()
	target.Forget()
	mustRun(t, state, "stream", "publish", "nightly", "--distro", distro)
	if got := target.Requests(ocitest.Match{Method: ocitest.Writes, Kind: ocitest.Upload}); len(got) > 0 {
		t.Errorf("what was there already was uploaded again: %v", got)
	}
	if got := mustRun(t, state, "stream", "publish", "nightly", "--dry-run", "--distro", distro); !strings.Contains(got, "is in ") {
		t.Errorf("afterwards: %s", got)
	}
}

func TestPublishWithoutAPlace(t *testing.T) {
	t.Parallel()
	_, errs, code := slipway(t, t.TempDir(), "stream", "publish", "nightly")
	if code != exitUsage || !strings.Contains(errs, "declares no place") {
		t.Errorf("exit %d: %s", code, errs)
	}
}
