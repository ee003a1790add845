package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/state"
	"github.com/slipway-release/slipway/release/sign"
	"github.com/slipway-release/slipway/release/sign/openpgp"
)

// keySource finds keys that are given by reference.
func (a *app) keySource() sign.KeySource {
	return sign.KeySource{Getenv: a.getenv, Password: a.getenv("COSIGN_PASSWORD")}
}

// verifyKeys are the keys in SLIPWAY_VERIFY_KEYS: separated as in PATH or, so
// that URIs can be among them, by commas.
func (a *app) verifyKeys() []string {
	var keys []string
	for _, part := range strings.FieldsFunc(a.getenv("SLIPWAY_VERIFY_KEYS"), func(r rune) bool { return r == ',' || r == '\n' }) {
		if part = strings.TrimSpace(part); strings.Contains(part, "://") {
			keys = append(keys, part)
			continue
		}
		keys = append(keys, strings.FieldsFunc(part, func(r rune) bool { return r == os.PathListSeparator })...)
	}
	return keys
}

// errNoKey says that nobody said yet whom to trust.
var errNoKey = errors.New("no public key")

// verifier trusts the key pair of the state directory, or the keys in
// SLIPWAY_VERIFY_KEYS.
func (a *app) verifier(st *state.Dir) (*sign.Verifier, error) {
	if keys := a.verifyKeys(); len(keys) > 0 {
		v, err := a.keySource().Verifier(context.Background(), keys...)
		return v, usage(err)
	}
	v, err := sign.LoadKeyDir(st.Keys())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usage(fmt.Errorf("verifying signatures: %s has %w; sign something first, or name keys by --key or in SLIPWAY_VERIFY_KEYS", st.Keys(), errNoKey))
	}
	return v, err
}

// trustFlags say whom to trust.
type trustFlags struct {
	keys        []string
	identity    sign.Identity
	trustedRoot string
}

func (t *trustFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVar(&t.keys, "key", nil, "public key to trust: FILE, env://NAME, or a key service's URI; may be repeated (default: those in SLIPWAY_VERIFY_KEYS, else the own one)")
	f.StringVar(&t.identity.Subject, "certificate-identity", "", "subject of keyless signatures to trust")
	f.StringVar(&t.identity.SubjectRegexp, "certificate-identity-regexp", "", "the same as a regular expression, which must match the whole subject")
	f.StringVar(&t.identity.Issuer, "certificate-oidc-issuer", "", "issuer of the subject's identity")
	f.StringVar(&t.identity.IssuerRegexp, "certificate-oidc-issuer-regexp", "", "the same as a regular expression, which must match the whole issuer")
	f.StringVar(&t.trustedRoot, "trusted-root", "", "file with the certificate authorities and logs that prove the identity (sigstore's trusted_root.json)")
}

// any says whether somebody is named.
func (t *trustFlags) any() bool { return len(t.keys) > 0 || t.identity != (sign.Identity{}) }

// open trusts whom the flags name; nil when they name nobody.
func (t *trustFlags) open(ctx context.Context, a *app) (*sign.Verifier, error) {
	var all *sign.Verifier
	if len(t.keys) > 0 {
		v, err := a.keySource().Verifier(ctx, t.keys...)
		if err != nil {
			return nil, usage(err)
		}
		all = sign.AnyOf(all, v)
	}
	if (t.identity != sign.Identity{}) != (t.trustedRoot != "") {
		return nil, usage(errors.New("trusting an identity: --certificate-identity and --certificate-oidc-issuer need --trusted-root, and the other way round"))
	}
	if t.trustedRoot != "" {
		root, err := os.ReadFile(t.trustedRoot)
		if err != nil {
			return nil, usage(fmt.Errorf("reading --trusted-root: %w", err))
		}
		v, err := sign.NewIdentityVerifier(t.identity, root)
		if err != nil {
			return nil, usage(err)
		}
		all = sign.AnyOf(all, v)
	}
	return all, nil
}

// openOr is open, or whom everything else trusts when the flags name nobody.
func (t *trustFlags) openOr(ctx context.Context, a *app) (*sign.Verifier, error) {
	if v, err := t.open(ctx, a); v != nil || err != nil {
		return v, err
	}
	st, err := a.state()
	if err != nil {
		return nil, err
	}
	return a.verifier(st)
}

// claimFlags say where OpenPGP signatures are, and whom of their signers to
// trust.
type claimFlags struct {
	keyrings   []string
	stores     []string
	configMaps []string
}

