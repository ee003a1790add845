package inspect

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/slipway-release/slipway/internal/oci"
)

// errBrokeOff says that the bytes of a layer stopped coming.
var errBrokeOff = errors.New("reading broke off")

// isDamage tells an image that is not there, or is not what its digest says, from
// a source that could not be read, which says nothing about the image.
func isDamage(err error) bool {
	if errors.Is(err, oci.ErrNotFound) || errors.Is(err, oci.ErrDamaged) || errors.Is(err, fs.ErrNotExist) {
		return true
	}
	if errors.Is(err, errBrokeOff) {
		return false
	}
	// What the libraries below say of blobs is not in oci's words.
	var status *transport.Error
	if errors.As(err, &status) && status.StatusCode == http.StatusNotFound {
		return true
	}
	var request *url.Error
	var network net.Error
	var file *fs.PathError
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, io.ErrUnexpectedEOF):
		return false
	case errors.As(err, &status), errors.As(err, &request), errors.As(err, &network), errors.As(err, &file):
		return false
	}
	return true
}

// digestOf returns the digest a pull spec ends in, or "".
func digestOf(ref string) string {
	_, digest, _ := strings.Cut(ref, "@")
	if _, err := name.NewDigest(ref); err != nil {
		return ""
	}
	return digest
}
