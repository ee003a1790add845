package oci_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/oci/ocitest"
)

const (
	typeNote = "application/vnd.example.note"
	typeTest = "application/vnd.example.test"
)

// registries are one that lists referrers and one that leaves it to its clients.
func registries(t *testing.T) map[string]string {
	registry := ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)))
	// Clients give each other as much time as they take themselves. Did that come to a few
	// milliseconds, a busy host would hold one of them up for longer.
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(50 * time.Millisecond)
		registry.ServeHTTP(w, r)
	}))
	t.Cleanup(plain.Close)
	return map[string]string{"listing": ocitest.Registry(t).Addr(), "plain": strings.TrimPrefix(plain.URL, "http://")}
}

func note(artifactType, text string) oci.Artifact {
	return oci.Artifact{Type: artifactType, MediaType: "text/plain", Content: []byte(text), Annotations: map[string]string{"text": text}}
}

func TestAttach(t *testing.T) {
	for name, addr := range registries(t) {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			r := client(t, addr)
			pushed, err := r.Push(ctx, canonical+"/release:v1", newImage(t, 100))
			if err != nil {
				t.Fatal(err)
			}
			subject := canonical + "/release@" + pushed.String()
			if found, err := r.Referrers(ctx, subject, ""); err != nil || len(found) != 0 {
				t.Fatalf("before anything was attached: %v, %v", found, err)
			}
			first, err := r.Attach(ctx, subject, note(typeNote, "one"))
			if err != nil {
				t.Fatal(err)
			}
			again, err := r.Attach(ctx, subject, note(typeNote, "one"))
			if err != nil || again != first {
				t.Errorf("attaching the same again gave %v, %v, want %v", again, err, first)
			}
			if _, err := r.Attach(ctx, subject, note(typeTest, "two")); err != nil {
				t.Fatal(err)
			}

			all, err := r.Referrers(ctx, subject, "")
			if err != nil || len(all) != 2 {
				t.Errorf("all: %+v, %v", all, err)
			}
			notes, err := r.Referrers(ctx, subject, typeNote)
			if err != nil || len(notes) != 1 || notes[0].Digest != first || notes[0].Annotations["text"] != "one" {
				t.Fatalf("notes: %+v, %v", notes, err)
			}
			if content, err := r.Fetch(ctx, notes[0]); err != nil || string(content) != "one" {
				t.Errorf("content: %q, %v", content, err)
			}
		})
	}
}

func TestAttachRefuses(t *testing.T) {
	ctx := t.Context()
	r := client(t, ocitest.Registry(t).Addr())
	_, err := r.Attach(ctx, canonical+"/release:v1", note(typeNote, "one"))
	oneSentence(t, err, "must end in a digest")
	_, err = r.Attach(ctx, canonical+"/release@sha256:"+strings.Repeat("0", 64), note(typeNote, "one"))
	oneSentence(t, err, "attaching", "404")
	if !errors.Is(err, oci.ErrNotFound) {
		t.Errorf("%v is not ErrNotFound", err)
	}
}

// TestFetchRefusesForeignArtifacts lists an artifact under a subject that it is
// not about.
func TestFetchRefusesForeignArtifacts(t *testing.T) {
	ctx := t.Context()
	r := client(t, ocitest.Registry(t).Addr())
	var subjects []string
	for _, size := range []int64{100, 200} {
		pushed, err := r.Push(ctx, fmt.Sprintf("%s/release:v%d", canonical, size), newImage(t, size))
		if err != nil {
			t.Fatal(err)
		}
		subjects = append(subjects, canonical+"/release@"+pushed.String())
	}
	if _, err := r.Attach(ctx, subjects[0], note(typeNote, "one")); err != nil {
		t.Fatal(err)
	}
	found, err := r.Referrers(ctx, subjects[0], "")
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	found[0].Subject = subjects[1]
	_, err = r.Fetch(ctx, found[0])
	oneSentence(t, err, "it is not about")
}

const attachesEach = 8

// TestAttachAtOnce attaches from two processes and from many goroutines of each.
func TestAttachAtOnce(t *testing.T) {
	for name, addr := range registries(t) {
		t.Run(name, func(t *testing.T) {
			r := client(t, addr)
			pushed, err := r.Push(t.Context(), canonical+"/release:v1", newImage(t, 100))
			if err != nil {
				t.Fatal(err)
			}
			subject := canonical + "/release@" + pushed.String()
			var processes sync.WaitGroup
			for _, who := range []string{"a", "b"} {
				var output bytes.Buffer
				c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAttachHelper$", "-test.v")
				c.Env = append(os.Environ(), "OCI_TEST_ATTACH="+strings.Join([]string{addr, subject, who}, ","))
				c.Stdout, c.Stderr = &output, &output
				processes.Go(func() {
					if err := c.Run(); err != nil {
						t.Errorf("process %s: %v\n%s", who, err, &output)
					}
				})
			}
			processes.Wait()
			found, err := r.Referrers(t.Context(), subject, typeNote)
			if err != nil || len(found) != 2*attachesEach {
				t.Errorf("%d of %d are left, %v", len(found), 2*attachesEach, err)
			}
		})
	}
}

// TestAttachHelper is what the processes of TestAttachAtOnce run.
func TestAttachHelper(t *testing.T) {
	args := strings.Split(os.Getenv("OCI_TEST_ATTACH"), ",")
	if len(args) != 3 {
		t.Skip("runs inside TestAttachAtOnce only")
	}
	r := client(t, args[0])
	var wait sync.WaitGroup
	for i := range attachesEach {
		wait.Go(func() {
			if _, err := r.Attach(t.Context(), args[1], note(typeNote, fmt.Sprintf("%s%d", args[2], i))); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
}

// TestAmendAtOnce has clients that know nothing of each other add a layer each
// to one tag.
func TestAmendAtOnce(t *testing.T) {
	for name, addr := range registries(t) {
		t.Run(name, func(t *testing.T) {
			const clients = 5
			ref := canonical + "/list:v1"
			var wait sync.WaitGroup
			for i := range clients {
				r := client(t, addr)
				layer := static.NewLayer([]byte(fmt.Sprint("entry ", i)), "text/plain")
				digest, err := layer.Digest()
				if err != nil {
					t.Fatal(err)
				}
				wait.Go(func() {
					if err := r.Amend(t.Context(), ref, func(img v1.Image) (v1.Image, error) {
						if img == nil {
							img = empty.Image
						}
						manifest, err := img.Manifest()
						if err != nil {
							return nil, err
						}
						for _, l := range manifest.Layers {
							if l.Digest == digest {
								return nil, nil
							}
						}
						return mutate.AppendLayers(img, layer)
					}); err != nil {
						t.Error(err)
					}
				})
			}
			wait.Wait()
			img, err := client(t, addr).Image(t.Context(), ref)
			if err != nil {
				t.Fatal(err)
			}
			if layers, err := img.Layers(); err != nil || len(layers) != clients {
				t.Errorf("%d of %d are left, %v", len(layers), clients, err)
			}
		})
	}
}

func TestAmendPassesErrorsOn(t *testing.T) {
	r := client(t, ocitest.Registry(t).Addr())
	stop := errors.New("stop")
	if err := r.Amend(t.Context(), canonical+"/list:v1", func(v1.Image) (v1.Image, error) { return nil, stop }); !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
	if err := r.Amend(t.Context(), canonical+"/list:v1", func(img v1.Image) (v1.Image, error) { return nil, nil }); err != nil {
		t.Errorf("nothing to be done: %v", err)
	}
}
