package oci

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// clientKey says what a client may do; the clients are kept, for each costs two
// requests at least.
type clientKey struct {
	registry name.Registry
	scopes   string
}

// client returns an HTTP client that may do what the actions say in a
// repository, and read from others of the same registry.
func (r *Registry) client(ctx context.Context, repo name.Repository, actions []string, readable ...name.Repository) (*http.Client, error) {
	scopes := make([]string, 0, len(actions)+len(readable))
	for _, a := range actions {
		scopes = append(scopes, repo.Scope(a))
	}
	for _, other := range readable {
		scopes = append(scopes, other.Scope(transport.PullScope))
	}
	key := clientKey{repo.Registry, strings.Join(scopes, " ")}
	if known, ok := r.clients.Load(key); ok {
		return known.(*http.Client), nil
	}
	auth := authn.Anonymous
	if r.keychain != nil {
		found, err := authn.Resolve(ctx, r.keychain, repo)
		if err != nil {
			return nil, err
		}
		auth = found
	}
	rt, err := r.authorized(ctx, repo.Registry, auth, scopes)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: rt}
	r.clients.Store(key, client)
	return client, nil
}

// authorized returns what carries requests with the permissions that the scopes
// name.
func (r *Registry) authorized(ctx context.Context, registry name.Registry, auth authn.Authenticator, scopes []string) (http.RoundTripper, error) {
	challenge, err := r.challenge(ctx, registry)
	if err != nil {
		return nil, err
	}
	if strings.EqualFold(challenge.Scheme, "bearer") {
		return transport.NewWithContext(ctx, registry, auth, r.transport, scopes)
	}
	rt, err := transport.FromToken(registry, auth, r.transport, challenge, &transport.Token{})
	if err != nil {
		return nil, err
	}
	return &schemed{inner: rt, host: registry.RegistryStr(), insecure: challenge.Insecure}, nil
}

// challenge asks the registry once how it wants to be reached.
func (r *Registry) challenge(ctx context.Context, registry name.Registry) (*transport.Challenge, error) {
	unlock := r.writers.lock(registry.Name())
	defer unlock()
	if known, ok := r.challenges.Load(registry); ok {
		return known.(*transport.Challenge), nil
	}
	challenge, err := transport.Ping(ctx, registry, r.transport)
	if err != nil {
		return nil, err
	}
	r.challenges.Store(registry, challenge)
	return challenge, nil
}

// schemed reaches a registry by the scheme that it answered to.
type schemed struct {
	inner    http.RoundTripper
	host     string
	insecure bool
}

var _ http.RoundTripper = (*schemed)(nil)

// RoundTrip implements http.RoundTripper.
func (s *schemed) RoundTrip(req *http.Request) (*http.Response, error) {
	scheme := "https"
	if s.insecure {
		scheme = "http"
	}
	if req.URL.Host != s.host || req.URL.Scheme == scheme {
		return s.inner.RoundTrip(req)
	}
	changed := req.Clone(req.Context())
	changed.URL.Scheme = scheme
	return s.inner.RoundTrip(changed)
}

// urlOf returns a URL below a repository, such as "blobs/sha256:…".
func urlOf(repo name.Repository, path string) string {
	return fmt.Sprintf("%s://%s/v2/%s/%s", repo.Scheme(), repo.RegistryStr(), repo.RepositoryStr(), path)
}
