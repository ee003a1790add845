package openpgp_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	pgp "github.com/ProtonMail/go-crypto/openpgp/v2"
	//lint:ignore SA1019 clusters read claims with it
	clusterpgp "golang.org/x/crypto/openpgp"

	"github.com/slipway-release/slipway/release/sign"
	"github.com/slipway-release/slipway/release/sign/openpgp"
)

// gpg is a home of the gpg command, with its agent, for one test.
type gpg struct{ home string }

func newGPG(t *testing.T) *gpg {
	t.Helper()
	if _, err := exec.LookPath("gpg"); err != nil {
		t.Skip("gpg is not installed; slipway host prepare --tests installs it")
	}
	// The path of the agent's socket must be short.
	home, err := os.MkdirTemp("", "gpg")
	if err != nil {
		t.Fatal(err)
	}
	g := &gpg{home}
	t.Cleanup(func() {
		_ = exec.Command("gpgconf", "--homedir", home, "--kill", "all").Run()
		os.RemoveAll(home)
	})
	return g
}

func (g *gpg) run(t *testing.T, input []byte, args ...string) ([]byte, error) {
	t.Helper()
	c := exec.CommandContext(t.Context(), "gpg", append([]string{"--homedir", g.home, "--batch", "--no-tty", "--pinentry-mode", "loopback", "--passphrase", ""}, args...)...)
	c.Stdin = bytes.NewReader(input)
	var out, messages bytes.Buffer
	c.Stdout, c.Stderr = &out, &messages
	if err := c.Run(); err != nil {
		return out.Bytes(), fmt.Errorf("gpg %s: %w: %s", strings.Join(args, " "), err, messages.String())
	}
	return out.Bytes(), nil
}

