package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/oci/ocitest"
	"github.com/slipway-release/slipway/release/mirror"
)

func TestMirrorThroughADirectoryAndBack(t *testing.T) {
	p := newSignPlace(t)
	target := ocitest.Registry(t)
	registry, err := oci.NewRegistry(target.Addr()+"/any", "")
	if err != nil {
		t.Fatal(err)
	}

	// Unsigned: refused, and nothing is written.
	_, errs := p.run(t, exitUsage, "release", "mirror", p.tag, "--to", target.Addr()+"/copy")
	contains(t, errs, "public key")
	p.run(t, exitDone, "sign", p.payload)
	other := newSignPlace(t)
	_, errs = p.run(t, exitRejected, "release", "mirror", other.tag, "--to", target.Addr()+"/copy")
	contains(t, errs, "nothing was copied", "there is none")
	if got := target.Requests(ocitest.Match{Method: ocitest.Writes}); len(got) != 0 {
		t.Errorf("a refused payload was copied: %v", got)
	}

	dir := filepath.Join(t.TempDir(), "disk")
	out, _ := p.run(t, exitDone, "release", "mirror", p.tag, "--to-dir", dir, "-o", "json")
	var r mirror.Result
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	if r.Version != signedVersion || len(r.Images) != 4 || r.Bytes == 0 {
		t.Errorf("the result is %+v", r)
	}
	// A layout is a payload to every command; the signature lies in it.
	out, _ = p.run(t, exitDone, "verify", dir)
	contains(t, out, signedVersion)
	out, _ = p.run(t, exitDone, "release", "mirror", "--from-dir", dir, "--to", target.Addr()+"/copy")
	contains(t, out, "ImageDigestMirrorSet", target.Addr()+"/copy:"+signedVersion+"-x86_64", "source: "+p.repository)
	if _, err := registry.Resolve(t.Context(), target.Addr()+"/copy:"+signedVersion+"-x86_64"); err != nil {
		t.Error(err)
	}

	// What was printed makes the old name find the copies.
	idms := filepath.Join(t.TempDir(), "idms.yaml")
	if err := os.WriteFile(idms, []byte(out), 0o644); err != nil {
		t.Fatal(err)
	}
	target.Forget()
	p.run(t, exitDone, "verify", p.payload, "--idms-file", idms)
	if len(target.Requests(ocitest.Match{})) == 0 {
		t.Error("the mirror was not asked")
	}
}

func TestMirrorArchives(t *testing.T) {
	p := newSignPlace(t)
	p.run(t, exitDone, "sign", p.payload)
	target := ocitest.Registry(t)
	dir := t.TempDir()
	for _, to := range [][]string{
		{"--to-file", filepath.Join(dir, "one.tar")},
		{"--to-archive", filepath.Join(dir, "series"), "--max-archive-size", "100k"},
	} {
		out, _ := p.run(t, exitDone, append([]string{"release", "mirror", p.payload, "--dry-run"}, to...)...)
		contains(t, out, "Would copy")
		if _, err := os.Stat(to[1]); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("a dry run wrote %s", to[1])
		}
		p.run(t, exitDone, append([]string{"release", "mirror", p.payload}, to...)...)
		p.run(t, exitDone, "verify", "oci-archive:"+to[1])
		p.run(t, exitDone, "release", "mirror", "--from-archive", to[1], "--from", signedVersion, "--to", target.Addr()+"/"+filepath.Base(to[1]), "--skip-release-image")
	}
	out, _ := p.run(t, exitDone, "release", "mirror", p.payload, "--to", target.Addr()+"/copy", "--to-mirror")
	if lines := strings.Split(strings.TrimSpace(out), "\n"); len(lines) != 4 || !strings.HasPrefix(lines[3], p.payload+" "+target.Addr()+"/copy:") {
		t.Errorf("the mapping is\n%s", out)
	}
}

func TestMirrorFlagsThatAreWrong(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"nothing":           {nil, []string{"name a payload", "--to-dir"}},
		"two targets":       {[]string{"1.0.0", "--to", "a.example/b", "--to-dir", "c"}, []string{"one of"}},
		"two sources":       {[]string{"--from-dir", "a", "--from-archive", "b", "--to", "a.example/b"}, []string{"exclude each other"}},
		"a size alone":      {[]string{"1.0.0", "--to-dir", "a", "--max-archive-size", "1G"}, []string{"--to-archive"}},
		"no size":           {[]string{"1.0.0", "--to-archive", "a", "--max-archive-size", "much"}, []string{`"much"`}},
		"instructions":      {[]string{"1.0.0", "--to", "a.example/b", "--print-mirror-instructions", "itms"}, []string{`"itms"`}},
		"no such layout":    {[]string{"--from-dir", "/nonexistent", "--to", "a.example/b"}, []string{"/nonexistent"}},
		"no mirror file":    {[]string{"a.example/b:1", "--to", "a.example/c", "--idms-file", "/nonexistent"}, []string{"/nonexistent"}},
		"a place of oc's":   {[]string{"1.0.0", "--to", "file://okd/release"}, []string{"--to-dir", "--to-archive"}},
		"files to a stream": {[]string{"--from-dir", "a", "--to-image-stream", "b"}, []string{"--to-image-stream takes"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, errs, code := slipway(t, t.TempDir(), append([]string{"release", "mirror"}, c.args...)...)
			if code != exitUsage {
				t.Errorf("exit code %d: %s", code, errs)
			}
			contains(t, errs, c.want...)
		})
	}
}
