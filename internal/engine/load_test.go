package engine

import (
	"bytes"
	"errors"
	"io"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// TestOffer reads an image back through the protocol that engines speak.
func TestOffer(t *testing.T) {
	img, err := random.Image(1<<20, 3)
	if err != nil {
		t.Fatal(err)
	}
	got, err := offered(t, img)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(got); err != nil {
		t.Error(err)
	}
}

func TestOfferRefusesOthers(t *testing.T) {
	img, err := random.Image(10, 1)
	if err != nil {
		t.Fatal(err)
	}
	o, err := newOffer(img)
	if err != nil {
		t.Fatal(err)
	}
	none := "sha256:" + strings.Repeat("0", 64)
	for _, path := range []string{"/v2/slipway/load/manifests/latest", "/v2/slipway/load/manifests/" + none, "/v2/slipway/load/blobs/" + none, "/v2/other/blobs/" + none} {
		w := httptest.NewRecorder()
		o.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != 404 {
			t.Errorf("GET %s: %d, want 404", path, w.Code)
		}
	}
}

// TestOfferBrokenLayer: a layer that cannot be read to its end is not taken for
// a whole one, and the reason is kept.
func TestOfferBrokenLayer(t *testing.T) {
	img, err := random.Image(10, 1)
	if err != nil {
		t.Fatal(err)
	}
	img, err = mutate.AppendLayers(img, brokenLayer{})
	if err != nil {
		t.Fatal(err)
	}
	o, err := newOffer(img)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(o)
	defer server.Close()
	digest, _ := brokenLayer{}.Digest()
	resp, err := server.Client().Get(server.URL + "/v2/" + loadRepository + "/blobs/" + digest.String())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.ReadAll(resp.Body); err == nil {
		t.Error("a cut layer was read to its end")
	}
	if err := o.failure(); !errors.Is(err, errDisk) {
		t.Errorf("failure %v, want %v", err, errDisk)
	}
}

func offered(t *testing.T, img v1.Image) (v1.Image, error) {
	t.Helper()
	o, err := newOffer(img)
	if err != nil {
		return nil, err
	}
	server := httptest.NewServer(o)
	t.Cleanup(server.Close)
	digest, err := img.Digest()
	if err != nil {
		return nil, err
	}
	ref, err := name.NewDigest(strings.TrimPrefix(server.URL, "http://") + "/" + loadRepository + "@" + digest.String())
	if err != nil {
		return nil, err
	}
	return remote.Image(ref)
}

var errDisk = errors.New("disk on fire")

// brokenLayer says that it has 100 bytes and gives ten.
type brokenLayer struct{}

func (brokenLayer) Digest() (v1.Hash, error) {
	return v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("b", 64)}, nil
}
func (brokenLayer) DiffID() (v1.Hash, error) { return brokenLayer{}.Digest() }
func (brokenLayer) Compressed() (io.ReadCloser, error) {
	return io.NopCloser(io.MultiReader(bytes.NewReader(make([]byte, 10)), failingReader{})), nil
}
func (brokenLayer) Uncompressed() (io.ReadCloser, error) { return brokenLayer{}.Compressed() }
func (brokenLayer) Size() (int64, error)                 { return 100, nil }
func (brokenLayer) MediaType() (types.MediaType, error)  { return types.OCILayer, nil }

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errDisk }