func (g *gpg) must(t *testing.T, input []byte, args ...string) []byte {
	t.Helper()
	out, err := g.run(t, input, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// makeKey makes a key of an algorithm that gpg knows by that name.
func (g *gpg) makeKey(t *testing.T, mail, algorithm string) {
	t.Helper()
	g.must(t, nil, "--quick-generate-key", mail, algorithm, "sign", "1d")
}

// signedWith returns a message that a key signed here, and the key in armor.
func signedWith(t *testing.T, e *pgp.Entity) (message, armored []byte) {
	t.Helper()
	s, err := openpgp.NewSigner(private(t, e), "")
	if err != nil {
		t.Fatal(err)
	}
	if message, err = s.Sign(t.Context(), claimAbout(t, digest)); err != nil {
		t.Fatal(err)
	}
	if armored, err = s.Armor(); err != nil {
		t.Fatal(err)
	}
	return message, armored
}

// TestGPGVerifiesOurs has gpg verify and print claims that were signed here.
func TestGPGVerifiesOurs(t *testing.T) {
	for name, config := range map[string]packet.Config{
		"RSA":     {Algorithm: packet.PubKeyAlgoRSA, RSABits: 2048},
		"ECDSA":   {Algorithm: packet.PubKeyAlgoECDSA, Curve: packet.CurveNistP256},
		"Ed25519": {Algorithm: packet.PubKeyAlgoEdDSA, Curve: packet.Curve25519},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGPG(t)
			m, armored := signedWith(t, entity(t, config))
			g.must(t, armored, "--import")
			path := filepath.Join(t.TempDir(), "signature-1")
			if err := os.WriteFile(path, m, 0o600); err != nil {
				t.Fatal(err)
			}
			g.must(t, nil, "--verify", path)
			want, err := claimAbout(t, digest).JSON()
			if err != nil {
				t.Fatal(err)
			}
			if got := g.must(t, nil, "--decrypt", path); !bytes.Equal(got, want) {
				t.Errorf("gpg -d prints %s", got)
			}
			altered := bytes.Replace(m, []byte("nightly"), []byte("stabler"), 1)
			if err := os.WriteFile(path, altered, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := g.run(t, nil, "--verify", path); err == nil {
				t.Error("gpg verifies an altered claim")
			}
		})
	}
}

// TestWeVerifyGPGs verifies here what gpg signed, by itself and driven by us.
func TestWeVerifyGPGs(t *testing.T) {
	ctx := t.Context()
	g := newGPG(t)
	data, err := claimAbout(t, digest).JSON()
	if err != nil {
		t.Fatal(err)
	}
	for i, algorithm := range []string{"rsa2048", "nistp256", "ed25519"} {
		mail := fmt.Sprintf("releases%d@example.internal", i)
		g.makeKey(t, mail, algorithm)
		for name, keyring := range map[string][]byte{"binary": g.must(t, nil, "--export", mail), "armored": g.must(t, nil, "--armor", "--export", mail)} {
			trusted, err := openpgp.NewVerifier(keyring)
			if err != nil {
				t.Fatal(err)
			}
			m := g.must(t, data, "--local-user", mail, "--sign")
			if got := trusted.Check(m, digest, says); got.Reason != "" {
				t.Errorf("%s, %s keyring: %s", algorithm, name, got.Reason)
			}
			if got := trusted.Check(m, other, sign.Claim{}); got.Reason == "" {
				t.Errorf("%s: accepted for another image", algorithm)
			}
		}
		driven, err := openpgp.NewGPGSigner(ctx, openpgp.GPG{Home: g.home, User: mail})
		if err != nil {
			t.Fatal(err)
		}
		m, err := driven.Sign(ctx, claimAbout(t, digest))
		if err != nil {
			t.Fatal(err)
		}
		if got := driven.Verifier().Check(m, digest, says); got.Reason != "" {
			t.Errorf("driven by us, %s: %s", algorithm, got.Reason)
		}
		if want := algorithm != "ed25519"; driven.KnownToClusters() != want {
			t.Errorf("%s: known to clusters is %v", algorithm, !want)
		}
	}
	if _, err := openpgp.NewGPGSigner(ctx, openpgp.GPG{Home: g.home, User: "nobody@example.internal"}); err == nil {
		t.Error("a key that is not there was opened")
	}

	// The key that gpg exports signs here too.
	s, err := openpgp.NewSigner(g.must(t, nil, "--export-secret-keys", "releases0@example.internal"), "")
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.Sign(ctx, claimAbout(t, digest))
	if err != nil {
		t.Fatal(err)
	}
	if got := g.must(t, m, "--decrypt"); !bytes.Equal(got, data) {
		t.Errorf("gpg -d prints %s", got)
	}
}

func TestGPGPassphrase(t *testing.T) {
	ctx := t.Context()
	g := newGPG(t)
	// The agent must not remember the passphrase of the key's making, nor that of
	// the signature before. Ending it would not do: it ends in its own time.
	if err := os.WriteFile(filepath.Join(g.home, "gpg-agent.conf"), []byte("ignore-cache-for-signing\ndefault-cache-ttl 0\nmax-cache-ttl 0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(ctx, "gpg", "--homedir", g.home, "--batch", "--no-tty", "--pinentry-mode", "loopback", "--passphrase", "correct horse",
		"--quick-generate-key", "releases@example.internal", "nistp256", "sign", "1d")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for passphrase, good := range map[string]bool{"wrong battery": false, "correct horse": true} {
		s, err := openpgp.NewGPGSigner(ctx, openpgp.GPG{Home: g.home, User: "releases@example.internal", Passphrase: passphrase})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Sign(ctx, claimAbout(t, digest)); (err == nil) != good {
			t.Errorf("with %q: %v", passphrase, err)
		}
	}
}

// TestClustersReadOurs reads our messages as the cluster-version operator does:
// with the older OpenPGP library, and with JSON that may hold no unknown field.
func TestClustersReadOurs(t *testing.T) {
	for name, config := range map[string]packet.Config{
		"RSA":   {Algorithm: packet.PubKeyAlgoRSA, RSABits: 2048},
		"ECDSA": {Algorithm: packet.PubKeyAlgoECDSA, Curve: packet.CurveNistP256},
	} {
		t.Run(name, func(t *testing.T) {
			m, armored := signedWith(t, entity(t, config))
			keyring, err := clusterpgp.ReadArmoredKeyRing(bytes.NewReader(armored))
			if err != nil {
				t.Fatal(err)
			}
			md, err := clusterpgp.ReadMessage(bytes.NewReader(m), keyring, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			content, err := io.ReadAll(md.UnverifiedBody)
			if err != nil || md.SignatureError != nil || !md.IsSigned || md.SignedBy == nil || md.Signature == nil {
				t.Fatalf("%v, %v, %+v", err, md.SignatureError, md)
			}
			if life := md.Signature.SigLifetimeSecs; life != nil && time.Now().After(md.Signature.CreationTime.Add(time.Duration(*life)*time.Second)) {
				t.Error("the signature has expired")
			}
			var claim struct {
				Critical struct {
					Type  string `json:"type"`
					Image struct {
						DockerManifestDigest string `json:"docker-manifest-digest"`
					} `json:"image"`
					Identity struct {
						DockerReference string `json:"docker-reference"`
					} `json:"identity"`
				} `json:"critical"`
				Optional struct {
					Creator   string `json:"creator"`
					Timestamp int64  `json:"timestamp"`
				} `json:"optional"`
			}
			decoder := json.NewDecoder(bytes.NewReader(content))
			decoder.DisallowUnknownFields()
			if err := decoder.Decode(&claim); err != nil {
				t.Fatal(err)
			}
			if claim.Critical.Type != "atomic container signature" || claim.Critical.Image.DockerManifestDigest != digest.String() || claim.Critical.Identity.DockerReference == "" {
				t.Errorf("clusters read %+v", claim)
			}
		})
	}
}

// TestSigningSubkey signs with a subkey, as careful owners of keys do, and lets
// the subkey expire.
func TestSigningSubkey(t *testing.T) {
	g := newGPG(t)
	g.must(t, nil, "--quick-generate-key", "releases@example.internal", "rsa2048", "cert", "never")
	list := string(g.must(t, nil, "--with-colons", "--list-keys"))
	_, rest, ok := strings.Cut(list, "\nfpr:")
	if !ok {
		t.Fatal(errors.New(list))
	}
	primary := strings.Trim(strings.SplitN(rest, "\n", 2)[0], ":")
	g.must(t, nil, "--quick-add-key", primary, "rsa2048", "sign", "1d")
	data, err := claimAbout(t, digest).JSON()
	if err != nil {
		t.Fatal(err)
	}
	m := g.must(t, data, "--sign")
	trusted, err := openpgp.NewVerifier(g.must(t, nil, "--export"))
	if err != nil {
		t.Fatal(err)
	}
	if got := trusted.Check(m, digest, says); got.Reason != "" || got.SignedBy[0] != primary {
		t.Errorf("by a subkey of %s: %+v", primary, got)
	}
	if got := trusted.At(time.Now().Add(48*time.Hour)).Check(m, digest, says); !strings.Contains(got.Reason, "expired") {
		t.Errorf("by a subkey that has expired: %+v", got)
	}
}
