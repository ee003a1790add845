package images_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-release/slipway/images"
)

func TestLockRoundTrip(t *testing.T) {
	needsC(t)
	p := newPlace(t, modules(t))
	lock := p.lock(t, small())
	text, err := lock.Encode()
	check(t, err)
	back, err := images.ParseLock(text)
	check(t, err)
	if diff := cmp.Diff(lock, back); diff != "" {
		t.Errorf("reading what was written gives another lock (-want +got):\n%s", diff)
	}
	other := newPlace(t, modules(t))
	otherText, err := other.lock(t, small()).Encode()
	check(t, err)
	if !bytes.Equal(text, otherText) {
		t.Errorf("two places lock differently:\n%s", cmp.Diff(string(text), string(otherText)))
	}
	if _, err := p.tryLock(t.Context(), small(), back); err != nil {
		t.Errorf("nothing changed, and still: %v", err)
	}
}

func TestParseLockRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":       ``,
		"no JSON":       `lock`,
		"another kind":  `{"apiVersion":"slipway.dev/v1alpha1","kind":"Distribution"}`,
		"another time":  `{"apiVersion":"slipway.dev/v9","kind":"Lock"}`,
		"unknown field": `{"apiVersion":"slipway.dev/v1alpha1","kind":"Lock","images":{}}`,
		"two documents": `{"apiVersion":"slipway.dev/v1alpha1","kind":"Lock"}{}`,
		"wrong type":    `{"apiVersion":"slipway.dev/v1alpha1","kind":"Lock","modules":"all"}`,
	} {
		if l, err := images.ParseLock([]byte(text)); err == nil {
			t.Errorf("%s: read as %+v", name, l)
		}
	}
}

