package oci

import (
	"fmt"
	"net/http"
	"regexp"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

var blobURL = regexp.MustCompile(`^/v2/(.+)/blobs/[^/]+$`)

// renew sends a request for a blob once more that was already granted, and is
// refused now: its token has expired, or so has the place that the registry had
// sent it to.
func (r *Registry) renew(refused *http.Request) (*http.Response, error) {
	first := refused
	for first.Response != nil && first.Response.Request != nil { // what redirected it
		first = first.Response.Request
	}
	path := blobURL.FindStringSubmatch(first.URL.Path)
	if path == nil {
		return nil, fmt.Errorf("%s is no blob of a registry", first.URL.Path)
	}
	var opts []name.Option
	if first.URL.Scheme == "http" {
		opts = append(opts, name.Insecure)
	}
	repo, err := name.NewRepository(first.URL.Host+"/"+path[1], opts...)
	if err != nil {
		return nil, err
	}
	ctx := refused.Context()
	client, err := r.client(ctx, repo, []string{transport.PullScope})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, first.URL.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Range", refused.Header.Get("Range"))
	return client.Do(req)
}
