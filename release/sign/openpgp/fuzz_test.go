package openpgp_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	pgp "github.com/ProtonMail/go-crypto/openpgp/v2"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-release/slipway/release/sign"
	"github.com/slipway-release/slipway/release/sign/openpgp"
)

// fuzzKeys returns a message of one key, and a verifier that trusts another.
func fuzzKeys(f *testing.F) (message []byte, stranger *openpgp.Verifier, keyring []byte) {
	f.Helper()
	config := &packet.Config{Algorithm: packet.PubKeyAlgoECDSA, Curve: packet.CurveNistP256}
	var keys [2]*pgp.Entity
	for i := range keys {
		var err error
		if keys[i], err = pgp.NewEntity("Releases", "", "releases@example.internal", config); err != nil {
			f.Fatal(err)
		}
	}
	var out, public bytes.Buffer
	w, err := pgp.Sign(&out, keys[:1], nil, nil)
	if err == nil {
		_, err = w.Write([]byte(`{"critical":{"type":"atomic container signature","image":{"docker-manifest-digest":"` + digest.String() + `"},"identity":{"docker-reference":"a/b:1.0.0"}},"optional":{}}`))
	}
	if err == nil {
		err = w.Close()
	}
	if err == nil {
		err = keys[1].Serialize(&public)
	}
	if err != nil {
		f.Fatal(err)
	}
	if stranger, err = openpgp.NewVerifier(public.Bytes()); err != nil {
		f.Fatal(err)
	}
	return out.Bytes(), stranger, public.Bytes()
}

// FuzzMessage reads messages as a hostile store may serve them: none is
// believed, and each refusal has a reason.
func FuzzMessage(f *testing.F) {
	message, stranger, _ := fuzzKeys(f)
	f.Add(message)
	f.Add(message[:len(message)/2])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		if got := stranger.Check(data, digest, sign.Claim{}); got.Reason == "" || len(got.SignedBy) != 0 {
			t.Errorf("believed %+v", got)
		}
	})
}

// FuzzClaim reads claims that somebody trusted may have signed by mistake.
func FuzzClaim(f *testing.F) {
	f.Add([]byte(`{"critical":{"type":"atomic container signature","image":{"docker-manifest-digest":"` + digest.String() + `"},"identity":{"docker-reference":"a/b:1.0.0"}},"optional":{"creator":"slipway (stream=a; architecture=b)","timestamp":1}}`))
	f.Add([]byte(`{"critical":{"type":"atomic container signature","image":{"docker-manifest-digest":"` + digest.String() + `"},"identity":{"docker-reference":"quay.io/a/b:4.15.0-x86_64@x"}},"optional":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := openpgp.ParseClaim(data)
		if err != nil {
			return
		}
		says := c.Says()
		if c.Reference == "" || c.Digest.Algorithm != "sha256" || len(c.Digest.Hex) != 64 {
			t.Errorf("read %+v", c)
		}
		again, err := c.JSON()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := openpgp.ParseClaim(again); err != nil || back.Says() != says || back.Digest != c.Digest {
			t.Errorf("%s is read as %+v, and written as %s", data, c, again)
		}
	})
}

// FuzzKeyring reads keyrings.
func FuzzKeyring(f *testing.F) {
	_, _, keyring := fuzzKeys(f)
	f.Add(keyring)
	f.Add([]byte("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nxk0E\n-----END PGP PUBLIC KEY BLOCK-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if v, err := openpgp.NewVerifier(data); err == nil && len(v.Trusted()) == 0 {
			t.Error("a verifier that trusts nobody was made")
		}
	})
}

// FuzzConfigMaps reads ConfigMaps: whatever they hold, only messages about the
// digest that is asked for come out.
func FuzzConfigMaps(f *testing.F) {
	f.Add([]byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\nbinaryData: {sha256-" + digest.Hex + "-1: eA==, sha256-" + digest.Hex + "-10: eA==}"))
	f.Add([]byte(`{"kind":"List","items":[{"kind":"ConfigMap"},{"kind":"List","items":[{}]}]}`))
	f.Add([]byte("a: &a [*a]\n---\n*b"))
	f.Fuzz(func(t *testing.T, data []byte) {
		maps, err := openpgp.ParseConfigMaps(data)
		if err != nil {
			return
		}
		if found, err := maps.Messages(t.Context(), v1.Hash{Algorithm: "sha256", Hex: "0"}); err != nil || len(found) != 0 {
			t.Errorf("about nothing there is %v, %v", found, err)
		}
		if _, err := maps.Messages(t.Context(), digest); err != nil && len(data) < 50<<10 {
			t.Error(err)
		}
	})
}

// FuzzStore reads what stores behind HTTP answer.
func FuzzStore(f *testing.F) {
	message, stranger, _ := fuzzKeys(f)
	var status int
	var body []byte
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/sha256="+digest.Hex+"/signature-1" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.WriteHeader(status)
		_, _ = w.Write(body)
	}))
	f.Cleanup(server.Close)
	store, err := openpgp.OpenStore(server.URL, server.Client())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(200, message)
	f.Add(404, []byte("no"))
	f.Add(500, []byte{})
	f.Fuzz(func(t *testing.T, answer int, data []byte) {
		if answer < 200 || answer > 599 {
			return
		}
		status, body = answer, data
		found, err := store.Messages(t.Context(), digest)
		if (len(found) > 0) != (err == nil && status == http.StatusOK) {
			t.Errorf("status %d: %v, %v", status, found, err)
		}
		for _, m := range found {
			if got := stranger.Check(m.Message, digest, sign.Claim{}); got.Reason == "" {
				t.Errorf("believed %+v", got)
			}
		}
	})
}
