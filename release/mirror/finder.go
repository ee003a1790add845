package mirror

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/slipway-release/slipway/internal/oci"
)

// finder finds the images that a payload names. A payload that was mirrored
// itself still names the places its images came from; they are then beside it.
type finder struct {
	copier  *copier
	payload string      // the repository the payload is read from
	beside  atomic.Bool // an image was found there and not where the payload says
}

// find reads an image's manifest and says in which repository it is.
func (f *finder) find(ctx context.Context, i *item) (string, manifest, error) {
	var first error
	for _, repository := range f.places(i) {
		m, err := f.copier.read(ctx, repository+"@"+i.digest.String())
		if err == nil {
			if repository == f.payload && repository != repositoryOf(i.pullspec) {
				f.beside.Store(true)
			}
			return repository, m, nil
		}
		if !elsewhere(err) {
			return "", manifest{}, err
		}
		if first == nil {
			first = err
		}
	}
	return "", manifest{}, first
}

// places are where an image is looked for, the likely one first.
func (f *finder) places(i *item) []string {
	named := repositoryOf(i.pullspec)
	switch {
	case named == f.payload:
		return []string{named}
	case f.beside.Load() || hostOf(named) != hostOf(f.payload):
		return []string{f.payload, named}
	}
	return []string{named, f.payload}
}

// elsewhere says whether an answer leaves hope that another place has the image.
func elsewhere(err error) bool {
	var status *transport.Error
	if errors.As(err, &status) && (status.StatusCode == http.StatusForbidden || status.StatusCode == http.StatusUnauthorized) {
		return true
	}
	return errors.Is(err, oci.ErrNotFound)
}
