package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/sigstore/sigstore/pkg/cryptoutils"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/oci/registryserver"
	"github.com/slipway-release/slipway/release/sign"
)

// vault stands for the transit engine of a Vault with one ECDSA key.
type vault struct {
	key    *ecdsa.PrivateKey
	signed int
}

func (v *vault) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("X-Vault-Token") != "secret" {
		http.Error(w, `{"errors":["permission denied"]}`, http.StatusForbidden)
		return
	}
	answer := map[string]any{}
	switch {
	case r.URL.Path == "/v1/transit/keys/release":
		public, _ := cryptoutils.MarshalPublicKeyToPEM(v.key.Public())
		answer["latest_version"] = 1
		answer["keys"] = map[string]any{"1": map[string]any{"name": "P-256", "public_key": string(public)}}
	case strings.HasPrefix(r.URL.Path, "/v1/transit/sign/release"):
		var request struct{ Input string }
		if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
			http.Error(w, "{}", http.StatusBadRequest)
			return
		}
		digest, err := base64.StdEncoding.DecodeString(request.Input)
		if err != nil {
			http.Error(w, "{}", http.StatusBadRequest)
			return
		}
		signature, err := ecdsa.SignASN1(rand.Reader, v.key, digest)
		if err != nil {
			http.Error(w, "{}", http.StatusInternalServerError)
			return
		}
		v.signed++
		answer["signature"] = "vault:v1:" + base64.StdEncoding.EncodeToString(signature)
	default:
		http.NotFound(w, r)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"data": answer})
}

// plugin builds the program under a plugin's name into a folder of PATH.
func plugin(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, name)
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	return path
}

// An image is signed with a key that stays in its service, and verified with the
// public half alone.
func TestSignsThroughThePlugin(t *testing.T) {
	plugin(t, "sigstore-kms-hashivault")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	service := &vault{key: key}
	server := httptest.NewServer(service)
	defer server.Close()
	t.Setenv("VAULT_ADDR", server.URL)
	t.Setenv("VAULT_TOKEN", "secret")

	registry, err := registryserver.Serve(t.Context(), registryserver.Options{Root: t.TempDir(), Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer registry.Close()
	store, err := oci.NewRegistry("registry.example.com/x", registry.Addr())
	if err != nil {
		t.Fatal(err)
	}
	img, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := store.Push(t.Context(), "registry.example.com/x/release:1", img)
	if err != nil {
		t.Fatal(err)
	}
	ref := "registry.example.com/x/release@" + digest.String()
	signer, err := (sign.KeySource{}).Signer(t.Context(), "hashivault://release")
	if err != nil {
		t.Fatal(err)
	}
	if err := signer.Sign(t.Context(), store, ref, sign.Claim{Version: "1.0.0"}); err != nil {
		t.Fatal(err)
	}
	public, err := cryptoutils.MarshalPublicKeyToPEM(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := sign.NewVerifier(public)
	if err != nil {
		t.Fatal(err)
	}
	claim, err := verifier.Verify(t.Context(), store, ref)
	if err != nil || claim.Version != "1.0.0" || service.signed == 0 {
		t.Errorf("claim %+v, %d signatures made by the service: %v", claim, service.signed, err)
	}
}

func TestServiceThatRefusesIsAnError(t *testing.T) {
	plugin(t, "sigstore-kms-hashivault")
	server := httptest.NewServer(&vault{})
	defer server.Close()
	t.Setenv("VAULT_ADDR", server.URL)
	t.Setenv("VAULT_TOKEN", "wrong")
	if _, err := (sign.KeySource{}).Signer(t.Context(), "hashivault://release"); err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("error %v", err)
	}
}

func TestProgramNames(t *testing.T) {
	for name, want := range map[string]string{
		"/usr/bin/sigstore-kms-awskms": "awskms://", "sigstore-kms-gcpkms": "gcpkms://", "sigstore-kms-azurekms": "azurekms://", "sigstore-kms-hashivault": "hashivault://",
		"slipway-kms": "", "sigstore-kms-": "", "sigstore-kms-nosuchkms": "",
	} {
		got, err := schemeOf(name)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestBadRequests(t *testing.T) {
	for _, args := range [][]string{
		{"slipway-kms"}, {"sigstore-kms-hashivault"}, {"sigstore-kms-hashivault", "v1", "{"}, {"sigstore-kms-hashivault", "v1", "{}"},
		{"sigstore-kms-hashivault", "v1", `{"initOptions":{"keyResourceID":"../x"},"methodName":"publicKey"}`},
	} {
		var out strings.Builder
		if err := run(t.Context(), args, strings.NewReader(""), &out); err == nil {
			t.Errorf("%s: no error, answer %s", fmt.Sprint(args), out.String())
		}
	}
}
