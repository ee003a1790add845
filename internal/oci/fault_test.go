package oci_test

import (
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/oci/ocitest"
)

const canonical = "registry.example.internal/skiff"

// quick is patience for tests: the same number of attempts, shorter pauses.
var quick = oci.WithPatience(6, 5*time.Millisecond, 3*time.Second, 2*time.Minute)

func client(t *testing.T, addr string, opts ...oci.Option) *oci.Registry {
	t.Helper()
	r, err := oci.NewRegistry(canonical, addr, append([]oci.Option{quick}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func newImage(t *testing.T, layers ...int64) v1.Image {
	t.Helper()
	img, err := random.Image(layers[0], int64(len(layers)))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func digestOf(t *testing.T, img v1.Image) string {
	t.Helper()
	h, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return h.String()
}

// readAll reads an image to its last byte, which checks every digest.
var readAll = ocitest.ReadAll

func oneSentence(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("there was no error")
	}
	if strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "http://") {
		t.Errorf("error %q is no sentence", err)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
}
