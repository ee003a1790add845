package extract_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/inspect/extract"
	"github.com/slipway-release/slipway/release/manifests"
	"github.com/slipway-release/slipway/release/releasetest"
)

// load reads a payload image that was written by hand.
func load(t testing.TB, p releasetest.Payload) *release.Payload {
	t.Helper()
	loaded, err := release.Load(t.Context(), p.Image(t))
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

// tree returns all files below a folder.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		found[name] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestFilesAreWrittenByteForByte(t *testing.T) {
	spec := releasetest.Small("4.15.0")
	spec.Manifests = append(spec.Manifests, releasetest.File{Name: "0000_50_odd_readme.txt", Data: []byte("\xff\x00 no YAML\r\n")})
	p := load(t, spec)
	dir := filepath.Join(t.TempDir(), "new", "dir")
	if err := extract.Write(dir, extract.Files(p), false); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for _, f := range spec.Files() {
		want[f.Name] = string(f.Data)
	}
	if diff := cmp.Diff(want, tree(t, dir)); diff != "" {
		t.Error(diff)
	}
}

func TestNothingIsOverwritten(t *testing.T) {
	p := load(t, releasetest.Small("4.15.0"))
	dir := t.TempDir()
	files := extract.Files(p)
	if err := extract.Write(dir, files, false); err != nil {
		t.Fatal(err)
	}
	if err := extract.Write(dir, files, false); err != nil {
		t.Errorf("a second time: %v", err)
	}
	outside := filepath.Join(t.TempDir(), "outside")
	link, changed := files[0].Name, files[1].Name
	for _, err := range []error{
		os.WriteFile(outside, []byte("mine"), 0o644), os.Remove(filepath.Join(dir, link)), os.Symlink(outside, filepath.Join(dir, link)),
		os.WriteFile(filepath.Join(dir, changed), []byte("mine"), 0o644), os.Remove(filepath.Join(dir, files[2].Name)),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	err := extract.Write(dir, files, false)
	if err == nil || !strings.Contains(err.Error(), link) || !strings.Contains(err.Error(), changed) {
		t.Errorf("got %v, want both names", err)
	}
	if _, err := os.Stat(filepath.Join(dir, files[2].Name)); err == nil {
		t.Error("part of a refused extraction was written")
	}
	if err := extract.Write(dir, files, true); err != nil {
		t.Fatal(err)
	}
	got := tree(t, dir)
	for _, f := range files {
		if got[f.Name] != string(f.Data) {
			t.Errorf("%s is %q", f.Name, got[f.Name])
		}
	}
	if data, err := os.ReadFile(outside); err != nil || string(data) != "mine" {
		t.Errorf("a link was followed: %q, %v", data, err)
	}
}

func TestHostileNames(t *testing.T) {
	for _, name := range []string{"", ".", "..", "../x", "/etc/passwd", "a/b", `a\b`, "a\x00b", "a\nb", "\x1b[2J", "\u202efdp.exe", ".bashrc", "-rf", "c:x", "\xff", strings.Repeat("a", 256)} {
		root := t.TempDir()
		dir := filepath.Join(root, "out")
		err := extract.Write(dir, []release.File{{Name: "good"}, {Name: name}}, true)
		if err == nil {
			t.Errorf("%q was accepted", name)
		}
		if found := tree(t, root); len(found) != 0 {
			t.Errorf("%q: %v was written", name, found)
		}
	}
}

func TestHostilePayloadsAreNotRead(t *testing.T) {
	for what, entries := range releasetest.Hostile() {
		t.Run(what, func(t *testing.T) {
			spec := releasetest.Small("4.15.0")
			spec.Entries = entries
			p, err := release.Load(t.Context(), spec.Image(t))
			if err != nil {
				return
			}
			root := t.TempDir()
			dir := filepath.Join(root, "out")
			err = extract.Write(dir, extract.Files(p), false)
			for name := range tree(t, root) {
				if !strings.HasPrefix(name, "out/") || strings.Count(name, "/") != 1 {
					t.Errorf("%s was written (%v)", name, err)
				}
			}
		})
	}
}

func TestManyAtOnceInOneFolder(t *testing.T) {
	p := load(t, releasetest.Small("4.15.0"))
	dir := t.TempDir()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := extract.Write(dir, extract.Files(p), false); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := tree(t, dir); len(got) != len(extract.Files(p)) {
		t.Errorf("%d files", len(got))
	}
}

func TestWhatAKilledProcessLeftIsRemoved(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, ".slipway-extract-killed"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".slipway-extract-killed", "half"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := extract.Write(dir, []release.File{{Name: "a", Data: []byte("1")}}, false); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"a": "1"}, tree(t, dir)); diff != "" {
		t.Error(diff)
	}
}

