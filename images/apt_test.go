package images

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAptSources(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"deb822": {
			map[string]string{"sources.list.d/debian.sources": "Types: deb deb-src\n# mirror\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates bookworm-backports\nComponents: main\nSigned-By: /k.gpg\n\nTypes: deb\nURIs: http://mirror.example/security\nSuites: bookworm-security\nComponents: main\nSigned-By:\n -----BEGIN\n .\n -----END\n"},
			"Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\nComponents: main\nSigned-By: /k.gpg\n\nTypes: deb\nURIs: http://mirror.example/security\nSuites: bookworm-security\nComponents: main\nSigned-By: \n -----BEGIN\n .\n -----END\n\n",
		},
		"one line": {
			map[string]string{"sources.list": "# nothing\ndeb [arch=amd64 signed-by=/a.gpg,/b.gpg] http://mirror.example/debian bookworm main contrib # end\ndeb-src http://mirror.example/debian bookworm main\ndeb https://other.example/node nodistro main\n"},
			"Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\nComponents: main contrib\nSigned-By: /a.gpg /b.gpg\n\n",
		},
		"disabled": {
			map[string]string{"sources.list.d/x.sources": "Enabled: no\nTypes: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\nComponents: main\n"},
			renderSources(debianArchives("bookworm")),
		},
		"updates alone": {
			map[string]string{"sources.list": "deb http://mirror.example/debian bookworm-updates main\n"},
			renderSources(debianArchives("bookworm")),
		},
		"none": {nil, renderSources(debianArchives("bookworm"))},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, content := range c.files {
				if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, file)), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			got, err := aptSources(dir, "bookworm")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, renderSources(got)); diff != "" {
				t.Errorf("other sources (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParsePrintURI(t *testing.T) {
	const sum = "1896a2aacf4ad681ff5eacc24a5b0ca4d5d9c9b9c9e4b6de5197bc1e116ea619"
	archives := []string{"http://m.example/debian-security", "http://m.example/debian"}
	for line, want := range map[string]DebPackage{
		"'http://m.example/debian/pool/main/g/g/libg_12%2bdeb12u1_amd64.deb' libg_12+deb12u1_amd64.deb 37596 SHA256:" + sum: {"libg", "12+deb12u1", "amd64", "pool/main/g/g/libg_12+deb12u1_amd64.deb", 37596, sum},
		"'http://m.example/debian-security/pool/x/x_1%3a2_all.deb' x_1%3a2_all.deb 1 SHA256:" + sum:                         {"x", "1:2", "all", "pool/x/x_1%3a2_all.deb", 1, sum},
		"'http://m.example/debian/x_1_all.deb' x_1_all.deb 1 MD5Sum:8e7e741807b1e1939df8f58323affdcb":                       {},
		"'http://elsewhere.example/debian/x_1_all.deb' x_1_all.deb 1 SHA256:" + sum:                                         {},
		"'http://m.example/debian/x.deb' x.deb 1 SHA256:" + sum:                                                             {},
		"E: Unable to locate package x": {},
		"'http://m.example/debian/x_1_all.deb' x_1_all.deb 99999999999999999999 SHA256:" + sum: {},
	} {
		got, err := parsePrintURI(line, archives)
		if (err == nil) != (want.Name != "") {
			t.Errorf("%s: error %v", line, err)
		}
		if want.Name == "x" && want.Version == "1:2" {
			want.Path = "pool/x/x_1:2_all.deb"
		}
		if err == nil && got != want {
			t.Errorf("%s:\ngot  %+v\nwant %+v", line, got, want)
		}
	}
}

func FuzzAptSources(f *testing.F) {
	f.Add("Types: deb\nURIs: http://x\nSuites: a b\nComponents: main\nSigned-By:\n x\n")
	f.Add("deb [a=b] http://x suite main\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, s := range append(parseListFormat(text), parseDeb822(text)...) {
			for _, word := range append(append(s.uris, s.suites...), s.components...) {
				if word == "" || strings.ContainsAny(word, " \t\n") {
					t.Fatalf("%q became a word of %+v", word, s)
				}
			}
		}
	})
}

func FuzzPrintURI(f *testing.F) {
	f.Add("'http://m/debian/pool/x_1_all.deb' x_1_all.deb 1 SHA256:1896a2aacf4ad681ff5eacc24a5b0ca4d5d9c9b9c9e4b6de5197bc1e116ea619")
	f.Fuzz(func(t *testing.T, line string) {
		p, err := parsePrintURI(line, []string{"http://m/debian"})
		if err == nil && (p.Name == "" || p.Path == "" || strings.HasPrefix(p.Path, "..") || len(p.SHA256) != 64) {
			t.Fatalf("%q became %+v", line, p)
		}
	})
}

func TestScratchGoMod(t *testing.T) {
	upstream := `module example.com/big

go 1.26.0

godebug default=go1.26

require (
	example.com/a v1.0.0
	example.com/b v1.5.0 // indirect
	example.com/staging v0.0.0
)

replace (
	example.com/a => example.com/fork v1.0.1
	example.com/staging => ./staging
)

exclude example.com/b v1.4.0

retract v1.0.0

tool example.com/a/cmd
`
	for name, c := range map[string]struct{ local, want string }{
		"staging": {"v0.36.3", `module slipway.dev/build

go 1.26.0

godebug default=go1.26

require (
	example.com/a v1.2.0 // indirect
	example.com/b v1.5.0 // indirect
	example.com/big v1.36.3
	example.com/staging v0.0.0 // indirect
)

replace example.com/a => example.com/fork v1.0.1

replace example.com/staging => example.com/staging v0.36.3

exclude example.com/b v1.4.0
`},
		"no staging": {"", `module slipway.dev/build

go 1.26.0

godebug default=go1.26

require (
	example.com/a v1.2.0 // indirect
	example.com/b v1.5.0 // indirect
	example.com/big v1.36.3
	example.com/staging v0.0.0 // indirect
)

replace example.com/a => example.com/fork v1.0.1

exclude example.com/b v1.4.0
`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := scratchGoMod(&LockedBuild{
				Module: "example.com/big", Version: "v1.36.3", LocalReplaces: c.local,
				Require: map[string]string{"example.com/a": "v1.2.0", "example.com/b": "v1.1.0"},
			}, []byte(upstream))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, string(got)); diff != "" {
				t.Errorf("other go.mod (-want +got):\n%s", diff)
			}
		})
	}
}
