package premerge_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/slipway-release/slipway/internal/git/gittest"
	"github.com/slipway-release/slipway/pipelines/premerge"
	"github.com/slipway-release/slipway/pipelines/report"
)

// broken is a change that somebody could really make, and why it must not be merged.
type broken struct {
	Component string `json:"component"`
	Edits     []struct {
		File string `json:"file"`
		Old  string `json:"old"`
		New  string `json:"new"`
	} `json:"edits"`
	Want struct {
		Rule  string `json:"rule"`
		File  string `json:"file"`
		Field string `json:"field"`
	} `json:"want"`
}

// Each broken example is rejected without a cluster, for the right reason and with the
// place where it is wrong.
func TestBrokenChangesAreRejected(t *testing.T) {
	b := newBench(t)
	files, err := filepath.Glob("testdata/broken/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no broken examples: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var x broken
			if err := yaml.UnmarshalStrict(data, &x); err != nil {
				t.Fatal(err)
			}
			dir := b.copyOf(t, x.Component)
			for _, e := range x.Edits {
				edit(t, filepath.Join(dir, e.File), e.Old, e.New)
			}
			r, err := premerge.Run(t.Context(), b.options(t, x.Component+"="+dir))
			if err != nil {
				t.Fatal(err)
			}
			checkBlame(t, r, x, dir)
		})
	}
}

func checkBlame(t *testing.T, r *report.Report, x broken, dir string) {
	t.Helper()
	if r.Run.Verdict != "Rejected" {
		t.Fatalf("verdict %q: %v", r.Run.Verdict, r.Reasons)
	}
	f := r.Check.Static.Findings[0]
	if f.Rule != x.Want.Rule || f.File != filepath.Join(dir, x.Want.File) || f.Field != x.Want.Field || f.Line == 0 || f.Component != x.Component {
		t.Errorf("found %+v, want %+v", f, x.Want)
	}
	if len(r.Check.Suspects) == 0 {
		t.Fatal("nothing is said to be responsible")
	}
	s := r.Check.Suspects[0]
	if s.Component != x.Component || s.File != f.File || s.Field != f.Field || s.Line != f.Line {
		t.Errorf("%+v is said to be responsible", s)
	}
	if seconds := r.Check.Static.Seconds; seconds > 2 {
		t.Errorf("it took %.1f s", seconds)
	}
}

// A change that breaks nothing is accepted, and what the base has as well is not held
// against it.
func TestHarmlessChangeIsAccepted(t *testing.T) {
	b := newBench(t)
	dir := b.copyOf(t, "coredns")
	edit(t, filepath.Join(dir, "manifests/0000_20_coredns_04-deployment.yaml"), "memory: 50Mi", "memory: 60Mi")
	r, err := premerge.Run(t.Context(), b.options(t, "coredns="+dir))
	if err != nil {
		t.Fatal(err)
	}
	if r.Run.Verdict != "Accepted" || len(r.Check.Static.Findings) != 0 || len(r.Check.Suspects) != 0 {
		t.Errorf("verdict %q: %+v", r.Run.Verdict, r.Check.Static.Findings)
	}
	if len(r.Check.Changes) != 1 || r.Check.Changes[0].Component != "coredns" {
		t.Errorf("changes: %+v", r.Check.Changes)
	}
}

// Without a source all that differs in the checkout is the change.
func TestCheckout(t *testing.T) {
	b := newBench(t)
	r, err := premerge.Run(t.Context(), b.options(t))
	if err != nil {
		t.Fatal(err)
	}
	if r.Run.Verdict != "Accepted" || len(r.Check.Changes) != 0 {
		t.Errorf("verdict %q of a checkout that is as the base: %+v", r.Run.Verdict, r.Check.Changes)
	}
	edit(t, filepath.Join(b.dir, "components/coredns/manifests/0000_20_coredns_04-deployment.yaml"), "replicas: 2", "replicas: 1")
	o := b.options(t)
	o.Now = func() time.Time { return today.Add(time.Minute) }
	if r, err = premerge.Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if r.Run.Verdict != "Rejected" || len(r.Check.Changes) != 1 || r.Check.Changes[0].Component != "coredns" {
		t.Errorf("verdict %q, changes %+v", r.Run.Verdict, r.Check.Changes)
	}
}

// A component may be an image, whose manifests are judged like those of a folder.
func TestImage(t *testing.T) {
	b := newBench(t)
	edit(t, filepath.Join(b.dir, "components/coredns/manifests/0000_20_coredns_04-deployment.yaml"), "replicas: 2", "replicas: 1")
	repository := b.registry.Canonical() + "/coredns"
	digest, err := b.registry.Push(t.Context(), repository+":mine", imageOf(t, b.load(t).Component("coredns")))
	if err != nil {
		t.Fatal(err)
	}
	r, err := premerge.Run(t.Context(), b.options(t, "coredns="+repository+":mine"))
	if err != nil {
		t.Fatal(err)
	}
	if r.Run.Verdict != "Rejected" || r.Check.Changes[0].Origin != digest.String() {
		t.Errorf("verdict %q, change %+v", r.Run.Verdict, r.Check.Changes[0])
	}
	if s := r.Check.Suspects[0]; s.File != "0000_20_coredns_04-deployment.yaml" || s.Field != "spec.replicas" {
		t.Errorf("%+v is said to be responsible", s)
	}
}

