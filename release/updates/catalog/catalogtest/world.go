package catalogtest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/releasetest"
	"github.com/slipway-release/slipway/release/sign"
	"github.com/slipway-release/slipway/release/streams"
	"github.com/slipway-release/slipway/release/updates/catalog"
)

// Nightly returns the version that was cut on a day of November 2026, 17 to 24.
func Nightly(day int) string { return fmt.Sprintf("1.36.3-0.nightly-2026-11-%02d-101500", day) }

// New makes the world.
func New(t testing.TB) *World {
	t.Helper()
	w := &World{Images: map[string]v1.Image{}, Said: map[string]sign.Evidence{}, Sigs: map[string][]sign.Signature{}, digests: map[string]v1.Image{}}
	w.Definitions = definitions()
	for day := 17; day <= 23; day++ {
		w.add(t, Nightly(day), time.Date(2026, 11, day, 10, 15, 0, 0, time.UTC))
	}
	for i, v := range []string{"1.36.1", "1.36.2", "1.36.3", "1.37.0-rc.1"} {
		w.add(t, v, time.Date(2026, 11, 10+3*i, 9, 0, 0, 0, time.UTC))
	}
	w.decideNightly(t)
	w.decideStable(t)
	w.Offered = offered(t, w)
	w.Unfinished = []catalog.Unfinished{
		{Stream: "nightly", Version: version(t, Nightly(23)), Phase: catalog.Ready, Checks: []catalog.Check{
			{Name: "upgrade", State: catalog.Running, Detail: "running for 40 min", URL: "https://ci.example.com/runs/23", Retries: 1, PreviousURLs: []string{"https://ci.example.com/runs/22b"}},
		}},
		{Stream: "nightly", Version: version(t, Nightly(24)), Phase: catalog.Pending, Reason: "images are being built: 3 of 5"},
	}
	return w
}

func definitions() []catalog.Definition {
	return []catalog.Definition{{
		Policy:  streams.Policy{Name: "nightly", Channels: []string{"candidate"}, Blocking: []string{"conformance", "upgrade"}, Informing: []string{"scale"}},
		Message: "Cut every day from the newest inputs.",
		Checks: []catalog.CheckDefinition{
			{Name: "conformance", Pipeline: "conformance", MaxRetries: 1},
			{Name: "upgrade", Pipeline: "upgrade", Upgrade: true, UpgradeFrom: "Previous", MaxRetries: 2},
			{Name: "scale", Pipeline: "scale"},
			{Name: "soak", Pipeline: "soak", Cron: "0 3 * * *"},
			{Name: "fips", Pipeline: "fips", Disabled: true},
		},
	}, {
		Policy: streams.Policy{Name: "stable", Channels: []string{"stable-1.36"}, Blocking: []string{"conformance"}}, Stable: true,
		MaxAge: 60 * 24 * time.Hour, Frozen: "release week, until 1.36.3 is out (jo@example.com)",
	}}
}

// add puts a payload into the registry, signed. Its components change from one to the next.
func (w *World) add(t testing.TB, name string, created time.Time) {
	p := releasetest.Small(name)
	p.Created = created
	p.Images = map[string]string{}
	for i, c := range []string{"cluster-version-operator", "coredns", "etcd", "kubernetes", "slipway"} {
		content := fmt.Sprintf("%s %d", c, created.Day()/(i+1))
		p.Images[c] = "registry.example.com/skiff/content/" + c + "@" + digestOf(content).String()
		p.Labels[c] = map[string]string{
			"io.openshift.build.commit.id": digestOf(content).Hex[:40], "io.openshift.build.commit.ref": "main",
			"io.openshift.build.source-location": "https://github.com/example/" + c,
		}
	}
	p.Labels["kubernetes"]["io.openshift.build.versions"] = fmt.Sprintf("kubernetes=1.36.%d", created.Day()/7)
	img := p.Image(t)
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	w.Images[name], w.digests[digest.String()] = img, img
	w.Sigs[digest.String()] = []sign.Signature{{Form: sign.FormCosign, SignedBy: []string{Key}, Claim: sign.Claim{Version: name}}}
}

