package policy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/slipway-release/slipway/release/sign"
	"github.com/slipway-release/slipway/release/sign/openpgp"
)

// Policy is what makes a payload trusted.
type Policy struct {
	document
	keys    *sign.Verifier    // of all signers with keys and identities
	keyring *openpgp.Verifier // of all signers with keyrings
	names   map[string]string // of signers, by key id, identity or fingerprint
	stores  []openpgp.Store
	// root is where the trust comes from when another payload brought it.
	root *openpgp.Root
}

// Options say how a policy opens what it names.
type Options struct {
	Dir    string // against which paths of files are resolved
	Keys   sign.KeySource
	Client *http.Client // for stores
}

// Load reads a policy from a file, with the keys it names; paths are relative to
// the file. The error names everything that is wrong.
func Load(ctx context.Context, path string, o Options) (*Policy, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading verification policy: %w", err)
	}
	o.Dir = filepath.Dir(path)
	p, err := Parse(ctx, data, o)
	if err != nil {
		return nil, fmt.Errorf("reading verification policy %q: %w", path, err)
	}
	return p, nil
}

// Parse is Load for what was read already.
func Parse(ctx context.Context, data []byte, o Options) (*Policy, error) {
	d, err := decode(data)
	if err != nil {
		return nil, err
	}
	p := &Policy{document: *d, names: map[string]string{}}
	var found []string
	for _, name := range slices.Sorted(maps.Keys(d.Signers)) {
		if err := p.open(ctx, name, d.Signers[name], o); err != nil {
			found = append(found, fmt.Sprintf("signers.%s: %v", name, err))
		}
	}
	for _, location := range d.Stores {
		if !strings.Contains(location, "://") {
			location = o.path(location)
		}
		store, err := openpgp.OpenStore(location, o.Client)
		if err != nil {
			found = append(found, "stores: "+err.Error())
			continue
		}
		p.stores = append(p.stores, store)
	}
	for _, path := range d.ConfigMaps {
		store, err := openpgp.LoadConfigMaps(o.path(path))
		if err != nil {
			found = append(found, "configMaps: "+err.Error())
			continue
		}
		p.stores = append(p.stores, store)
	}
	return p, problems(found)
}

func (o Options) path(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(o.Dir, path)
}

func (p *Policy) open(ctx context.Context, name string, s *signer, o Options) error {
	if s.openPGP() {
		keyring, err := s.openKeyring(o)
		if err != nil {
			return err
		}
		p.keyring = openpgp.AnyOf(p.keyring, keyring)
		return p.call(name, keyring.Trusted())
	}
	verifier, err := s.openKey(ctx, o)
	if err != nil {
		return err
	}
	p.keys = sign.AnyOf(p.keys, verifier)
	return p.call(name, verifier.Trusted())
}

func (s *signer) openKeyring(o Options) (*openpgp.Verifier, error) {
	if s.OpenPGPArmor != "" {
		return openpgp.NewVerifier([]byte(s.OpenPGPArmor))
	}
	return openpgp.LoadVerifier(o.path(s.OpenPGP))
}

func (s *signer) openKey(ctx context.Context, o Options) (*sign.Verifier, error) {
	switch {
	case s.KeyPEM != "":
		return sign.NewVerifier([]byte(s.KeyPEM))
	case s.Identity != nil:
		trusted, err := os.ReadFile(o.path(s.TrustedRoot))
		if err != nil {
			return nil, err
		}
		return sign.NewIdentityVerifier(sign.Identity(*s.Identity), trusted)
	case strings.Contains(s.Key, "://"):
		return o.Keys.Verifier(ctx, s.Key)
	}
	return o.Keys.Verifier(ctx, o.path(s.Key))
}

// call gives keys a signer's name. A key of two signers would count twice.
func (p *Policy) call(name string, ids []string) error {
	for _, id := range ids {
		if other, taken := p.names[id]; taken {
			return fmt.Errorf("it has the key %s, which is signer %q's already", id, other)
		}
		p.names[id] = name
	}
	return nil
}

// AnyOf is the policy of whoever only knows whom to trust: one signature of any
// of them, which claims the version, is enough.
func AnyOf(keys *sign.Verifier, keyring *openpgp.Verifier, stores ...openpgp.Store) (*Policy, error) {
	p := &Policy{document: document{APIVersion: apiVersion, Kind: kind, Bind: &[]string{"version"}}, keys: keys, keyring: keyring, names: map[string]string{}, stores: stores}
	var all []string
	if keys != nil {
		all = append(all, keys.Trusted()...)
	}
	if keyring != nil {
		all = append(all, keyring.Trusted()...)
	}
	if len(all) == 0 {
		return nil, errors.New("nobody is trusted, so nothing can be verified")
	}
	for _, id := range all {
		p.names[id] = id
	}
	p.Signatures = []quorum{{AnyOf: all}}
	return p, nil
}

// Following is the policy of a cluster that is at the payload which brought the trust
// root: each of the root's keyrings must have signed, and what a signature claims must
// be so. The root's own payload is refused, in whatever form: nobody vouches for
// himself.
func Following(root *openpgp.Root, stores ...openpgp.Store) (*Policy, error) {
	if len(root.Keyrings) == 0 {
		return nil, errors.New("the trust root has no keyring, so nothing can be verified")
	}
	p := &Policy{document: document{APIVersion: apiVersion, Kind: kind, Bind: &[]string{}}, names: map[string]string{}, stores: stores, root: root}
	for _, name := range slices.Sorted(maps.Keys(root.Keyrings)) {
		keyring := root.Keyrings[name]
		p.keyring = openpgp.AnyOf(p.keyring, keyring)
		for _, id := range keyring.Trusted() {
			p.names[id] = id
		}
		p.Signatures = append(p.Signatures, quorum{AnyOf: keyring.Trusted()})
	}
	return p, nil
}

// vouches says why the payload that the trust comes from is not judged by it; "" for
// any other payload.
func (p *Policy) vouches(s Subject) string {
	if p.root == nil {
		return ""
	}
	_, digest, _ := strings.Cut(s.Reference, "@")
	for _, own := range p.root.Digests {
		if own.String() == digest {
			return "it is the payload that says whom to trust, and cannot vouch for itself"
		}
	}
	if s.Version.String() == p.root.Version.String() {
		return "it is of the same release as the payload that says whom to trust, which cannot vouch for itself"
	}
	return ""
}

// AddStores has the policy look into more stores of OpenPGP messages.
func (p *Policy) AddStores(stores ...openpgp.Store) { p.stores = append(p.stores, stores...) }
