package openpgp

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-release/slipway/release"
)

// What makes a ConfigMap in a payload the trust root of clusters that are at it.
const (
	rootAnnotation  = "release.openshift.io/verification-config-map"
	rootKeyPrefix   = "verifier-public-key-"
	rootStorePrefix = "store-"
)

// Root is the trust root that a payload brings: whom a cluster at it believes about
// the next payload, and where it looks for their signatures. It says nothing about
// the payload it is in.
type Root struct {
	// Version and Digests are those of the payload; of one image of an index, the
	// caller adds the digest of the index.
	Version release.Version
	Digests []v1.Hash
	// Keyrings must have signed, each of them: any key of a keyring will do.
	Keyrings map[string]*Verifier // by key of the ConfigMap
	// Stores are locations for OpenStore, sorted by key of the ConfigMap.
	Stores []string
}

// FindRoot reads the trust root of a payload: the first ConfigMap, by name of file,
// that is annotated release.openshift.io/verification-config-map. It must have a
// keyring, verifier-public-key-…, and a store, store-….
func FindRoot(p *release.Payload) (*Root, error) {
	m, file, err := rootConfigMap(p)
	if err == nil && m == nil {
		err = fmt.Errorf("no ConfigMap in it is annotated %s", rootAnnotation)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the trust root of payload %s: %w", p.Version, err)
	}
	root, err := m.root()
	if err != nil {
		return nil, fmt.Errorf("reading the trust root of payload %s, %s: %w", p.Version, file, err)
	}
	root.Version, root.Digests = p.Version, []v1.Hash{p.Digest}
	return root, nil
}

func rootConfigMap(p *release.Payload) (*configMap, string, error) {
	for _, f := range p.Manifests {
		// Most files are of something else, and some are no YAML.
		if !bytes.Contains(f.Data, []byte(rootAnnotation)) {
			continue
		}
		maps, err := ParseConfigMaps(f.Data)
		if err != nil {
			return nil, "", fmt.Errorf("%s: %w", f.Name, err)
		}
		for i, m := range maps.items {
			if _, ok := m.Metadata.Annotations[rootAnnotation]; ok {
				return &maps.items[i], f.Name, nil
			}
		}
	}
	return nil, "", nil
}

func (m *configMap) root() (*Root, error) {
	root := &Root{Keyrings: map[string]*Verifier{}}
	for _, key := range slices.Sorted(maps.Keys(m.Data)) {
		value := m.Data[key]
		switch {
		case strings.HasPrefix(key, rootKeyPrefix):
			keyring, err := NewVerifier([]byte(value))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", key, err)
			}
			root.Keyrings[key] = keyring
		case strings.HasPrefix(key, rootStorePrefix):
			root.Stores = append(root.Stores, strings.TrimSpace(value))
		}
	}
	if len(root.Keyrings) == 0 || len(root.Stores) == 0 {
		return nil, fmt.Errorf("it must have a keyring, %s…, and a store, %s…", rootKeyPrefix, rootStorePrefix)
	}
	return root, nil
}

// StoresOf returns the stores that a payload's trust root names, none when it has no
// root. Whoever reads them believes nothing yet.
func StoresOf(p *release.Payload, client *http.Client) ([]Store, error) {
	m, _, err := rootConfigMap(p)
	if err != nil || m == nil {
		return nil, err
	}
	root, err := m.root()
	if err != nil {
		return nil, fmt.Errorf("reading the trust root of payload %s: %w", p.Version, err)
	}
	return root.Open(client)
}

// Open opens the stores.
func (r *Root) Open(client *http.Client) ([]Store, error) {
	stores := make([]Store, len(r.Stores))
	for i, location := range r.Stores {
		if !strings.Contains(location, "://") {
			return nil, fmt.Errorf("opening signature store %q: a trust root names stores by URL", location)
		}
		var err error
		if stores[i], err = OpenStore(location, client); err != nil {
			return nil, err
		}
	}
	return stores, nil
}