func (w *World) decideNightly(t testing.TB) {
	for _, day := range []int{17, 18, 20} {
		w.conformance(t, day, 412, 0)
		w.upgrade(t, Nightly(day-1), Nightly(day), 60, nil)
		w.decide(t, Nightly(day), 90, streams.Accepted, "conformance+Passed:412 of 412 expected specs passed", "upgrade+Passed:6 backends answered without a gap", "scale-Missing:there is no evidence of this check")
	}
	w.upgrade(t, Nightly(18), Nightly(20), 70, nil)
	w.conformance(t, 19, 410, 2)
	w.decide(t, Nightly(19), 90, streams.Rejected, "conformance+Failed:410 of 412 expected specs passed, 2 failed", "upgrade+Missing:there is no evidence of this check")
	w.conformance(t, 21, 412, 0)
	w.upgrade(t, Nightly(20), Nightly(21), 60, func(u *streams.Upgrade) {
		u.Backends[0].Failed, u.Backends[0].Disruptions = 31, []streams.Disruption{{AtLeastMs: 1550, AtMostMs: 1600, During: "control plane cp-2"}}
	})
	w.decide(t, Nightly(21), 90, streams.Rejected, "conformance+Passed:412 of 412 expected specs passed", "upgrade+Failed:kube-api (new connections): 31 of 999 probes failed, 1 disruption of 1550 to 1600 ms in all, during control plane cp-2")
	w.conformance(t, 22, 412, 0)
	w.upgrade(t, Nightly(20), Nightly(22), 60, func(u *streams.Upgrade) {
		u.TesterHealthy, u.TesterReasons = false, []string{"its clock jumped by 2 s"}
	})
	w.decide(t, Nightly(22), 90, streams.Undecided, "conformance+Passed:412 of 412 expected specs passed", "upgrade+Inconclusive:the tester was not healthy: its clock jumped by 2 s")
	w.conformance(t, 23, 412, 0)
	w.say(t, Nightly(20), 30, sign.PredicateProvenance, map[string]any{"buildDefinition": map[string]any{"buildType": "https://slipway.dev/payload/v1"}})
	w.say(t, Nightly(20), 31, sign.PredicateSBOM, map[string]any{"spdxVersion": "SPDX-2.3", "name": "<b>bold</b>"})
	digest := w.Digest(t, Nightly(20)).String()
	e := w.Said[digest]
	e.Refused = []sign.Refused{{Digest: digestOf("foreign"), Reason: "it is signed with key sha256:bad, which is not trusted (sha256:5f0c2a11)"}}
	w.Said[digest] = e
}

func (w *World) decideStable(t testing.TB) {
	for _, v := range []string{"1.36.1", "1.36.2"} {
		w.decide(t, v, 60, streams.Accepted, "conformance+Passed:412 of 412 expected specs passed")
	}
	w.upgrade(t, "1.36.1", "1.36.2", 50, nil)
	w.decide(t, "1.37.0-rc.1", 60, streams.Accepted, "conformance+Passed:412 of 412 expected specs passed")
	w.say(t, "1.37.0-rc.1", 120, sign.PredicateDecision, map[string]any{
		"verdict": "Rejected", "reasons": []any{}, "by": "jo@example.com", "why": "etcd loses data after a restore, see #812 <script>alert(1)</script>",
	})
}

// conformance says how many of 412 specs passed.
func (w *World) conformance(t testing.TB, day, passed, failed int) {
	result := sign.TestPassed
	if failed > 0 {
		result = sign.TestFailed
	}
	w.say(t, Nightly(day), 40, sign.PredicateTestResult, map[string]any{
		"result": result, "configuration": []any{}, "url": fmt.Sprintf("https://ci.example.com/runs/%d", day),
		"conformance": map[string]any{"expected": 412, "passed": passed, "failed": failed, "seconds": 60 * day},
	})
}

