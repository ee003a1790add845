package catalog_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/slipway-release/slipway/internal/git"
	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/oci/registryserver"
	"github.com/slipway-release/slipway/release/inspect/changelog"
	"github.com/slipway-release/slipway/release/releasetest"
	"github.com/slipway-release/slipway/release/sign"
	"github.com/slipway-release/slipway/release/streams"
	"github.com/slipway-release/slipway/release/updates/catalog"
	"github.com/slipway-release/slipway/release/updates/catalog/catalogtest"
)

type definitions []catalog.Definition

func (d definitions) Streams(context.Context) ([]catalog.Definition, error) { return d, nil }

// TestRealRegistry reads signatures and evidence that were really signed.
func TestRealRegistry(t *testing.T) {
	server, err := registryserver.Serve(t.Context(), registryserver.Options{Root: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	const canonical = "registry.example.internal/skiff"
	reg, err := oci.NewRegistry(canonical, server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	signer, err := sign.LoadOrCreateKey(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := sign.LoadOrCreateKey(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := sign.LoadKeyDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	name := catalogtest.Nightly(20)
	digest, err := reg.Push(t.Context(), canonical+"/release:"+name, releasetest.Small(name).Image(t))
	if err != nil {
		t.Fatal(err)
	}
	sources := catalog.Sources{Registry: reg, Verifier: verifier, Repository: canonical + "/release",
		Streams: definitions{{Policy: streams.Policy{Name: "nightly", Blocking: []string{"conformance"}}}}}
	k := catalog.NewKeeper(sources, catalog.Options{})
	phase := func() *catalog.Payload {
		t.Helper()
		if err := k.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		return k.Catalog().Payload(name)
	}
	if p := phase(); p.Phase != catalog.Ready || len(p.Signatures) != 0 {
		t.Errorf("without evidence it is %s", p.Phase)
	}
	ref := canonical + "/release@" + digest.String()
	if err := signer.Sign(t.Context(), reg, ref, sign.Claim{Version: name}); err != nil {
		t.Fatal(err)
	}
	if p := phase(); len(p.Signatures) != 1 || p.Signatures[0].Reason != "" || p.Signatures[0].Version != name {
		t.Errorf("a signature that was added is told as %+v", p.Signatures)
	}
	if _, err := stranger.Attest(t.Context(), reg, ref, sign.PredicateDecision, streams.Verdict{Verdict: streams.Rejected}); err != nil {
		t.Fatal(err)
	}
	if p := phase(); p.Phase != catalog.Ready || len(p.Refused) != 1 || !strings.Contains(p.Refused[0].Reason, "not trusted") {
		t.Errorf("a stranger's decision makes it %s, refused are %v", p.Phase, p.Refused)
	}
	if _, err := signer.Attest(t.Context(), reg, ref, sign.PredicateDecision, streams.Verdict{Verdict: streams.Accepted}); err != nil {
		t.Fatal(err)
	}
	p := phase()
	if p.Phase != catalog.Accepted || len(p.Evidence) != 1 {
		t.Fatalf("it is %s with %v", p.Phase, p.Evidence)
	}
	details := catalog.NewDetails(sources, catalog.RegistryOpener{Registry: reg}, reg, changelog.Options{Repositories: git.NewCache(git.Options{Dir: t.TempDir(), Offline: true})}, catalog.Limits{Wait: time.Minute})
	text, err := details.Statement(t.Context(), p, p.Evidence[0])
	if err != nil || !strings.Contains(string(text), `"verdict": "Accepted"`) {
		t.Errorf("got %s, %v", text, err)
	}
	if info, err := details.Info(t.Context(), p); err != nil || info.Version != name || info.Digest != digest.String() {
		t.Errorf("got %+v, %v", info, err)
	}
}
