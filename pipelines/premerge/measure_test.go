package premerge_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/slipway-release/slipway/pipelines/premerge"
	"github.com/slipway-release/slipway/pipelines/report"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/upgradetest"
)

// pretended is a place without a cluster: a real monitor records a backend that fails
// for a while where the test wants it to.
type pretended struct {
	backend string
	// fails are the payloads, "base" or "change", to which an upgrade costs an outage.
	fails    []string
	failure  string // of every upgrade
	untested bool   // the monitor did not prove that it finds outages
	broken   error  // of the host

	made, removed, logs int
	base                *release.Payload
}

var _ premerge.Place = (*pretended)(nil)

func (p *pretended) Make(_ context.Context, base *release.Payload, _ string, _ func(string)) error {
	p.made++
	p.base = base
	return p.broken
}

func (p *pretended) Logs(context.Context, string) error { p.logs++; return nil }
func (p *pretended) Remove(ctx context.Context) error   { p.removed++; return ctx.Err() }
func (p *pretended) Close()                             {}
func (p *pretended) name(payload *release.Payload) string {
	if payload.Digest == p.base.Digest {
		return "base"
	}
	return "change"
}

// switched is a prober whose backend can be turned off.
type switched struct {
	off   atomic.Bool
	asked atomic.Int32
}

func (s *switched) Probe(_ context.Context, p *upgradetest.Probe) {
	if s.off.Load() {
		p.Class, p.Detail = upgradetest.Refused, "connection refused"
	}
	s.asked.Add(1)
}

// stay lets the backend be as it is for a while, in which it is asked.
func (s *switched) stay(ctx context.Context) {
	enough := s.asked.Load() + 3
	time.Sleep(300 * time.Millisecond)
	for s.asked.Load() < enough && ctx.Err() == nil {
		time.Sleep(10 * time.Millisecond)
	}
}
func (s *switched) Close() {}

func (p *pretended) Upgrade(ctx context.Context, to *release.Payload, samples string, _ func(string)) (upgradetest.Result, error) {
	prober := &switched{}
	m, err := upgradetest.Start(ctx, upgradetest.Options{
		Backends:   []upgradetest.Backend{{Name: p.backend, Connection: upgradetest.New, Prober: prober}},
		SamplesDir: samples, KeepPriority: true, Limits: upgradetest.Limits{Lateness99: time.Minute, Missed: 1, Steal: 1},
	})
	if err != nil {
		return upgradetest.Result{}, err
	}
	m.Mark("control-plane/node-1/upgrade")
	prober.stay(ctx)
	prober.off.Store(slices.Contains(p.fails, p.name(to)))
	prober.stay(ctx)
	prober.off.Store(false)
	prober.stay(ctx)
	res, err := m.Stop(ctx)
	res.From, res.To = upgradetest.Release{Version: "from", Digest: "sha256:from"}, upgradetest.Release{Version: to.Version.String(), Digest: to.Digest.String()}
	res.Failure = p.failure
	if !p.untested {
		res.SelfTest = &upgradetest.SelfTest{Injections: []upgradetest.Injection{{Name: "refused", Found: true}}}
	}
	return res, err
}

// pushed is the component's image after an edit of one of its files, or with nothing
// but another name in it.
func (b *bench) pushed(t *testing.T, component, file, before, after string) string {
	t.Helper()
	if file != "" {
		edit(t, filepath.Join(b.dir, "components", component, file), before, after)
	}
	recipe := *b.load(t).Component(component)
	if file == "" {
		recipe.Metadata.Name += "-rebuilt"
	}
	ref := b.registry.Canonical() + "/" + component + ":changed"
	if _, err := b.registry.Push(t.Context(), ref, imageOf(t, &recipe)); err != nil {
		t.Fatal(err)
	}
	return component + "=" + ref
}

const probe = "path: /ready\n            port: ready\n          periodSeconds: 2"

