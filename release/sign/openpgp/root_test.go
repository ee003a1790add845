package openpgp_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/releasetest"
	"github.com/slipway-release/slipway/release/sign/openpgp"
)

// rootMap writes a ConfigMap with the annotation of a trust root.
func rootMap(name string, data map[string]string) string {
	var b strings.Builder
	b.WriteString("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: " + name + "\n  namespace: openshift-config-managed\n  annotations:\n    release.openshift.io/verification-config-map: \"\"\ndata:\n")
	for key, value := range data {
		fmt.Fprintf(&b, "  %s: |\n    %s\n", key, strings.ReplaceAll(strings.TrimSpace(value), "\n", "\n    "))
	}
	return b.String()
}

func payloadWith(t *testing.T, files ...releasetest.File) *release.Payload {
	t.Helper()
	spec := releasetest.Small("4.19.0")
	spec.Manifests = append(spec.Manifests, files...)
	p, err := release.Load(t.Context(), spec.Image(t))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func armored(t *testing.T, s *openpgp.Signer) string {
	t.Helper()
	data, err := s.Armor()
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestFindRoot(t *testing.T) {
	first, second := signer(t), signer(t)
	whole := map[string]string{"verifier-public-key-a": armored(t, first), "verifier-public-key-b": armored(t, second), "store-x": "https://example.com/x", "store-a": "file:///signatures", "other": "is left alone"}
	p := payloadWith(t,
		releasetest.File{Name: "0000_90_cvo_second.yaml", Data: []byte(rootMap("second", map[string]string{"store-b": "https://example.com/b"}))},
		releasetest.File{Name: "0000_80_cvo_first.yaml", Data: []byte("apiVersion: v1\nkind: Namespace\nmetadata: {name: x}\n---\n" + rootMap("first", whole))},
		releasetest.File{Name: "0000_10_cvo_text.txt", Data: []byte("verification-config-map")})
	root, err := openpgp.FindRoot(p)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"file:///signatures", "https://example.com/x"}, root.Stores); diff != "" {
		t.Error(diff)
	}
	for name, s := range map[string]*openpgp.Signer{"verifier-public-key-a": first, "verifier-public-key-b": second} {
		if diff := cmp.Diff(s.Verifier().Trusted(), root.Keyrings[name].Trusted()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if len(root.Keyrings) != 2 || root.Version.String() != "4.19.0" || root.Digests[0] != p.Digest {
		t.Errorf("%+v", root)
	}
	stores, err := openpgp.StoresOf(p, http.DefaultClient)
	if err != nil || len(stores) != 2 || stores[0].String() != "/signatures" {
		t.Errorf("stores are %v, %v", stores, err)
	}
	if stores, err := openpgp.StoresOf(payloadWith(t), http.DefaultClient); err != nil || len(stores) != 0 {
		t.Errorf("of a payload without root, stores are %v, %v", stores, err)
	}
}

func TestRootsThatAreWrong(t *testing.T) {
	key, store := armored(t, signer(t)), "https://example.com/x"
	for says, files := range map[string][]releasetest.File{
		"no ConfigMap in it is annotated": nil,
		"must have a keyring":             {{Name: "0000_50_a_root.yaml", Data: []byte(rootMap("a", map[string]string{"store-a": store}))}},
		"and a store":                     {{Name: "0000_50_a_root.yaml", Data: []byte(rootMap("a", map[string]string{"verifier-public-key-a": key}))}},
		"verifier-public-key-a: ":         {{Name: "0000_50_a_root.yaml", Data: []byte(rootMap("a", map[string]string{"store-a": store, "verifier-public-key-a": "no key"}))}},
		"0000_50_a_root.yaml: it is no":   {{Name: "0000_50_a_root.yaml", Data: []byte("release.openshift.io/verification-config-map: [")}},
	} {
		if _, err := openpgp.FindRoot(payloadWith(t, files...)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("want %q, got %v", says, err)
		}
	}
	for _, location := range []string{"signatures", "ftp://example.com/x"} {
		root := openpgp.Root{Stores: []string{location}}
		if _, err := root.Open(http.DefaultClient); err == nil {
			t.Errorf("store %q was opened", location)
		}
	}
}

func TestCollect(t *testing.T) {
	s := signer(t)
	dir := openpgp.Dir(t.TempDir())
	one, err := s.Sign(t.Context(), claimAbout(t, digest))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := dir.Add(digest, one); err != nil {
			t.Fatal(err)
		}
	}
	messages, err := openpgp.Collect(t.Context(), digest, dir, dir)
	if err != nil || len(messages) != 1 {
		t.Errorf("%d messages, %v", len(messages), err)
	}
	if _, err := openpgp.Collect(t.Context(), other, dir); err == nil || !strings.Contains(err.Error(), "no signature store has any") {
		t.Error(err)
	}
	if _, err := openpgp.Collect(t.Context(), digest, dir, openpgp.Dir("/nonexistent")); err == nil {
		t.Error("a store that cannot be read was passed over")
	}
}

// TestConfigMapFile writes the file that oc writes, which is JSON by its name.
func TestConfigMapFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), openpgp.ConfigMapFile(digest))
	if filepath.Base(path) != "signature-sha256-abababababababab.json" {
		t.Errorf("the file is %s", path)
	}
	for n, m := range [][]byte{[]byte("one"), []byte("two"), []byte("one")} {
		keys, err := openpgp.AddToConfigMap(path, digest, m)
		if err != nil || keys[0] != fmt.Sprintf("sha256-%s-%d", digest.Hex, []int{1, 2, 1}[n]) {
			t.Errorf("%v, %v", keys, err)
		}
	}
	var m struct {
		Metadata struct{ Name, Namespace string }
		// BinaryData is base64 in JSON.
		BinaryData map[string][]byte
	}
	readJSON(t, path, &m)
	if m.Metadata.Name != "sha256-"+digest.Hex || m.Metadata.Namespace != "openshift-config-managed" || len(m.BinaryData) != 2 {
		t.Errorf("%+v", m)
	}
	store, err := openpgp.LoadConfigMaps(path)
	if err != nil {
		t.Fatal(err)
	}
	if found, err := store.Messages(t.Context(), digest); err != nil || len(found) != 2 || string(found[1].Message) != "two" {
		t.Errorf("%v, %v", found, err)
	}
}