func (w *World) upgrade(t testing.TB, from, to string, minutes int, change func(*streams.Upgrade)) {
	u := streams.Upgrade{
		From: streams.Endpoint{Version: from, Digest: digestOf(from).String()}, To: streams.Endpoint{Version: to, Digest: digestOf(to).String()},
		TesterHealthy: true, SelfTest: &streams.SelfTest{Injections: []streams.Injection{{Name: "refused", Found: true}}},
	}
	for _, name := range []string{"kube-api", "kube-api-write", "service", "dns", "pod-to-pod", "tcp"} {
		u.Backends = append(u.Backends, streams.Backend{Name: name, Connection: "new", Intended: 1000, Sent: 999})
	}
	if change != nil {
		change(&u)
	}
	w.say(t, to, minutes, sign.PredicateUpgradeResult, struct {
		Profile string `json:"profile"`
		streams.Upgrade
		Started  time.Time `json:"started"`
		Finished time.Time `json:"finished"`
	}{"ha", u, Now, Now.Add(time.Duration(minutes) * 10 * time.Second)})
}

// decide signs a verdict; a reason is CHECK(+ blocking|- informing)STATUS:DETAIL.
func (w *World) decide(t testing.TB, name string, minutes int, outcome streams.Outcome, reasons ...string) {
	v := streams.Verdict{Verdict: outcome}
	for _, text := range reasons {
		head, detail, _ := strings.Cut(text, ":")
		at := strings.IndexAny(head, "+-")
		v.Reasons = append(v.Reasons, streams.Reason{Check: head[:at], Blocking: head[at] == '+', Status: streams.Status(head[at+1:]), Detail: detail})
	}
	w.say(t, name, minutes, sign.PredicateDecision, v)
}

// say attaches a statement, minutes after the payload was made.
func (w *World) say(t testing.TB, name string, minutes int, predicateType string, predicate any) {
	data, err := json.Marshal(predicate)
	if err != nil {
		t.Fatal(err)
	}
	config, err := w.Images[name].ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	digest := w.Digest(t, name).String()
	e := w.Said[digest]
	e.Statements = append(e.Statements, sign.Statement{
		Digest: digestOf(fmt.Sprint(name, minutes, predicateType)), PredicateType: predicateType, Predicate: data, Subject: Repository,
		Time: config.Created.Add(time.Duration(minutes) * time.Minute), TimeProven: true, Key: Key, SignedBy: []string{Key},
	})
	w.Said[digest] = e
}

func offered(t testing.TB, w *World) []catalog.Channel {
	channel := func(name string, versions ...string) catalog.Channel {
		c := catalog.Channel{Name: name, Updated: Now.Add(-time.Hour)}
		for _, v := range versions {
			c.Versions = append(c.Versions, catalog.ChannelVersion{Version: version(t, v), PullSpec: Repository + "@" + w.Digest(t, v).String(), Added: Now.Add(-2 * time.Hour)})
		}
		return c
	}
	edge := func(from, to string, risks ...string) catalog.ChannelEdge {
		return catalog.ChannelEdge{Pair: catalog.Pair{From: from, To: to}, Risks: risks}
	}
	candidate := channel("candidate", Nightly(17), Nightly(18), Nightly(20), "1.36.1", "1.36.2")
	candidate.Edges = []catalog.ChannelEdge{edge(Nightly(17), Nightly(18)), edge(Nightly(18), Nightly(20)), edge(Nightly(17), Nightly(20)), edge("1.36.1", "1.36.2")}
	stable := channel("stable-1.36", "1.36.1", "1.36.2")
	stable.Edges = []catalog.ChannelEdge{edge("1.36.1", "1.36.2", "EtcdSlowDefrag")}
	stable.Quarantined = []catalog.Quarantined{{Version: "1.36.0", Reason: "two payloads bear this version"}}
	return []catalog.Channel{stable, candidate}
}

func version(t testing.TB, name string) release.Version {
	v, err := release.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// componentImage is an image with layers that its name decides about.
func componentImage(name string) v1.Image {
	img := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	base := static.NewLayer([]byte(strings.Repeat("base", 4000)), types.OCILayer)
	own := static.NewLayer([]byte(strings.Repeat(name, 100+int(name[len(name)-1])*20)), types.OCILayer)
	made, err := mutate.AppendLayers(img, base, own)
	if err != nil {
		panic(err) // layers in memory can always be read
	}
	return made
}
