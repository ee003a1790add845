package openpgp_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	pgp "github.com/ProtonMail/go-crypto/openpgp/v2"
	v1 "github.com/google/go-containerregistry/pkg/v1"

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
