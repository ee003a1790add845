package mirror_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/oci/ocitest"
	"github.com/slipway-release/slipway/release/mirror"
	"github.com/slipway-release/slipway/release/releasetest"
)

// few is a set that is quickly copied, with layers large enough to be streamed.
var few = releasetest.Options{Components: 6, Operators: 2, LayerBytes: 200_000}

func TestWhatPassesIsBorneWith(t *testing.T) {
	everything := ocitest.Match{}
	blobs := ocitest.Match{Method: "GET", Kind: ocitest.Blob}
	uploads := ocitest.Match{Method: "PUT PATCH", Kind: ocitest.Upload}
	for name, faults := range map[string]struct{ source, target []ocitest.Fault }{
		"too many requests at the source": {source: []ocitest.Fault{{On: everything, Skip: 10, Times: 10, Do: ocitest.RetryAfter(429, 1)}}},
		"too many requests at the target": {target: []ocitest.Fault{{On: everything, Skip: 5, Times: 6, Do: ocitest.RetryAfter(429, 1)}}},
		"errors of the source":            {source: []ocitest.Fault{{On: everything, Times: 2, Each: true, Do: ocitest.Status(500)}}},
		"errors of the target":            {target: []ocitest.Fault{{On: everything, Times: 2, Each: true, Do: ocitest.Status(503)}}},
		"blobs that break off":            {source: []ocitest.Fault{{On: blobs, Times: 2, Each: true, Do: ocitest.CutAfter(50_000)}}},
		"uploads that break off":          {target: []ocitest.Fault{{On: uploads, Times: 8, Do: ocitest.CutUpload(50_000)}}},
		"wrong bytes":                     {source: []ocitest.Fault{{On: blobs, Times: 1, Each: true, Do: ocitest.WrongBytes()}}},
		"a source that goes away":         {source: []ocitest.Fault{{On: blobs, Skip: 3, Times: 1, Do: ocitest.Refuse(50 * time.Millisecond)}}},
		"a target that goes away":         {target: []ocitest.Fault{{On: uploads, Skip: 3, Times: 1, Do: ocitest.Refuse(50 * time.Millisecond)}}},
		"tokens that expire":              {source: []ocitest.Fault{{On: everything, Do: ocitest.Expire(7)}}, target: []ocitest.Fault{{On: everything, Do: ocitest.Expire(7)}}},
		"a slow line":                     {source: []ocitest.Fault{{On: blobs, Do: ocitest.Slow(2_000_000)}}, target: []ocitest.Fault{{On: uploads, Do: ocitest.Slow(2_000_000)}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newOrigin(t, few)
			w.speak(t)
			target := ocitest.Registry(t)
			repository := target.Addr() + "/mirror"
			w.server.Inject(faults.source...)
			target.Inject(faults.target...)
			// What a client remembers of a sound registry would not be tested.
			w.registry = client(t, w.server.Addr())
			run(t, w.options(w.toRegistry(t, client(t, target.Addr()), repository)))
			target.Heal()
			w.holds(t, client(t, target.Addr()), within(repository))
		})
	}
}

func TestWhatStaysIsToldAndNothingIsTagged(t *testing.T) {
	for name, fault := range map[string]struct {
		atSource bool
		fault    ocitest.Fault
		says     string
	}{
		"wrong bytes":        {true, ocitest.Fault{On: ocitest.Match{Method: "GET", Kind: ocitest.Blob, Path: "/okd/" + releasetest.KubeName}, Do: ocitest.WrongBytes()}, "do not have this digest"},
		"a broken source":    {true, ocitest.Fault{On: ocitest.Match{Kind: ocitest.Blob, Path: "/okd/" + releasetest.KubeName}, Do: ocitest.Status(500)}, "500"},
		"a broken target":    {false, ocitest.Fault{On: ocitest.Match{Method: "PUT", Kind: ocitest.Upload}, Skip: 6, Do: ocitest.Status(500)}, "500"},
		"no more manifests":  {false, ocitest.Fault{On: ocitest.Match{Method: "PUT", Kind: ocitest.Manifest}, Skip: 3, Do: ocitest.Status(507)}, "507"},
		"no right to upload": {false, ocitest.Fault{On: ocitest.Match{Method: "POST"}, Do: ocitest.Status(403)}, "log in"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newOrigin(t, few)
			target := ocitest.Registry(t)
			repository := target.Addr() + "/mirror"
			if fault.atSource {
				w.server.Inject(fault.fault)
			} else {
				target.Inject(fault.fault)
			}
			_, err := mirror.Run(t.Context(), w.options(w.toRegistry(t, client(t, target.Addr()), repository)))
			if err == nil || !strings.Contains(err.Error(), fault.says) {
				t.Errorf("got %v", err)
			}
			w.server.Heal()
			target.Heal()
			if _, err := client(t, target.Addr()).Resolve(t.Context(), repository+":"+version+"-x86_64"); !errors.Is(err, oci.ErrNotFound) {
				t.Errorf("the payload has a tag: %v", err)
			}
			if n := w.server.Total(ocitest.Match{}).Requests + target.Total(ocitest.Match{}).Requests; n > 2000 {
				t.Errorf("it took %d requests to give up", n)
			}
			// When all is well again, the same run goes on.
			run(t, w.options(w.toRegistry(t, client(t, target.Addr()), repository)))
			w.holds(t, client(t, target.Addr()), within(repository))
		})
	}
}

func TestFilesBearWithFaultsToo(t *testing.T) {
	for name, effect := range map[string]ocitest.Effect{"cut": ocitest.CutAfter(50_000), "wrong": ocitest.WrongBytes(), "error": ocitest.Status(502)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newOrigin(t, few)
			w.server.Inject(ocitest.Fault{On: ocitest.Match{Method: "GET", Kind: ocitest.Blob}, Times: 2, Each: true, Do: effect})
			file := filepath.Join(t.TempDir(), "release.tar")
			a, err := oci.CreateArchive(t.Context(), file, 0)
			if err != nil {
				t.Fatal(err)
			}
			run(t, w.options(mirror.ToArchive(a)))
			a.Close()
			dir := t.TempDir()
			l, err := oci.CreateLayout(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			run(t, w.options(mirror.ToLayout(l)))
			w.server.Heal()
			w.holds(t, l, within("any.example/repository"))
			stored, err := oci.OpenLayout(file)
			if err != nil {
				t.Fatal(err)
			}
			defer stored.Close()
			w.holds(t, stored, within("any.example/repository"))
		})
	}
}