const mixed = `# first
apiVersion: v1
kind: ConfigMap
metadata: {name: a, namespace: x, annotations: {include.release.openshift.io/ha: "true"}}
---
# second
apiVersion: v1
kind: ConfigMap
metadata: {name: b, namespace: x}
--- # third
apiVersion: v1
kind: ConfigMap
metadata: {name: c, namespace: x, annotations: {include.release.openshift.io/ha: "true"}}
`

func TestIncludedKeepsTheBytesOfWhatItKeeps(t *testing.T) {
	spec := releasetest.Small("4.15.0")
	spec.Manifests = []releasetest.File{
		{Name: "0000_10_a_mixed.yaml", Data: []byte(mixed)},
		{Name: "0000_10_b_none.yaml", Data: []byte("apiVersion: v1\nkind: Namespace\nmetadata: {name: other}\n")},
		{Name: "0000_10_c_broken.yaml", Data: []byte("a: [")},
		{Name: "0000_10_d.txt", Data: []byte("text")},
	}
	chosen := extract.Included(load(t, spec), manifests.Selection{Profile: "ha"})
	got := map[string]string{}
	for _, f := range chosen.Files {
		got[f.Name] = string(f.Data)
	}
	delete(got, release.ReferencesFile)
	delete(got, release.MetadataFile)
	first, rest, _ := strings.Cut(mixed, "---\n# second")
	_, third, _ := strings.Cut(rest, "--- # third")
	if diff := cmp.Diff(map[string]string{
		"0000_10_a_mixed.yaml": first + "--- # third" + third, "0000_10_c_broken.yaml": "a: [", "0000_10_d.txt": "text",
	}, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]extract.LeftOut{
		{File: "0000_10_a_mixed.yaml", Line: 7, Object: "ConfigMap x/b", Reason: "include.release.openshift.io/ha is not set"},
		{File: "0000_10_b_none.yaml", Line: 1, Object: "Namespace other", Reason: "include.release.openshift.io/ha is not set"},
	}, chosen.LeftOut); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"0000_10_c_broken.yaml"}, chosen.Unjudged); diff != "" {
		t.Error(diff)
	}
	// What was kept of a file is a file.
	objects, err := manifests.Parse([]byte(got["0000_10_a_mixed.yaml"]), "x.yaml")
	if err != nil || len(objects) != 2 {
		t.Errorf("%d objects, %v", len(objects), err)
	}
}

func TestCredentialsRequests(t *testing.T) {
	request := func(name, kind string) []byte {
		return fmt.Appendf(nil, "apiVersion: cloudcredential.openshift.io/v1\nkind: CredentialsRequest\nmetadata: {name: %s, namespace: x}\nspec:\n  providerSpec: {kind: %s}\n", name, kind)
	}
	files := []release.File{
		{Name: "0000_a.yaml", Data: request("a", "AWSProviderSpec")},
		{Name: "0000_b.yaml", Data: bytes.Join([][]byte{request("b", "GCPProviderSpec"), request("c", "AWSProviderSpec")}, []byte("---\n"))},
		{Name: "0000_c.yaml", Data: []byte("apiVersion: v1\nkind: Namespace\nmetadata: {name: other}\n")},
		{Name: "image-references", Data: []byte("{}")},
	}
	for cloud, want := range map[string]int{"": 2, "aws": 2, "gcp": 1, "azure": 0} {
		got, err := extract.CredentialsRequests(files, cloud)
		if err != nil || len(got.Files) != want {
			t.Errorf("cloud %q: %d files, %v", cloud, len(got.Files), err)
		}
	}
	got, err := extract.CredentialsRequests(files, "gcp")
	if err != nil || len(got.LeftOut) != 2 || !bytes.Equal(got.Files[0].Data, request("b", "GCPProviderSpec")) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := extract.CredentialsRequests(files, "sky"); err == nil || !strings.Contains(err.Error(), "aws") {
		t.Errorf("an unknown cloud: %v", err)
	}
}

// BenchmarkWrite is what `release extract` does with a payload of OpenShift's size.
func BenchmarkWrite(b *testing.B) {
	var files []release.File
	for i := range 1082 {
		files = append(files, release.File{Name: fmt.Sprintf("0000_50_component_%04d.yaml", i), Data: bytes.Repeat([]byte("line\n"), 400)})
	}
	for b.Loop() {
		if err := extract.Write(b.TempDir(), files, false); err != nil {
			b.Fatal(err)
		}
	}
}
