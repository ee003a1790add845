// Package oci is Slipway's client for image registries: it reads, pushes and
// tags images, and attaches and finds the artifacts that refer to them. It knows
// where a canonical name is really stored, bears with registries that fail for a
// while, and never leaves a tag on an image that is not complete.
//
// It does not build images, and it does not know what a release is. The
// registry that Slipway serves itself is the package registryserver below, so
// that programs which only read do not link it.
package oci

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

const (
	defaultJobs = 8
	// defaultIdle is how long a transfer may stand still. It leaves a slow
	// registry the time to check a large layer before it answers.
	defaultIdle = 2 * time.Minute
)

// Registry reads and writes images by their canonical names, whatever registry
// stores them. It is safe for concurrent use.
type Registry struct {
	canonical string // "registry.slipway.internal/skiff"
	host      string // "127.0.0.1:5000"
	prefix    string // repository that stands for the canonical prefix, "skiff"

	nameOptions []name.Option
	transport   http.RoundTripper
	keychain    authn.Keychain
	options     []remote.Option
	puller      *remote.Puller
	jobs        int
	patience    patience
	mirrors     Mirrors

	mounts  sync.Map   // v1.Hash of a blob → name.Repository that has it
	listing sync.Map   // name.Repository → true where the registry lists referrers
	writers keyedMutex // of what is read, changed and written back

	challenges sync.Map // name.Registry → *transport.Challenge
	clients    sync.Map // clientKey → *http.Client
}

type settings struct {
	keychain authn.Keychain
	insecure bool
	trusted  *x509.CertPool // nil: the system's
	jobs     int
	platform v1.Platform
	patience patience
	mirrors  Mirrors
}

// Option changes how a Registry is reached.
type Option func(*settings) error

// WithInsecure allows plain HTTP, and certificates nobody vouches for, when the
// registry is not on a loopback address; there plain HTTP is always allowed.
func WithInsecure() Option {
	return func(s *settings) error {
		s.insecure = true
		return nil
	}
}

// WithKeychain says where credentials come from, e.g. authn.DefaultKeychain for
// the files of docker login and podman login. The default is none.
func WithKeychain(k authn.Keychain) Option {
	return func(s *settings) error {
		s.keychain = k
		return nil
	}
}

// WithCertificates trusts the certificates given in PEM besides the system's.
func WithCertificates(pem []byte) Option {
	return func(s *settings) error {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(pem) {
			return errors.New("the certificates given hold none in PEM")
		}
		s.trusted = pool
		return nil
	}
}

// WithJobs bounds how many blobs of one image are transferred side by side.
func WithJobs(n int) Option {
	return func(s *settings) error {
		if n < 1 {
			return fmt.Errorf("jobs must be 1 or more, not %d", n)
		}
		s.jobs = n
		return nil
	}
}

// WithPlatform chooses the image that Image returns for a multi-platform index;
// the default is linux/amd64.
func WithPlatform(p v1.Platform) Option {
	return func(s *settings) error {
		s.platform = p
		return nil
	}
}

// WithPatience bounds the retries: the number of attempts at one request or
// blob, the first pause between two of them (it doubles, up to limit), and the
// time without a byte moving after which a transfer counts as dead. A registry
// that names a time in Retry-After is given that time, up to limit.
func WithPatience(attempts int, pause, limit, idle time.Duration) Option {
	return func(s *settings) error {
		if attempts < 1 || pause <= 0 || limit < pause || idle <= 0 {
			return errors.New("patience needs one attempt or more and positive times")
		}
		s.patience = patience{attempts: attempts, pause: pause, limit: limit, idle: idle}
		return nil
	}
}

// NewRegistry returns a client for the images whose names begin with canonical,
// e.g. "registry.slipway.internal/skiff". They are stored at address, which is a
// host with optional port and repository. A bare host keeps the canonical path:
//
//	registry.slipway.internal/skiff/etcd → 127.0.0.1:5000/skiff/etcd   at "127.0.0.1:5000"
//	registry.slipway.internal/skiff/etcd → quay.io/me/dev/etcd         at "quay.io/me/dev"
//
// An empty address says that the canonical names are the real ones.
func NewRegistry(canonical, address string, opts ...Option) (*Registry, error) {
	s := settings{
		jobs:     defaultJobs,
		platform: v1.Platform{OS: "linux", Architecture: "amd64"},
		patience: patience{attempts: 6, pause: 250 * time.Millisecond, limit: 30 * time.Second, idle: defaultIdle},
	}
	for _, o := range opts {
		if err := o(&s); err != nil {
			return nil, fmt.Errorf("reaching registry %q: %w", address, err)
		}
	}
	r := &Registry{canonical: strings.TrimSuffix(canonical, "/"), jobs: s.jobs, patience: s.patience, mirrors: s.mirrors}
	if s.insecure {
		r.nameOptions = append(r.nameOptions, name.Insecure)
	}
	if err := r.place(address); err != nil {
		return nil, err
	}
	wire := newTransport(&s)
	wire.renew = r.renew
	r.keychain, r.transport = s.keychain, wire
	r.options = remoteOptions(&s, r.transport)
	puller, err := remote.NewPuller(r.options...)
	if err != nil {
		return nil, fmt.Errorf("reaching registry %q: %w", address, err)
	}
	r.puller = puller
	return r, nil
}