func FuzzParseLock(f *testing.F) {
	f.Add([]byte(`{"apiVersion":"slipway.dev/v1alpha1","kind":"Lock","platform":"linux/amd64","toolchain":{},"files":{"a/b":"sha256:0"}}`))
	f.Add([]byte(`{"apiVersion":"slipway.dev/v1alpha1","kind":"Lock","platform":"","toolchain":{},"debian":[{"suite":"s","variant":"v","packages":["p"],"closure":[{"name":"{","version":"1","arch":"all","path":"}","size":1,"sha256":""}]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := images.ParseLock(data)
		if err != nil {
			return
		}
		text, err := l.Encode()
		if err != nil {
			t.Fatal(err)
		}
		back, err := images.ParseLock(text)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v\n%s", err, text)
		}
		again, err := back.Encode()
		if err != nil || !bytes.Equal(text, again) {
			t.Fatalf("written differently the second time (%v):\n%s\n%s", err, text, again)
		}
	})
}

// TestChangedInput changes one locked input after the other; each is named with
// both values.
func TestChangedInput(t *testing.T) {
	needsC(t)
	p := newPlace(t, modules(t))
	for name, c := range map[string]struct {
		change func(l *images.Lockfile)
		want   images.InputError
	}{
		"module": {
			func(l *images.Lockfile) { l.Modules[0].Sum = "h1:other" },
			images.InputError{Input: "go module example.com/tool@v1.2.3", Locked: "h1:other"},
		},
		"dependency": {
			func(l *images.Lockfile) {
				l.Builds[0].GoSum[0] = l.Builds[0].GoSum[0][:strings.LastIndex(l.Builds[0].GoSum[0], " ")] + " h1:other"
			},
			images.InputError{Input: "dependency example.com/dep v1.0.0", Locked: "h1:other"},
		},
		"vanished dependency": {
			func(l *images.Lockfile) {
				l.Builds[0].GoSum = append(l.Builds[0].GoSum, "example.com/gone v1.0.0 h1:x")
			},
			images.InputError{Input: "dependency example.com/gone v1.0.0", Locked: "h1:x"},
		},
		"file": {
			func(l *images.Lockfile) { l.Files["base/rootfs"] = "sha256:other" },
			images.InputError{Input: "component file base/rootfs", Locked: "sha256:other"},
		},
		"new file": {
			func(l *images.Lockfile) { delete(l.Files, "one/manifests") },
			images.InputError{Input: "component file one/manifests"},
		},
		"toolchain": {
			func(l *images.Lockfile) { l.Toolchain.Go = "go1.0" },
			images.InputError{Input: "the Go toolchain", Locked: "go1.0"},
		},
		"compiler": {
			func(l *images.Lockfile) { l.Toolchain.C.Compiler = "gcc 1" },
			images.InputError{Input: "the C compiler", Locked: "gcc 1"},
		},
		"libc": {
			func(l *images.Lockfile) { l.Toolchain.C.Libc = "sha256:other" },
			images.InputError{Input: "the C library libc.a", Locked: "sha256:other"},
		},
		"platform": {
			func(l *images.Lockfile) { l.Platform = "linux/arm64" },
			images.InputError{Input: "platform", Locked: "linux/arm64", Found: "linux/amd64"},
		},
		"component that is gone": {
			func(l *images.Lockfile) {
				l.Modules = append(l.Modules, images.LockedModule{Module: "example.com/dep", Version: "v1.0.0", Sum: "h1:x"})
			},
			images.InputError{Input: "go module example.com/dep@v1.0.0", Locked: "h1:x"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			lock := p.lock(t, small())
			c.change(lock)
			_, err := p.tryLock(t.Context(), small(), lock)
			var input *images.InputError
			if !errors.As(err, &input) || !errors.Is(err, images.ErrInput) {
				t.Fatalf("error %v, want an InputError", err)
			}
			if !strings.HasPrefix(input.Input, c.want.Input) || input.Locked != c.want.Locked || (c.want.Found != "" && input.Found != c.want.Found) {
				t.Errorf("got %+v, want %+v", *input, c.want)
			}
			if input.Found == input.Locked || !strings.Contains(err.Error(), "lock") {
				t.Errorf("the message says nothing: %v", err)
			}
		})
	}
}

func TestAllChangesAtOnce(t *testing.T) {
	p := newPlace(t, modules(t))
	r := recipe("a", images.Layer{Files: &images.FilesLayer{From: "x"}}, images.Layer{Files: &images.FilesLayer{From: "y"}})
	r.Files = fstest.MapFS{"x/f": {Data: []byte("1")}, "y/f": {Data: []byte("1")}}
	lock := p.lock(t, []*images.Recipe{r})
	r.Files = fstest.MapFS{"x/f": {Data: []byte("2")}, "y/f": {Data: []byte("2")}}
	_, err := p.tryLock(t.Context(), []*images.Recipe{r}, lock)
	if err == nil || !strings.Contains(err.Error(), "a/x") || !strings.Contains(err.Error(), "a/y") {
		t.Errorf("error %v, want both files named", err)
	}
}

func TestInputThatDoesNotExist(t *testing.T) {
	p := newPlace(t, modules(t))
	for name, c := range map[string]struct {
		layer images.Layer
		want  string
	}{
		"version": {images.Layer{Go: &images.GoLayer{Module: "example.com/tool", Version: "v9.9.9", Programs: map[string]string{"./cmd/one": "/one"}}}, "go module example.com/tool@v9.9.9"},
		"module":  {images.Layer{Go: &images.GoLayer{Module: "example.com/none", Version: "v1.0.0", Programs: map[string]string{".": "/x"}}}, "go module example.com/none@v1.0.0"},
		"package": {images.Layer{Go: &images.GoLayer{Module: "example.com/tool", Version: "v1.2.3", Programs: map[string]string{"./cmd/none": "/x"}}}, "cmd/none"},
		"program": {images.Layer{Go: &images.GoLayer{Module: "example.com/dep", Version: "v1.0.0", Programs: map[string]string{".": "/x"}}}, "not a main package"},
		"raised":  {images.Layer{Go: &images.GoLayer{Module: "example.com/tool", Version: "v1.2.3", Require: map[string]string{"example.com/dep": "v1.9.0"}, Programs: map[string]string{"./cmd/one": "/x"}}}, "example.com/dep@v1.9.0"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := p.tryLock(t.Context(), []*images.Recipe{recipe("x", c.layer)}, nil)
			if !errors.Is(err, images.ErrInput) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one that wraps ErrInput and names %q", err, c.want)
			}
		})
	}
}

// TestBuildTrustsOnlyTheLock gives Build a lock whose sums are not those of the
// module proxy.
func TestBuildTrustsOnlyTheLock(t *testing.T) {
	p := newPlace(t, modules(t))
	recipes := []*images.Recipe{recipe("one", goLayer(map[string]string{"./cmd/one": "/one"}))}
	lock := p.lock(t, recipes)
	for i, line := range lock.Builds[0].GoSum {
		if strings.HasPrefix(line, "example.com/dep v1.0.0 ") {
			lock.Builds[0].GoSum[i] = "example.com/dep v1.0.0 h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
		}
	}
	results, err := p.build(t.Context(), recipes, lock)
	if err == nil || !strings.Contains(err.Error(), "checksum mismatch") || len(results) != 0 {
		t.Errorf("error %v and %d images, want a checksum mismatch and none", err, len(results))
	}
}

func TestBuildWithoutLockedInput(t *testing.T) {
	p := newPlace(t, modules(t))
	recipes := []*images.Recipe{recipe("one", goLayer(map[string]string{"./cmd/one": "/one"}))}
	lock := p.lock(t, recipes)
	recipes[0].Layers[0].Go.Version = "v1.2.4"
	_, err := p.build(t.Context(), recipes, lock)
	var input *images.InputError
	if !errors.As(err, &input) || input.Input != "go module example.com/tool@v1.2.4" {
		t.Errorf("error %v, want an InputError for the module", err)
	}
}

// TestChangedSelf replaces the slipway executable between lock and build.
func TestChangedSelf(t *testing.T) {
	p := newPlace(t, modules(t))
	recipes := []*images.Recipe{recipe("self", images.Layer{Self: &images.SelfLayer{Program: "/slipway"}})}
	lock := p.lock(t, recipes)
	p.self = filepath.Join(t.TempDir(), "slipway")
	check(t, os.WriteFile(p.self, []byte("another program"), 0o755))
	_, err := p.build(t.Context(), recipes, lock)
	if !errors.Is(err, images.ErrInput) {
		t.Errorf("error %v, want one that wraps ErrInput", err)
	}
	if _, err := p.tryLock(t.Context(), recipes, lock); err != nil {
		t.Errorf("a lock made by another slipway must do: %v", err)
	}
}

func TestMissingTool(t *testing.T) {
	p := newPlace(t, modules(t))
	for i, kv := range p.environ {
		if strings.HasPrefix(kv, "PATH=") {
			p.environ[i] = "PATH=" + t.TempDir()
		}
	}
	_, err := p.tryLock(t.Context(), small(), nil)
	if err == nil || errors.Is(err, images.ErrInput) {
		t.Errorf("error %v, want one that blames the host", err)
	}
}
