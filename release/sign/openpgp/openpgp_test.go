package openpgp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	pgp "github.com/ProtonMail/go-crypto/openpgp/v2"
	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/release/sign"
	"github.com/slipway-release/slipway/release/sign/openpgp"
)

const (
	repository = "registry.example.internal/skiff/release"
	version    = "1.36.3-0.nightly-2026-11-20-101500"
)

var (
	says   = sign.Claim{Version: version, Stream: "nightly", Architecture: "amd64"}
	digest = v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("ab", 32)}
	other  = v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("cd", 32)}
)

// entity makes a key; RSA, as clusters know it, is slow to make.
func entity(t *testing.T, config packet.Config) *pgp.Entity {
	t.Helper()
	if config.Algorithm == 0 {
		config.Algorithm, config.Curve = packet.PubKeyAlgoECDSA, packet.CurveNistP256
	}
	e, err := pgp.NewEntity("Releases", "", "releases@example.internal", &config)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func private(t *testing.T, e *pgp.Entity) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := e.SerializePrivateWithoutSigning(&out, nil); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func public(t *testing.T, e *pgp.Entity) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := e.Serialize(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func signer(t *testing.T) *openpgp.Signer {
	t.Helper()
	s, err := openpgp.NewSigner(private(t, entity(t, packet.Config{})), "")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func claimAbout(t *testing.T, d v1.Hash) openpgp.Claim {
	t.Helper()
	c, err := openpgp.NewClaim(repository+"@"+d.String(), says, time.Unix(1795000000, 0))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// message signs anything, as somebody may who does not use this package.
func message(t *testing.T, e *pgp.Entity, data string, config *packet.Config) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := pgp.Sign(&out, []*pgp.Entity{e}, nil, config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(data)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestClaimJSON(t *testing.T) {
	data, err := claimAbout(t, digest).JSON()
	if err != nil {
		t.Fatal(err)
	}
	want := `{"critical":{"type":"atomic container signature","image":{"docker-manifest-digest":"` + digest.String() +
		`"},"identity":{"docker-reference":"` + repository + ":" + version + `"}},"optional":{"creator":"slipway (stream=nightly; architecture=amd64)","timestamp":1795000000}}`
	if diff := cmp.Diff(want, string(data)); diff != "" {
		t.Error(diff)
	}
	c, err := openpgp.ParseClaim(data)
	if err != nil || c.Says() != says {
		t.Errorf("read back as %+v, %v", c.Says(), err)
	}
}

func TestNewClaimRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		reference string
		says      sign.Claim
	}{
		"a tag":         {repository + ":" + version, says},
		"no version":    {repository + "@" + digest.String(), sign.Claim{Stream: "nightly"}},
		"a loose word":  {repository + "@" + digest.String(), sign.Claim{Version: version, Stream: "a; architecture=arm64)"}},
		"short digests": {repository + "@sha256:ab", says},
	} {
		if _, err := openpgp.NewClaim(test.reference, test.says, time.Now()); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func TestParseClaimIsStrict(t *testing.T) {
	genuine, err := claimAbout(t, digest).JSON()
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"unknown field":      {`"optional":{`, `"optional":{"version":"1",`},
		"unknown top field":  {`"optional":`, `"extra":1,"optional":`},
		"field twice":        {`"image":`, `"type":"atomic container signature","image":`},
		"case of a field":    {`"docker-manifest-digest"`, `"Docker-Manifest-Digest"`},
		"another type":       {"atomic container signature", "cosign container image signature"},
		"another algorithm":  {"sha256:", "sha512:"},
		"empty identity":     {repository + ":" + version, ""},
		"no digest":          {digest.String(), ""},
		"something after it": {`}}`, `}}{}`},
	} {
		changed := strings.Replace(string(genuine), change[0], change[1], 1)
		if change[0] == "}}" {
			changed = string(genuine) + "{}"
		}
		if changed == string(genuine) {
			t.Fatalf("%s: nothing was changed", name)
		}
		if _, err := openpgp.ParseClaim([]byte(changed)); err == nil {
			t.Errorf("%s was accepted: %s", name, changed)
		}
	}
}

// TestSaysOfOthers reads claims as OKD and OpenShift make them.
func TestSaysOfOthers(t *testing.T) {
	for reference, want := range map[string]sign.Claim{
		"registry.ci.openshift.org/origin/release-scos:4.19.0-okd-scos.16":            {Version: "4.19.0-okd-scos.16", Stream: "okd-scos"},
		"quay.io/openshift-release-dev/ocp-release:4.15.0-x86_64":                     {Version: "4.15.0", Architecture: "amd64"},
		"quay.io/openshift-release-dev/ocp-release:4.15.0-multi":                      {Version: "4.15.0", Architecture: "multi"},
		"registry.ci.openshift.org/ocp/release:4.16.0-0.nightly-2024-03-10-010116":    {Version: "4.16.0-0.nightly-2024-03-10-010116", Stream: "nightly"},
		"quay.io/openshift-release-dev/ocp-release@sha256:" + strings.Repeat("0", 64): {},
		"localhost:5000/release": {},
		"":                       {},
	} {
		if diff := cmp.Diff(want, openpgp.Claim{Reference: reference, Creator: "OpenShift release-controller"}.Says()); diff != "" {
			t.Errorf("%s: %s", reference, diff)
		}
	}
}

func TestSignAndCheck(t *testing.T) {
	s, stranger := signer(t), signer(t)
	m, err := s.Sign(t.Context(), claimAbout(t, digest))
	if err != nil {
		t.Fatal(err)
	}
	both := openpgp.AnyOf(stranger.Verifier(), nil, s.Verifier())
	for name, test := range map[string]struct {
		by     *openpgp.Verifier
		m      []byte
		about  v1.Hash
		want   sign.Claim
		reason string // "" when it is good
	}{
		"good":            {s.Verifier(), m, digest, says, ""},
		"any of several":  {both, m, digest, sign.Claim{}, ""},
		"another image":   {s.Verifier(), m, other, sign.Claim{}, "about another image"},
		"another version": {s.Verifier(), m, digest, sign.Claim{Version: "1.36.4"}, `version "` + version + `", not "1.36.4"`},
		"another stream":  {s.Verifier(), m, digest, sign.Claim{Stream: "stable"}, `not "stable"`},
		"architecture":    {s.Verifier(), m, digest, sign.Claim{Architecture: "arm64"}, `not "arm64"`},
		"stranger":        {stranger.Verifier(), m, digest, sign.Claim{}, "which is not trusted"},
		"altered":         {s.Verifier(), bytes.Replace(m, []byte("nightly"), []byte("stabler"), 1), digest, sign.Claim{}, "altered after signing"},
		"cut off":         {s.Verifier(), m[:len(m)-20], digest, sign.Claim{}, "it "},
		"garbage":         {s.Verifier(), []byte("garbage"), digest, sign.Claim{}, "no signed OpenPGP message"},
		"nothing":         {s.Verifier(), nil, digest, sign.Claim{}, "no signed OpenPGP message"},
		"too much":        {s.Verifier(), bytes.Repeat(m, 1000), digest, sign.Claim{}, "more than the 51200 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			got := test.by.Check(test.m, test.about, test.want)
			switch {
			case test.reason == "" && (got.Reason != "" || len(got.SignedBy) != 1 || got.SignedBy[0] != s.Name() || got.Claim != says):
				t.Errorf("got %+v", got)
			case test.reason != "" && !strings.Contains(got.Reason, test.reason):
				t.Errorf("refused with %q, want %q", got.Reason, test.reason)
			case strings.Contains(got.Reason, "\n"):
				t.Errorf("%q is more than one sentence", got.Reason)
			}
		})
	}
}

func TestCheckRefusesOtherMessages(t *testing.T) {
	e := entity(t, packet.Config{})
	trusted, err := openpgp.NewVerifier(public(t, e))
	if err != nil {
		t.Fatal(err)
	}
	genuine, err := claimAbout(t, digest).JSON()
	if err != nil {
		t.Fatal(err)
	}
	var unsigned bytes.Buffer
	w, err := packet.SerializeLiteral(nopCloser{&unsigned}, true, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(genuine); err != nil {
		t.Fatal(err)
	}
	w.Close()
	var encrypted bytes.Buffer
	sealed, err := pgp.Encrypt(&encrypted, []*pgp.Entity{e}, nil, []*pgp.Entity{e}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sealed.Write(genuine); err != nil {
		t.Fatal(err)
	}
	sealed.Close()
	var armored bytes.Buffer
	a, err := armor.Encode(&armored, "PGP MESSAGE", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Write(message(t, e, string(genuine), nil)); err != nil {
		t.Fatal(err)
	}
	a.Close()
	compress := &packet.Config{DefaultCompressionAlgo: packet.CompressionZLIB}
	for name, test := range map[string]struct {
		m      []byte
		reason string
	}{
		"a claim of cosign's":  {message(t, e, `{"critical":{"type":"cosign container image signature"}}`, nil), "not a claim about an image"},
		"not a claim":          {message(t, e, "hello", nil), "not a claim about an image"},
		"unsigned":             {unsigned.Bytes(), "no signed OpenPGP message"},
		"encrypted":            {encrypted.Bytes(), "no signed OpenPGP message"},
		"armored":              {armored.Bytes(), "gpg --dearmor"},
		"a bomb when unpacked": {message(t, e, strings.Repeat(" ", 40<<20), compress), "it "},
		"names no version":     {message(t, e, strings.Replace(string(genuine), ":"+version, "", 1), nil), ""},
		"weak hash":            {weak(t, e, string(genuine)), "weak"},
	} {
		t.Run(name, func(t *testing.T) {
			got := trusted.Check(test.m, digest, sign.Claim{Version: version})
			if got.Reason == "" || !strings.Contains(got.Reason, test.reason) {
				t.Errorf("got %+v, want %q", got, test.reason)
			}
		})
	}
	// gpg compresses unless it is told not to.
	if got := trusted.Check(message(t, e, string(genuine), compress), digest, says); got.Reason != "" {
		t.Errorf("a compressed message: %s", got.Reason)
	}
}

type nopCloser struct{ *bytes.Buffer }

func (nopCloser) Close() error { return nil }

// weak changes a message's hash algorithm to SHA-1, which is refused before the
// signature's value is looked at.
func weak(t *testing.T, e *pgp.Entity, data string) []byte {
	t.Helper()
	m := message(t, e, data, nil)
	// One-pass signature: tag and length, version 3, type 0, hash, key algorithm.
	if m[2] != 3 || m[3] != 0 {
		t.Fatalf("the message does not begin with a one-pass signature: % x", m[:6])
	}
	old := m[4]
	m[4] = 2
	// Signature: version 4, type 0, key algorithm, hash.
	at := bytes.LastIndex(m, []byte{4, 0, byte(packet.PubKeyAlgoECDSA), old})
	if at < 0 {
		t.Fatal("there is no signature packet")
	}
	m[at+3] = 2
	return m
}

// TestTimes has keys and signatures that are valid for an hour.
func TestTimes(t *testing.T) {
	begin := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	at := func(after time.Duration) func() time.Time { return func() time.Time { return begin.Add(after) } }
	data, err := claimAbout(t, digest).JSON()
	if err != nil {
		t.Fatal(err)
	}
	brief := entity(t, packet.Config{Time: at(0), KeyLifetimeSecs: 3600})
	lasting := entity(t, packet.Config{Time: at(0)})
	revoked := entity(t, packet.Config{Time: at(0)})
	byRevoked := message(t, revoked, string(data), &packet.Config{Time: at(time.Minute)})
	if err := revoked.Revoke(packet.KeyCompromised, "stolen", &packet.Config{Time: at(10 * time.Minute)}); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		key    *pgp.Entity
		m      []byte
		after  time.Duration
		reason string
	}{
		{"in time", brief, message(t, brief, string(data), &packet.Config{Time: at(time.Minute)}), 2 * time.Minute, ""},
		{"key expired since", brief, message(t, brief, string(data), &packet.Config{Time: at(time.Minute)}), 2 * time.Hour, "has expired"},
		{"key expired before", brief, message(t, brief, string(data), &packet.Config{Time: at(0)}), 3 * time.Hour, "expired"},
		{"signature in its time", lasting, message(t, lasting, string(data), &packet.Config{Time: at(0), SigLifetimeSecs: 3600}), time.Minute, ""},
		{"signature expired", lasting, message(t, lasting, string(data), &packet.Config{Time: at(0), SigLifetimeSecs: 3600}), 2 * time.Hour, "its signature has expired"},
		{"signature of the future", lasting, message(t, lasting, string(data), &packet.Config{Time: at(48 * time.Hour)}), time.Hour, "in the future"},
		{"key revoked since", revoked, byRevoked, time.Hour, "revoked"},
	} {
		t.Run(test.name, func(t *testing.T) {
			trusted, err := openpgp.NewVerifier(public(t, test.key))
			if err != nil {
				t.Fatal(err)
			}
			got := trusted.At(begin.Add(test.after)).Check(test.m, digest, says)
			if (test.reason == "") != (got.Reason == "") || !strings.Contains(got.Reason, test.reason) {
				t.Errorf("%q, want %q", got.Reason, test.reason)
			}
		})
	}
	// The renewed key beside the expired one is enough.
	renewed := entity(t, packet.Config{Time: at(0)})
	trusted, err := openpgp.NewVerifier(public(t, brief), public(t, renewed))
	if err != nil {
		t.Fatal(err)
	}
	m := message(t, renewed, string(data), &packet.Config{Time: at(time.Hour)})
	if got := trusted.At(begin.Add(2*time.Hour)).Check(m, digest, says); got.Reason != "" {
		t.Errorf("a key beside an expired one: %s", got.Reason)
	}
}

func TestPassphrase(t *testing.T) {
	e := entity(t, packet.Config{})
	if err := e.EncryptPrivateKeys([]byte("correct horse"), nil); err != nil {
		t.Fatal(err)
	}
	key := private(t, e)
	if _, err := openpgp.NewSigner(key, "correct horse"); err != nil {
		t.Error(err)
	}
	for passphrase, part := range map[string]string{"": openpgp.PassphraseVariable, "wrong battery": "does not open it"} {
		if _, err := openpgp.NewSigner(key, passphrase); err == nil || !strings.Contains(err.Error(), part) || strings.Contains(err.Error(), "battery") {
			t.Errorf("with %q: %v", passphrase, err)
		}
	}
	if _, err := openpgp.NewSigner(public(t, e), ""); err == nil || !strings.Contains(err.Error(), "public key") {
		t.Errorf("a public key: %v", err)
	}
}

func TestKeyrings(t *testing.T) {
	one, two := entity(t, packet.Config{}), entity(t, packet.Config{})
	armored := func(e *pgp.Entity) []byte {
		s, err := openpgp.NewSigner(private(t, e), "")
		if err != nil {
			t.Fatal(err)
		}
		out, err := s.Armor()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	for name, data := range map[string][]byte{
		"binary":              append(public(t, one), public(t, two)...),
		"armored, two blocks": append(armored(one), armored(two)...),
	} {
		v, err := openpgp.NewVerifier(data)
		if err != nil || len(v.Trusted()) != 2 {
			t.Errorf("%s: %v, %v", name, v, err)
		}
	}
	path := filepath.Join(t.TempDir(), "keyring")
	for name, data := range map[string]string{"nothing": "", "garbage": "garbage", "other armor": "-----BEGIN PGP MESSAGE-----\n\nMA==\n-----END PGP MESSAGE-----\n", "broken armor": "-----BEGIN PGP PUBLIC KEY BLOCK-----\n"} {
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := openpgp.LoadVerifier(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := openpgp.LoadVerifier(); err == nil {
		t.Error("no keyring at all was accepted")
	}
}

func TestDirStore(t *testing.T) {
	ctx := t.Context()
	dir := openpgp.Dir(t.TempDir())
	if found, err := dir.Messages(ctx, digest); err != nil || len(found) != 0 {
		t.Errorf("an empty store: %v, %v", found, err)
	}
	if _, err := openpgp.Dir(filepath.Join(string(dir), "missing")).Messages(ctx, digest); err == nil {
		t.Error("a store that is not there counts as empty")
	}
	var wait sync.WaitGroup
	for i := range 9 {
		wait.Go(func() {
			if _, err := dir.Add(digest, fmt.Appendf(nil, "message %d", i)); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	found, err := dir.Messages(ctx, digest)
	if err != nil || len(found) != 9 {
		t.Fatalf("%d messages, %v", len(found), err)
	}
	seen := map[string]bool{}
	for i, f := range found {
		if want := filepath.Join(string(dir), "sha256="+digest.Hex, fmt.Sprintf("signature-%d", i+1)); f.Place != want {
			t.Errorf("message %d lies at %s", i+1, f.Place)
		}
		seen[string(f.Message)] = true
	}
	if len(seen) != 9 {
		t.Errorf("messages were overwritten: %v", seen)
	}
	if _, err := dir.Add(digest, []byte("one more")); err == nil || !strings.Contains(err.Error(), "all that clusters look at") {
		t.Errorf("a tenth: %v", err)
	}
	left, err := filepath.Glob(filepath.Join(string(dir), "*", ".new-*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if found, err := dir.Messages(ctx, other); err != nil || len(found) != 0 {
		t.Errorf("about another image: %v, %v", found, err)
	}
}

func TestStoreBounds(t *testing.T) {
	dir := openpgp.Dir(t.TempDir())
	if _, err := dir.Add(digest, bytes.Repeat([]byte("x"), 50<<10+1)); err != nil {
		t.Fatal(err)
	}
	if _, err := dir.Messages(t.Context(), digest); err == nil || !strings.Contains(err.Error(), "51200") {
		t.Errorf("a file that is too large: %v", err)
	}
}

func httpStore(t *testing.T, handler http.HandlerFunc) openpgp.Store {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	client, err := oci.HTTPClient(oci.WithPatience(3, time.Millisecond, 5*time.Millisecond, 5*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	store, err := openpgp.OpenStore(server.URL+"/signatures", client)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func TestHTTPStore(t *testing.T) {
	root := t.TempDir()
	dir := openpgp.Dir(root)
	for _, m := range []string{"one", "two"} {
		if _, err := dir.Add(digest, []byte(m)); err != nil {
			t.Fatal(err)
		}
	}
	files := http.StripPrefix("/signatures", http.FileServer(http.Dir(root)))
	asked := 0
	store := httpStore(t, func(w http.ResponseWriter, r *http.Request) {
		if asked++; asked == 1 {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		files.ServeHTTP(w, r)
	})
	found, err := store.Messages(t.Context(), digest)
	if err != nil || len(found) != 2 || string(found[1].Message) != "two" {
		t.Errorf("%v, %v", found, err)
	}
	if found, err := store.Messages(t.Context(), other); err != nil || len(found) != 0 {
		t.Errorf("about another image: %v, %v", found, err)
	}
	file, err := openpgp.OpenStore("file://"+root, nil)
	if err != nil {
		t.Fatal(err)
	}
	if found, err := file.Messages(t.Context(), digest); err != nil || len(found) != 2 {
		t.Errorf("by file URL: %v, %v", found, err)
	}
}

// TestHTTPStoreFailsClosed has stores that do not answer. That is no proof that
// there is no signature.
func TestHTTPStoreFailsClosed(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"broken":    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"forbidden": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) },
		"endless": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			if found, err := httpStore(t, handler).Messages(t.Context(), digest); err == nil {
				t.Errorf("got %v", found)
			}
		})
	}
	for _, location := range []string{"ftp://example.internal/x", "file://elsewhere/x", "https://"} {
		if _, err := openpgp.OpenStore(location, nil); err == nil {
			t.Errorf("%s was opened", location)
		}
	}
}

func TestConfigMap(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "out", "signature.yaml")
	first, err := openpgp.AddToConfigMap(path, digest, []byte("one"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := openpgp.AddToConfigMap(path, digest, []byte("one"), []byte("two"))
	if err != nil {
		t.Fatal(err)
	}
	want := "sha256-" + digest.Hex + "-"
	if diff := cmp.Diff([][]string{{want + "1"}, {want + "1", want + "2"}}, [][]string{first, second}); diff != "" {
		t.Error(diff)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"apiVersion: v1", "kind: ConfigMap", "name: sha256-" + digest.Hex, "namespace: openshift-config-managed", `release.openshift.io/verification-signatures: ""`, "-1: b25l"} {
		if !bytes.Contains(data, []byte(part)) {
			t.Errorf("the ConfigMap lacks %q:\n%s", part, data)
		}
	}
	maps, err := openpgp.LoadConfigMaps(path)
	if err != nil {
		t.Fatal(err)
	}
	found, err := maps.Messages(ctx, digest)
	if err != nil || len(found) != 2 || string(found[0].Message) != "one" || string(found[1].Message) != "two" {
		t.Errorf("%v, %v", found, err)
	}
	if found, err := maps.Messages(ctx, other); err != nil || len(found) != 0 {
		t.Errorf("about another image: %v, %v", found, err)
	}
	if _, err := openpgp.AddToConfigMap(path, other, []byte("x")); err == nil {
		t.Error("the ConfigMap of another image was written over")
	}
}

func TestConfigMapForms(t *testing.T) {
	m := map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "x"}, "binaryData": map[string]string{"sha256-" + digest.Hex + "-1": "b25l", "else": "eA=="}}
	one, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{
		"JSON":              string(one),
		"among other kinds": "kind: Namespace\napiVersion: v1\n---\n" + string(one) + "\n---\nkind: Secret\n",
		"List":              `{"apiVersion":"v1","kind":"List","items":[` + string(one) + `]}`,
	} {
		maps, err := openpgp.ParseConfigMaps([]byte(data))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if found, err := maps.Messages(t.Context(), digest); err != nil || len(found) != 1 {
			t.Errorf("%s: %v, %v", name, found, err)
		}
	}
	for name, data := range map[string]string{"nothing": "", "another kind": "kind: Secret", "no YAML": "a: [", "no base64": `{"kind":"ConfigMap","binaryData":{"a":"?"}}`} {
		if _, err := openpgp.ParseConfigMaps([]byte(data)); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

// TestKeep signs twice: the second time nothing is added, and a second key adds
// its own beside it.
func TestKeep(t *testing.T) {
	ctx := context.Background()
	in := openpgp.Places{Dir: filepath.Join(t.TempDir(), "store"), ConfigMap: filepath.Join(t.TempDir(), "m.yaml")}
	old, renewed := signer(t), signer(t)
	for i, s := range []*openpgp.Signer{old, old, renewed, renewed} {
		kept, err := s.Keep(ctx, claimAbout(t, digest), in)
		if err != nil || len(kept) != 2 || kept[0].Present != (i%2 == 1) || kept[1].Present != (i%2 == 1) {
			t.Fatalf("time %d: %+v, %v", i+1, kept, err)
		}
	}
	maps, err := openpgp.LoadConfigMaps(in.ConfigMap)
	if err != nil {
		t.Fatal(err)
	}
	for _, store := range []openpgp.Store{openpgp.Dir(in.Dir), maps} {
		found, err := store.Messages(ctx, digest)
		if err != nil || len(found) != 2 {
			t.Fatalf("%s: %v, %v", store, found, err)
		}
		for i, s := range []*openpgp.Signer{old, renewed} {
			if got := s.Verifier().Check(found[i].Message, digest, says); got.Reason != "" {
				t.Errorf("%s: %s", store, got.Reason)
			}
		}
	}
}