// What was lost is told with the field or the image that is most likely responsible.
func TestMeasured(t *testing.T) {
	for name, x := range map[string]struct {
		place                 pretended
		component, file       string
		verdict               string
		into, outOf           string
		suspect, field, image string
		logs                  int
	}{
		"nothing is lost": {
			place: pretended{backend: "dns"}, component: "coredns", file: "manifests/0000_20_coredns_04-deployment.yaml",
			verdict: "Accepted", into: "Passed", outOf: "Passed",
		},
		"the way in loses names": {
			place: pretended{backend: "dns", fails: []string{"change"}}, component: "coredns", file: "manifests/0000_20_coredns_04-deployment.yaml",
			verdict: "Rejected", into: "Failed", outOf: "Passed", suspect: "coredns", field: "spec.template.spec.containers[coredns].readinessProbe.periodSeconds",
		},
		"the way out loses the API, of which only the image differs": {
			place: pretended{backend: "kube-api", fails: []string{"base"}}, component: "kube-apiserver",
			verdict: "Rejected", into: "Passed", outOf: "Failed", suspect: "kube-apiserver", image: "sha256:",
		},
		"what is lost has nothing to do with the change": {
			place: pretended{backend: "kube-api", fails: []string{"change"}}, component: "coredns", file: "manifests/0000_20_coredns_04-deployment.yaml",
			verdict: "Rejected", into: "Failed", outOf: "Passed", suspect: "coredns", field: "spec.template.spec.containers[coredns].readinessProbe.periodSeconds",
		},
		"the change does not come up": {
			place: pretended{backend: "dns", failure: "waiting for Deployment kube-system/coredns: 1 of 2 available"}, component: "coredns", file: "manifests/0000_20_coredns_04-deployment.yaml",
			verdict: "Rejected", into: "Failed", suspect: "coredns", field: "spec.template.spec.containers[coredns].readinessProbe.periodSeconds", logs: 1,
		},
		"the monitor was not tested": {
			place: pretended{backend: "dns", untested: true}, component: "coredns", file: "manifests/0000_20_coredns_04-deployment.yaml",
			verdict: "Inconclusive", into: "Inconclusive", outOf: "Inconclusive", suspect: "coredns", field: "spec.template.spec.containers[coredns].readinessProbe.periodSeconds",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			source := b.pushed(t, x.component, x.file, probe, strings.Replace(probe, "2", "3", 1))
			o, signed := b.measuring(t, &x.place, source)
			r, err := premerge.Run(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if r.Run.Verdict != x.verdict {
				t.Errorf("verdict %q: %v", r.Run.Verdict, r.Reasons)
			}
			if x.place.made != 1 || x.place.removed != 1 || x.place.logs != x.logs {
				t.Errorf("the place: %+v", x.place)
			}
			if len(*signed) != 1 || (*signed)[0] != r.Payload.Reference {
				t.Errorf("signed %v, not %+v", *signed, r.Payload)
			}
			if tags, err := b.registry.Tags(t.Context(), b.registry.Canonical()+"/release"); err != nil || len(tags) > 0 {
				t.Errorf("the checked payload got a tag: %v, %v", tags, err)
			}
			checkWays(t, r, x.into, x.outOf)
			checkSuspect(t, r, x.suspect, x.field, x.image)
			checkFiles(t, b.state.Run(r.Run.ID), len(r.Check.Ways))
		})
	}
}

// measuring are options that measure at a place, and what gets signed meanwhile.
func (b *bench) measuring(t *testing.T, place premerge.Place, sources ...string) (premerge.Options, *[]string) {
	t.Helper()
	o := b.options(t, sources...)
	o.StaticOnly, o.Profile = false, "ha"
	o.Place = func(context.Context, string) (premerge.Place, error) { return place, nil }
	var signed []string
	o.Sign = func(_ context.Context, reference string, _ release.Version) error {
		signed = append(signed, reference)
		return nil
	}
	return o, &signed
}

func checkWays(t *testing.T, r *report.Report, want ...string) {
	t.Helper()
	var got []string
	for _, w := range r.Check.Ways {
		got = append(got, w.Status)
	}
	want = slices.DeleteFunc(want, func(s string) bool { return s == "" })
	if !slices.Equal(got, want) {
		t.Errorf("ways %v, want %v", got, want)
	}
	for _, l := range r.Check.Losses {
		if l.AtMostMs < 250 || l.AtLeastMs > 350 || l.During == "" || l.Failed == 0 || len(l.Components) == 0 {
			t.Errorf("lost: %+v", l)
		}
	}
	if slices.Contains(want, "Failed") && r.Upgrade.Failure == "" && len(r.Check.Losses) != 1 {
		t.Errorf("lost: %+v", r.Check.Losses)
	}
}