func (c *claimFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVar(&c.keyrings, "openpgp-keyring", nil, "file with OpenPGP public keys to trust; may be repeated")
	f.StringArrayVar(&c.stores, "signature-store", nil, "where OpenPGP signatures are: a directory, or a file, http or https URL; may be repeated")
	f.StringArrayVar(&c.configMaps, "signature-config-map", nil, "file with ConfigMaps that hold OpenPGP signatures; may be repeated")
}

func (c *claimFlags) keyring() (*openpgp.Verifier, error) {
	if len(c.keyrings) == 0 {
		return nil, nil
	}
	v, err := openpgp.LoadVerifier(c.keyrings...)
	return v, usage(err)
}

// httpClient reaches stores of signatures the way registries are reached.
func (a *app) httpClient() (*http.Client, error) {
	opts, err := a.registryOptions()
	if err != nil {
		return nil, err
	}
	return oci.HTTPClient(opts...)
}

func (c *claimFlags) openStores(a *app) ([]openpgp.Store, error) {
	client, err := a.httpClient()
	if err != nil {
		return nil, err
	}
	var stores []openpgp.Store
	for _, location := range c.stores {
		store, err := openpgp.OpenStore(location, client)
		if err != nil {
			return nil, usage(err)
		}
		stores = append(stores, store)
	}
	for _, path := range c.configMaps {
		store, err := openpgp.LoadConfigMaps(path)
		if err != nil {
			return nil, usage(err)
		}
		stores = append(stores, store)
	}
	return stores, nil
}

// signerFlags say who signs.
type signerFlags struct {
	key         string
	fulcio      string
	rekor       string
	token       string
	trustedRoot string
}

func (s *signerFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&s.key, "key", "", "private key to sign with: FILE, env://NAME, or a key service's URI, awskms://, gcpkms://, azurekms:// or hashivault:// (default: SLIPWAY_SIGN_KEY, else the own one)")
	f.StringVar(&s.fulcio, "fulcio-url", "", "certificate authority to sign without a key")
	f.StringVar(&s.rekor, "rekor-url", "", "transparency log to sign without a key")
	f.StringVar(&s.token, "identity-token", "", "file or env://NAME with the identity token to sign without a key (default: SIGSTORE_ID_TOKEN)")
	f.StringVar(&s.trustedRoot, "trusted-root", "", "file to verify keyless signatures with before they are stored (sigstore's trusted_root.json)")
}

func (s *signerFlags) keyless() bool { return s.fulcio != "" || s.rekor != "" || s.token != "" }

// named says whether the flags say who signs.
func (s *signerFlags) named() bool { return s.key != "" || s.keyless() }

// open returns the signer that the flags name, or the state directory's own.
func (s *signerFlags) open(ctx context.Context, a *app) (*sign.Signer, error) {
	if s.keyless() {
		return s.openKeyless(ctx, a)
	}
	if key := a.flagOrEnv(s.key, "SLIPWAY_SIGN_KEY"); key != "" {
		signer, err := a.keySource().Signer(ctx, key)
		if err != nil && !strings.Contains(key, "://") {
			err = usage(err)
		}
		return signer, err
	}
	st, err := a.state()
	if err != nil {
		return nil, err
	}
	return a.keys(st)
}

func (s *signerFlags) openKeyless(ctx context.Context, a *app) (*sign.Signer, error) {
	if s.key != "" || s.fulcio == "" || s.rekor == "" {
		return nil, usage(errors.New("signing without a key: it takes both --fulcio-url and --rekor-url, and no --key"))
	}
	token, err := s.readToken(a)
	if err != nil {
		return nil, usage(fmt.Errorf("reading --identity-token: %w", err))
	}
	o := sign.Keyless{FulcioURL: s.fulcio, RekorURL: s.rekor, Token: token}
	if s.trustedRoot != "" {
		if o.TrustedRoot, err = os.ReadFile(s.trustedRoot); err != nil {
			return nil, usage(fmt.Errorf("reading --trusted-root: %w", err))
		}
	}
	return sign.NewKeylessSigner(ctx, o)
}

// readToken never takes the token itself from the command line, where every
// process of the host could read it.
func (s *signerFlags) readToken(a *app) (string, error) {
	name, inEnvironment := strings.CutPrefix(s.token, "env://")
	if s.token == "" {
		name, inEnvironment = "SIGSTORE_ID_TOKEN", true
	}
	if inEnvironment {
		token := strings.TrimSpace(a.getenv(name))
		if token == "" {
			return "", fmt.Errorf("the environment variable %s is not set", name)
		}
		return token, nil
	}
	data, err := os.ReadFile(s.token)
	if err != nil {
		if strings.Count(s.token, ".") == 2 && strings.HasPrefix(s.token, "ey") {
			return "", errors.New("it must name a file or env://NAME, not be the token itself")
		}
		return "", err
	}
	return strings.TrimSpace(string(data)), nil
}
