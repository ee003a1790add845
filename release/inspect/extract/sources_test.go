package extract_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-release/slipway/internal/git"
	"github.com/slipway-release/slipway/internal/git/gittest"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/inspect/extract"
	"github.com/slipway-release/slipway/release/releasetest"
)

func TestSources(t *testing.T) {
	root := t.TempDir()
	one := gittest.New(t, filepath.Join(root, "one"))
	first := one.Commit("first")
	one.Git("tag", "v1.0.0")
	two := gittest.New(t, filepath.Join(root, "two"))
	older, newer := two.Commit("older"), two.Commit("newer")

	from := func(source, commit string) map[string]string {
		return map[string]string{release.LabelSource: source, release.LabelCommit: commit}
	}
	spec := releasetest.Small("4.15.0")
	spec.Labels = map[string]map[string]string{
		"a": from(one.URL(), "v1.0.0"), "b": from(one.URL(), "v1.0.0"),
		"c": from(two.URL(), older), "d": from(two.URL(), newer),
		"hostile": from("ext::touch /tmp/x", "v1"), "missing": from("file://"+root+"/three", "v1"), "option": from("https://example.com/option", "--upload-pack=x"),
	}
	spec.Images = map[string]string{"silent": pinned}
	for name := range spec.Labels {
		spec.Images[name] = pinned
	}
	dir := t.TempDir()
	o := extract.SourcesOptions{Dir: dir, Repositories: git.NewCache(git.Options{Dir: t.TempDir(), Files: true})}
	got, silent, err := extract.Sources(t.Context(), load(t, spec), o)
	for _, want := range []string{`component "hostile"`, "three", "--upload-pack=x"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if diff := cmp.Diff([]string{"silent"}, silent); diff != "" {
		t.Error(diff)
	}
	var lines []string
	for _, c := range got {
		path, relErr := filepath.Rel(filepath.Join(dir, root), c.Path)
		if relErr != nil {
			t.Fatal(relErr)
		}
		lines = append(lines, path+" "+c.Commit+" "+strings.Join(c.Components, ","))
	}
	want := []string{"one " + first + " a,b", "two@" + older[:12] + " " + older + " c", "two@" + newer[:12] + " " + newer + " d"}
	slices.Sort(want)
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Error(diff)
	}
	if files, err := filepath.Glob(filepath.Join(dir, root, "*", "file-*")); err != nil || len(files) != 4 {
		t.Errorf("%v, %v", files, err)
	}
}