func checkSuspect(t *testing.T, r *report.Report, component, field, image string) {
	t.Helper()
	if component == "" {
		if len(r.Check.Suspects) > 0 {
			t.Errorf("responsible for nothing: %+v", r.Check.Suspects)
		}
		return
	}
	if len(r.Check.Suspects) == 0 {
		t.Fatal("nothing is said to be responsible")
	}
	s := r.Check.Suspects[0]
	if s.Component != component || s.Field != field || s.Why == "" || !strings.HasPrefix(s.To, image) || (field != "" && (s.From != "2" || s.To != "3")) {
		t.Errorf("%+v is said to be responsible", s)
	}
}

func checkFiles(t *testing.T, dir string, ways int) {
	t.Helper()
	files := []string{"report.json", "report.html", "junit_stages.xml", "junit_static.xml", "summary.md", "timeline.html"}
	for _, way := range []string{"into", "out-of"}[:ways] {
		files = append(files, way+"/upgrade.json", way+"/junit_upgrade.xml", way+"/timeline.html")
	}
	for _, name := range files {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A host that fails says nothing about the change, and leaves no cluster.
func TestHostFails(t *testing.T) {
	b := newBench(t)
	broken := errors.New("no space left on device")
	place := &pretended{backend: "dns", broken: broken}
	o, _ := b.measuring(t, place, b.pushed(t, "kube-apiserver", "", "", ""))
	r, err := premerge.Run(t.Context(), o)
	if !errors.Is(err, broken) || r.Run.Verdict != "" || place.removed != 1 {
		t.Errorf("%v, verdict %q, removed %d times", err, r.Run.Verdict, place.removed)
	}
	data, err := os.ReadFile(filepath.Join(b.state.Run(r.Run.ID), "summary.md"))
	if err != nil || !strings.Contains(string(data), "no verdict") || !strings.Contains(string(data), "no space left") {
		t.Errorf("%v: %s", err, data)
	}
}

// What is rejected already is not measured, unless somebody wants it.
func TestMeasureAnyway(t *testing.T) {
	b := newBench(t)
	source := b.pushed(t, "coredns", "manifests/0000_20_coredns_04-deployment.yaml", "replicas: 2", "replicas: 1")
	for _, anyway := range []bool{false, true} {
		place := &pretended{backend: "dns"}
		o, _ := b.measuring(t, place, source)
		o.MeasureAnyway = anyway
		r, err := premerge.Run(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if r.Run.Verdict != "Rejected" || (place.made == 1) != anyway || (len(r.Check.Ways) == 2) != anyway {
			t.Errorf("anyway %t: verdict %q, made %d, ways %+v", anyway, r.Run.Verdict, place.made, r.Check.Ways)
		}
	}
}

// Kubernetes goes up by a minor version and never down: the change is measured one way.
func TestNoWayBack(t *testing.T) {
	b := newBench(t)
	edit(t, filepath.Join(b.dir, "distro.yaml"), "kubernetes: v1.36.3", "kubernetes: v1.37.0")
	var sources []string
	for _, c := range b.load(t).Components {
		if strings.Contains(c.Announces(), "kubernetes=") {
			sources = append(sources, b.pushed(t, c.Metadata.Name, "component.yaml", "kind: Component", "kind: Component"))
		}
	}
	o, _ := b.measuring(t, &pretended{backend: "dns"}, sources...)
	r, err := premerge.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	checkWays(t, r, "Passed")
	last := r.Stages[len(r.Stages)-1]
	if r.Run.Verdict != "Accepted" || last.Status != "Skipped" || !strings.Contains(last.Reason, "1.37.0") {
		t.Errorf("verdict %q: %v, %+v", r.Run.Verdict, r.Reasons, r.Check.Static.Findings)
	}
}
