package sign_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/static"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/oci/registryserver"
	"github.com/slipway-release/slipway/release/sign"
)

const canonical = "registry.example.internal/skiff"

var claim = sign.Claim{Version: "1.36.3-0.nightly-2026-11-20-101500", Stream: "nightly", Architecture: "amd64"}

// place is a registry with one payload in it.
type place struct {
	reg    *oci.Registry
	addr   string
	root   string
	ref    string
	digest v1.Hash
}

func newPlace(t *testing.T) *place {
	t.Helper()
	root := t.TempDir()
	s, err := registryserver.Serve(t.Context(), registryserver.Options{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	p := &place{addr: s.Addr(), root: root}
	p.reg = p.client(t, s.Addr())
	p.ref, p.digest = p.payload(t, claim.Version)
	return p
}

func (p *place) client(t *testing.T, addr string) *oci.Registry {
	t.Helper()
	reg, err := oci.NewRegistry(canonical, addr, oci.WithPatience(3, time.Millisecond, 5*time.Millisecond, time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	return reg
}

func (p *place) payload(t *testing.T, tag string) (string, v1.Hash) {
	t.Helper()
	img, err := random.Image(500, 1)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := p.reg.Push(t.Context(), canonical+"/release:"+tag, img)
	if err != nil {
		t.Fatal(err)
	}
	return canonical + "/release@" + digest.String(), digest
}

// signers hands out key pairs. Opening one is slow on purpose, so the tests share
// them; each asks for as many as it needs to differ.
var signers = []func() (*sign.Signer, string, error){makeSigner(), makeSigner(), makeSigner()}

// sharedKeys is the folder of those key pairs, made and removed by TestMain.
var sharedKeys string

func makeSigner() func() (*sign.Signer, string, error) {
	var dir string
	var err error
	signer := sync.OnceValue(func() (s *sign.Signer) {
		if dir, err = os.MkdirTemp(sharedKeys, "keys-"); err == nil {
			s, err = sign.LoadOrCreateKey(dir, "")
		}
		return s
	})
	return func() (*sign.Signer, string, error) { s := signer(); return s, dir, err }
}

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if sharedKeys, err = os.MkdirTemp("", "sign-test-"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(sharedKeys)
		return m.Run()
	}())
}

// newSigner returns the nth shared signer.
func newSigner(t *testing.T, n int) *sign.Signer {
	t.Helper()
	s, _, err := signers[n]()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// keyDir returns a copy of the nth shared signer's key directory.
func keyDir(t *testing.T, n int) string {
	t.Helper()
	_, dir, err := signers[n]()
	if err != nil {
		t.Fatal(err)
	}
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return copied
}

func refused(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("it was accepted")
	}
	if !errors.Is(err, sign.ErrRefused) {
		t.Errorf("%v is not ErrRefused", err)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("%q is more than one sentence", err)
	}
}

func TestSignAndVerify(t *testing.T) {
	ctx := t.Context()
	p := newPlace(t)
	signer := newSigner(t, 0)
	if err := signer.Sign(ctx, p.reg, p.ref, claim); err != nil {
		t.Fatal(err)
	}
	got, err := signer.Verifier().Verify(ctx, p.reg, p.ref)
	if diff := cmp.Diff(claim, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	if err := got.Matches(claim.Version); err != nil {
		t.Error(err)
	}
	refused(t, got.Matches("1.36.3-0.nightly-2026-11-21-101500"), "signed as version")

	before, err := p.reg.Resolve(ctx, p.signatureTag())
	if err != nil {
		t.Fatal(err)
	}
	if err := signer.Sign(ctx, p.reg, p.ref, claim); err != nil {
		t.Fatal(err)
	}
	if after, err := p.reg.Resolve(ctx, p.signatureTag()); err != nil || after != before {
		t.Errorf("signing again changed the signatures: %v, %v", after, err)
	}
}

func (p *place) signatureTag() string {
	return canonical + "/release:sha256-" + p.digest.Hex + ".sig"
}

func TestSignRefuses(t *testing.T) {
	p := newPlace(t)
	signer := newSigner(t, 0)
	if err := signer.Sign(t.Context(), p.reg, canonical+"/release:"+claim.Version, claim); err == nil || !strings.Contains(err.Error(), "must end in a digest") {
		t.Errorf("a tag: %v", err)
	}
	missing := canonical + "/release@sha256:" + strings.Repeat("0", 64)
	if err := signer.Sign(t.Context(), p.reg, missing, claim); !errors.Is(err, oci.ErrNotFound) {
		t.Errorf("an image that is not there: %v", err)
	}
}

func TestVerifyRefuses(t *testing.T) {
	ctx := t.Context()
	signer, other := newSigner(t, 0), newSigner(t, 1)
	for _, test := range []struct {
		name    string
		prepare func(t *testing.T, p *place)
		want    sign.Claim
		parts   []string
	}{
		{"no signature", func(*testing.T, *place) {}, sign.Claim{}, []string{"it has no signature"}},
		{"wrong key", func(t *testing.T, p *place) {
			if err := other.Sign(ctx, p.reg, p.ref, claim); err != nil {
				t.Fatal(err)
			}
		}, sign.Claim{}, []string{other.KeyID(), "not trusted", signer.KeyID()}},
		{"tampered claim", func(t *testing.T, p *place) {
			p.signed(t, signer)
			p.rewrite(t, func(claim []byte, annotations map[string]string) ([]byte, map[string]string) {
				return bytes.Replace(claim, []byte("nightly"), []byte("stabler"), 1), annotations
			})
		}, sign.Claim{}, []string{"altered after signing"}},
		{"tampered signature", func(t *testing.T, p *place) {
			p.signed(t, signer)
			p.rewrite(t, func(claim []byte, annotations map[string]string) ([]byte, map[string]string) {
				annotations["dev.cosignproject.cosign/signature"] = "bm90IGEgc2lnbmF0dXJl"
				return claim, annotations
			})
		}, sign.Claim{}, []string{"altered after signing"}},
		{"signature removed", func(t *testing.T, p *place) {
			p.signed(t, signer)
			p.rewrite(t, func(claim []byte, _ map[string]string) ([]byte, map[string]string) { return claim, nil })
		}, sign.Claim{}, []string{"not signed with a trusted key"}},
		{"another image's signature", func(t *testing.T, p *place) {
			ref, digest := p.payload(t, "other")
			if err := signer.Sign(ctx, p.reg, ref, claim); err != nil {
				t.Fatal(err)
			}
			theirs, err := p.reg.Image(ctx, canonical+"/release:sha256-"+digest.Hex+".sig")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := p.reg.Push(ctx, p.signatureTag(), theirs); err != nil {
				t.Fatal(err)
			}
		}, sign.Claim{}, []string{"about another image"}},
		{"other version", func(t *testing.T, p *place) { p.signed(t, signer) }, sign.Claim{Version: "1.36.4"}, []string{`version "` + claim.Version + `", not "1.36.4"`}},
		{"other stream", func(t *testing.T, p *place) { p.signed(t, signer) }, sign.Claim{Version: claim.Version, Stream: "stable"}, []string{`stream "nightly", not "stable"`}},
		{"other architecture", func(t *testing.T, p *place) { p.signed(t, signer) }, sign.Claim{Architecture: "arm64"}, []string{`architecture "amd64", not "arm64"`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPlace(t)
			test.prepare(t, p)
			_, err := signer.Verifier().VerifyClaim(ctx, p.reg, p.ref, test.want)
			refused(t, err, append(test.parts, p.ref)...)
		})
	}
}

func (p *place) signed(t *testing.T, s *sign.Signer) {
	t.Helper()
	if err := s.Sign(t.Context(), p.reg, p.ref, claim); err != nil {
		t.Fatal(err)
	}
}

// rewrite changes a stored signature, as somebody may who can write to the
// registry.
func (p *place) rewrite(t *testing.T, change func([]byte, map[string]string) ([]byte, map[string]string)) {
	t.Helper()
	ctx := t.Context()
	img, err := p.reg.Image(ctx, p.signatureTag())
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	content, annotations := change(readAll(t, layers[0]), manifest.Layers[0].Annotations)
	fresh, err := random.Image(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	fresh, err = mutate.Append(fresh, mutate.Addendum{Layer: static.NewLayer(content, manifest.Layers[0].MediaType), Annotations: annotations})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.reg.Push(ctx, p.signatureTag(), fresh); err != nil {
		t.Fatal(err)
	}
}

// readAll reads a layer as it is stored.
func readAll(t *testing.T, layer v1.Layer) []byte {
	t.Helper()
	body, err := layer.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	content, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// TestVerifyFailsClosed has a registry that does not answer, or answers wrongly.
// That is no refusal, and no approval.
func TestVerifyFailsClosed(t *testing.T) {
	ctx := t.Context()
	p := newPlace(t)
	signer := newSigner(t, 0)
	p.signed(t, signer)
	if _, err := signer.Attest(ctx, p.reg, p.ref, sign.PredicateDecision, map[string]string{"verdict": "Accepted"}); err != nil {
		t.Fatal(err)
	}
	for name, fault := range map[string]http.HandlerFunc{
		"broken": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"closed": func(w http.ResponseWriter, _ *http.Request) {
			if c, _, err := http.NewResponseController(w).Hijack(); err == nil {
				c.Close()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: p.addr})
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.Contains(r.URL.Path, "/manifests/") {
					fault(w, r)
					return
				}
				proxy.ServeHTTP(w, r)
			}))
			defer server.Close()
			reg := p.client(t, strings.TrimPrefix(server.URL, "http://"))
			if _, err := signer.Verifier().Verify(ctx, reg, p.ref); err == nil || errors.Is(err, sign.ErrRefused) {
				t.Errorf("Verify: %v", err)
			}
			if _, err := signer.Verifier().Evidence(ctx, reg, p.ref, sign.PredicateDecision); err == nil {
				t.Error("Evidence: what cannot be read counts as missing")
			}
		})
	}
}