// A component may be that of a commit, here or elsewhere.
func TestCommit(t *testing.T) {
	b := newBench(t)
	repository := gittest.New(t, b.dir)
	repository.Commit("as it was")
	repository.Git("checkout", "--quiet", "-b", "fewer")
	edit(t, filepath.Join(b.dir, "components/coredns/manifests/0000_20_coredns_04-deployment.yaml"), "replicas: 2", "replicas: 1")
	commit := repository.Commit("one is enough")
	repository.Git("checkout", "--quiet", "main")
	for _, source := range []string{"git:fewer", repository.URL() + "#fewer", repository.URL() + "#" + commit + ":components/coredns"} {
		r, err := premerge.Run(t.Context(), b.options(t, "coredns="+source))
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		if s := r.Check.Suspects; r.Run.Verdict != "Rejected" || r.Check.Changes[0].Origin != commit || s[0].File != "components/coredns/manifests/0000_20_coredns_04-deployment.yaml" {
			t.Errorf("%s: verdict %q, change %+v, responsible %+v", source, r.Run.Verdict, r.Check.Changes[0], s)
		}
	}
	for source, want := range map[string]string{
		"git:none": `"none"`, repository.URL() + "#none": `"none"`, repository.URL() + "#fewer:elsewhere": `"elsewhere"`,
	} {
		var wrong *premerge.InputError
		if _, err := premerge.Run(t.Context(), b.options(t, "coredns="+source)); !errors.As(err, &wrong) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", source, err)
		}
	}
}

// Names that the release does not have are told together, with those that are near.
func TestUnknownComponents(t *testing.T) {
	b := newBench(t)
	dir := b.copyOf(t, "coredns")
	_, err := premerge.Run(t.Context(), b.options(t, "core-dns="+dir, "apiserver="+dir, "zookeeper="+dir))
	var wrong *premerge.InputError
	if !errors.As(err, &wrong) {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{`"core-dns"`, "did you mean coredns?", "did you mean kube-apiserver?", `"zookeeper"`, "it has agnhost, cluster-policy"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
}

// What is wrong with a component's files is reported where it stands.
func TestMistakesInAFolder(t *testing.T) {
	b := newBench(t)
	recipe := b.copyOf(t, "coredns")
	edit(t, filepath.Join(recipe, "component.yaml"), "layers:", "layer:")
	manifest := b.copyOf(t, "coredns")
	edit(t, filepath.Join(manifest, "manifests/0000_20_coredns_04-deployment.yaml"), "registry.slipway.internal/skiff/coredns", "registry.slipway.internal/skiff/none")
	for dir, want := range map[string]string{recipe: recipe + "/component.yaml:", manifest: "none"} {
		_, err := premerge.Run(t.Context(), b.options(t, "coredns="+dir))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestParseSource(t *testing.T) {
	for arg, want := range map[string]string{
		"coredns": "NAME=SOURCE", "coredns=": "NAME=SOURCE", "core dns=x": "NAME=SOURCE", "a=./none": "no such file",
		"a=" + t.TempDir(): "component.yaml", "a=git:": "followed by", "a=https://example.com/a.git": "#REF",
		"a=https://example.com/a.git#": "followed by", "a=ftp://example.com/a#b": "ftp", "a=https://u:p@example.com/a#b": "credentials",
		"a=https://example.com/a.git#main:../x": "leaves",
	} {
		if _, err := premerge.ParseSource(arg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", arg, err, want)
		}
	}
	if _, err := premerge.ParseSources([]string{"a=b", "a=c", "d"}); err == nil || !strings.Contains(err.Error(), "twice") || !strings.Contains(err.Error(), `"d"`) {
		t.Errorf("got %v", err)
	}
	s, err := premerge.ParseSource("a=quay.io/me/a:fix")
	if err != nil || s.Image != "quay.io/me/a:fix" {
		t.Errorf("got %+v, %v", s, err)
	}
}

func FuzzParseSource(f *testing.F) {
	for _, seed := range []string{"a=b", "a=git:main", "a=https://example.com/a.git#b:c", "a=oci:/x", "=", "a=#"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, arg string) {
		s, err := premerge.ParseSource(arg)
		if err != nil {
			return
		}
		set := 0
		for _, given := range []bool{s.Folder != "", s.Ref != "", s.Image != ""} {
			if given {
				set++
			}
		}
		if set != 1 || s.Component == "" || strings.Contains(s.Path, "..") && strings.HasPrefix(s.Path, "..") {
			t.Errorf("%q gives %+v", arg, s)
		}
	})
}
