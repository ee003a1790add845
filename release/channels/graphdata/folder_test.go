package graphdata_test

import (
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/slipway-release/slipway/release/channels/graphdata"
)

// folder is graph-data by path; without a version it is of a schema that is known.
type folder map[string]string

func (f folder) fs() fstest.MapFS {
	fsys := fstest.MapFS{}
	if _, ok := f["version"]; !ok {
		fsys["version"] = &fstest.MapFile{Data: []byte("1.1.0\n")}
	}
	for name, text := range f {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return fsys
}

func (f folder) load(t testing.TB) *graphdata.Data {
	t.Helper()
	d, err := graphdata.LoadFS(f.fs(), "data")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// write writes the folder to disk.
func (f folder) write(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for name, file := range f.fs() {
		writeFile(t, filepath.Join(dir, name), string(file.Data))
	}
	return dir
}

func writeFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func readFile(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// conditional is a block with a risk that concerns everybody.
func conditional(to, from, name string) string {
	return "to: " + to + "\nfrom: " + from + "\nurl: https://example.com/" + name + "\nname: " + name +
		"\nmessage: It may hurt.\nmatchingRules:\n- type: Always\n"
}

// risk is a risk over ranges that concerns everybody, with more fields behind.
func risk(name, to, more string) string {
	return "apiVersion: slipway.dev/v1alpha1\nkind: Risk\nmetadata:\n  name: " + name + "\nto: '" + to +
		"'\nurl: https://example.com/" + name + "\nmessage: It may hurt.\n" + more
}

const always = "matchingRules:\n- type: Always\n"