// TestTamperedManifest changes the payload itself, in the registry's files.
func TestTamperedManifest(t *testing.T) {
	ctx := t.Context()
	p := newPlace(t)
	signer := newSigner(t, 0)
	p.signed(t, signer)
	file := filepath.Join(p.root, "docker/registry/v2/blobs/sha256", p.digest.Hex[:2], p.digest.Hex, "data")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, bytes.Replace(data, []byte(`"schemaVersion"`), []byte(` "schemaVersion"`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := p.reg.Image(ctx, p.ref); err == nil {
		t.Error("the altered payload was read under the signed digest")
	}
}

func TestAnyOfSeveralKeys(t *testing.T) {
	ctx := t.Context()
	p := newPlace(t)
	before, after, stranger := newSigner(t, 0), newSigner(t, 1), newSigner(t, 2)
	p.signed(t, before)
	both, err := sign.NewVerifier(after.PublicKey(), before.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := both.Verify(ctx, p.reg, p.ref); err != nil {
		t.Errorf("with the new key and the old one: %v", err)
	}
	_, err = after.Verifier().Verify(ctx, p.reg, p.ref)
	refused(t, err, "not trusted")

	// Signed again with the new key, either key alone is enough.
	p.signed(t, after)
	for _, s := range []*sign.Signer{before, after} {
		if _, err := s.Verifier().Verify(ctx, p.reg, p.ref); err != nil {
			t.Error(err)
		}
	}
	_, err = stranger.Verifier().Verify(ctx, p.reg, p.ref)
	refused(t, err)
}

func TestNoKeysTrustNothing(t *testing.T) {
	if _, err := sign.NewVerifier(); err == nil {
		t.Error("a verifier without keys was made")
	}
	if _, err := sign.NewVerifier([]byte("no key")); err == nil {
		t.Error("a verifier of garbage was made")
	}
}

func TestSignAtOnce(t *testing.T) {
	ctx := t.Context()
	p := newPlace(t)
	signers := []*sign.Signer{newSigner(t, 0), newSigner(t, 1), newSigner(t, 2)}
	var wait sync.WaitGroup
	for _, s := range signers {
		wait.Go(func() {
			if err := s.Sign(ctx, p.reg, p.ref, claim); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	for i, s := range signers {
		if _, err := s.Verifier().Verify(ctx, p.reg, p.ref); err != nil {
			t.Errorf("signature %d: %v", i, err)
		}
	}
}

// canonicalJSON makes statements comparable.
func canonicalJSON(t *testing.T, raw []byte) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	return v
}