// place works out where the canonical names are stored.
func (r *Registry) place(address string) error {
	canonical, err := name.NewRepository(r.canonical, name.StrictValidation)
	if err != nil {
		return fmt.Errorf("reading repository %q: it must name a host and a path, such as registry.example.com/skiff", r.canonical)
	}
	if address == "" {
		address = r.canonical
	}
	address = strings.TrimSuffix(address, "/")
	host, path, ok := strings.Cut(address, "/")
	if !ok {
		path = canonical.RepositoryStr()
	}
	if _, err := name.NewRepository(host+"/"+path, name.StrictValidation); err != nil || host == "" {
		return fmt.Errorf("reading registry address %q: it must be HOST[:PORT][/REPOSITORY] without a scheme", address)
	}
	r.host, r.prefix = host, path
	return nil
}

// newTransport lays retries over timeouts over the wire.
func newTransport(s *settings) *retrying {
	return &retrying{inner: &impatient{inner: newBaseTransport(s), idle: s.patience.idle}, patience: s.patience}
}

func remoteOptions(s *settings, t http.RoundTripper) []remote.Option {
	opts := []remote.Option{
		remote.WithTransport(t),
		// The transport above retries, with Retry-After in mind; the library
		// would multiply its attempts.
		remote.WithRetryBackoff(remote.Backoff{Duration: time.Millisecond, Steps: 1}),
		remote.WithJobs(s.jobs),
		remote.WithPlatform(s.platform),
		remote.WithUserAgent("slipway"),
	}
	if s.keychain != nil {
		opts = append(opts, remote.WithAuthFromKeychain(s.keychain))
	}
	return opts
}

// Canonical returns the prefix of all canonical names, without a slash at its end.
func (r *Registry) Canonical() string { return r.canonical }

// Address returns where the canonical prefix is really stored, as
// HOST[:PORT]/REPOSITORY.
func (r *Registry) Address() string { return r.host + "/" + r.prefix }

// Locate returns where a reference is really stored. A canonical reference is
// mapped to the registry's address; any other is foreign and stays as it is.
// The reference must end in a tag or a digest.
func (r *Registry) Locate(ref string) (name.Reference, error) {
	actual := r.actual(ref)
	located, err := name.ParseReference(actual, append(r.nameOptionsFor(actual), name.StrictValidation)...)
	if err != nil {
		return nil, fmt.Errorf("reading image reference %q: it must be HOST/REPOSITORY:TAG or HOST/REPOSITORY@sha256:DIGEST", ref)
	}
	return located, nil
}

// locateRepository is Locate for a name without tag and digest.
func (r *Registry) locateRepository(repository string) (name.Repository, error) {
	actual := r.actual(repository)
	repo, err := name.NewRepository(actual, append(r.nameOptionsFor(actual), name.StrictValidation)...)
	if err != nil {
		return name.Repository{}, fmt.Errorf("reading repository %q: it must be HOST/REPOSITORY", repository)
	}
	return repo, nil
}

// locateDigest is Locate for references that must be pinned.
func (r *Registry) locateDigest(ref string) (name.Digest, error) {
	located, err := r.Locate(ref)
	if err != nil {
		return name.Digest{}, err
	}
	digest, ok := located.(name.Digest)
	if !ok {
		return name.Digest{}, fmt.Errorf("reading image reference %q: it must end in a digest, @sha256:…", ref)
	}
	return digest, nil
}

func (r *Registry) actual(ref string) string {
	rest, ok := strings.CutPrefix(ref, r.canonical)
	if !ok || (rest != "" && !strings.ContainsAny(rest[:1], "/:@")) {
		return ref
	}
	return r.host + "/" + r.prefix + rest
}

// nameOptionsFor applies WithInsecure to our own registry only: a foreign one is
// not to be trusted more because ours is a test registry.
func (r *Registry) nameOptionsFor(actual string) []name.Option {
	if strings.HasPrefix(actual, r.host+"/") {
		return append([]name.Option(nil), r.nameOptions...)
	}
	return nil
}
