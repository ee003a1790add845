package policy_test

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"time"

	pgp "github.com/ProtonMail/go-crypto/openpgp/v2"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/sign"
	"github.com/slipway-release/slipway/release/sign/openpgp"
	"github.com/slipway-release/slipway/release/sign/policy"
)

// TestFollowing judges a payload as a cluster at another payload does.
func TestFollowing(t *testing.T) {
	p := newPlace(t)
	e, err := pgp.NewEntity("Second", "", "second@example.internal", nil)
	if err != nil {
		t.Fatal(err)
	}
	var private bytes.Buffer
	if err := e.SerializePrivateWithoutSigning(&private, nil); err != nil {
		t.Fatal(err)
	}
	second, err := openpgp.NewSigner(private.Bytes(), "")
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("ab", 32)}
	one := map[string]*openpgp.Verifier{"verifier-public-key-a": p.gpg.Verifier()}
	both := map[string]*openpgp.Verifier{"verifier-public-key-a": p.gpg.Verifier(), "verifier-public-key-b": second.Verifier()}
	either := map[string]*openpgp.Verifier{"verifier-public-key-a": openpgp.AnyOf(p.gpg.Verifier(), second.Verifier()), "verifier-public-key-b": p.gpg.Verifier()}
	tagged, untagged := canonical+"/release", "registry.example.internal/other@"
	for _, test := range []struct {
		name     string
		keyrings map[string]*openpgp.Verifier
		at       string  // version of the payload with the root
		digest   v1.Hash // of that payload
		claims   []claimed
		problem  string // "" when it is accepted
	}{
		{"signed", one, "1.36.2", elsewhere, []claimed{{p.gpg, claim, tagged}}, ""},
		{"not signed", one, "1.36.2", elsewhere, nil, "there is none"},
		{"by another key", one, "1.36.2", elsewhere, []claimed{{second, claim, tagged}}, "there is none"},
		{"by one of two keyrings", both, "1.36.2", elsewhere, []claimed{{p.gpg, claim, tagged}}, "a good signature of"},
		{"by both keyrings", both, "1.36.2", elsewhere, []claimed{{p.gpg, claim, tagged}, {second, claim, tagged}}, ""},
		{"by a key of both keyrings", either, "1.36.2", elsewhere, []claimed{{p.gpg, claim, tagged}}, ""},
		{"of another version", one, "1.36.2", elsewhere, []claimed{{p.gpg, sign.Claim{Version: "1.36.4"}, tagged}}, "a good signature of"},
		{"of no version", one, "1.36.2", elsewhere, []claimed{{p.gpg, sign.Claim{}, untagged}}, ""},
		{"by itself", one, "1.36.2", p.digest, []claimed{{p.gpg, claim, tagged}}, "cannot vouch for itself"},
		{"by its other image", one, version, elsewhere, []claimed{{p.gpg, claim, tagged}}, "cannot vouch for itself"},
	} {
		t.Run(test.name, func(t *testing.T) {
			at, err := release.Parse(test.at)
			if err != nil {
				t.Fatal(err)
			}
			dir := openpgp.Dir(filepath.Join(t.TempDir()))
			for _, c := range test.claims {
				if _, err := dir.Add(p.digest, c.message(t, p.digest)); err != nil {
					t.Fatal(err)
				}
			}
			followed, err := policy.Following(&openpgp.Root{Version: at, Digests: []v1.Hash{elsewhere, test.digest}, Keyrings: test.keyrings}, dir)
			if err != nil {
				t.Fatal(err)
			}
			report, err := followed.Verify(t.Context(), p.subject(t))
			if err != nil {
				t.Fatal(err)
			}
			problems := strings.Join(report.Problems, "; ")
			if (report.Verdict == policy.Accepted) != (test.problem == "") || !strings.Contains(problems, test.problem) {
				t.Errorf("%s: %s", report.Verdict, problems)
			}
		})
	}
	if _, err := policy.Following(&openpgp.Root{}); err == nil {
		t.Error("a root without keyrings is a policy")
	}
}

// claimed is who signs what, under which name.
type claimed struct {
	signer *openpgp.Signer
	says   sign.Claim
	name   string
}

func (c claimed) message(t *testing.T, digest v1.Hash) []byte {
	t.Helper()
	made := openpgp.Claim{Digest: digest, Reference: c.name + digest.String(), Time: time.Now().Truncate(time.Second)}
	if c.says.Version != "" {
		var err error
		if made, err = openpgp.NewClaim(c.name+"@"+digest.String(), c.says, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	m, err := c.signer.Sign(t.Context(), made)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
