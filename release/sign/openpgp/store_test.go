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

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/release/sign/openpgp"
)

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
	client, err := oci.HTTPClient(oci.WithPatience(3, time.Millisecond, 5*time.Millisecond, time.Minute))
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
