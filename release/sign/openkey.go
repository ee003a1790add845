package sign

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/sigstore/cosign/v2/pkg/cosign"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature/kms"
	"github.com/sigstore/sigstore/pkg/signature/options"
)

// envScheme begins a reference to a key in an environment variable, as the
// cosign command has it.
const envScheme = "env://"

// maxKeyFile bounds a key in a file, in bytes.
const maxKeyFile = 1 << 20

// KeySource says how keys are found that are given by reference:
//
//	FILE                     PEM
//	env://NAME               PEM in an environment variable
//	awskms://…, gcpkms://…,  a key that never leaves its service, reached through a
//	azurekms://…,            plugin of sigstore: the program sigstore-kms-awskms
//	hashivault://…           and so on in PATH (cmd/slipway-kms is one for these)
type KeySource struct {
	Getenv   func(string) string // os.Getenv when nil
	Password string              // of private keys in files and variables
}

// read returns the PEM that a reference names.
func (k KeySource) read(reference string) ([]byte, error) {
	if name, ok := strings.CutPrefix(reference, envScheme); ok {
		getenv := k.Getenv
		if getenv == nil {
			getenv = os.Getenv
		}
		value := getenv(name)
		if value == "" {
			return nil, fmt.Errorf("the environment variable %s is not set", name)
		}
		return []byte(value), nil
	}
	f, err := os.Open(reference)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	pem, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err == nil && len(pem) > maxKeyFile {
		err = fmt.Errorf("it has more than the %d bytes allowed", maxKeyFile)
	}
	return pem, err
}

// isService tells keys in a service from those that are read.
func isService(reference string) bool {
	return strings.Contains(reference, "://") && !strings.HasPrefix(reference, envScheme)
}

func openService(ctx context.Context, reference string) (kms.SignerVerifier, error) {
	key, err := kms.Get(ctx, reference, crypto.SHA256)
	if missing := (*kms.ProviderNotFoundError)(nil); errors.As(err, &missing) {
		scheme, _, _ := strings.Cut(reference, "://")
		return nil, fmt.Errorf("there is no key service %q: no program sigstore-kms-%s is in PATH; for the well-known services make kms makes it", scheme, scheme)
	}
	return key, err
}

// Signer opens a private key. One in a file or variable is in the encrypted form
// that cosign generate-key-pair writes.
func (k KeySource) Signer(ctx context.Context, reference string) (*Signer, error) {
	signer, err := k.signer(ctx, reference)
	if err != nil {
		return nil, fmt.Errorf("opening signing key %q: %w", reference, err)
	}
	return signer, nil
}

func (k KeySource) signer(ctx context.Context, reference string) (*Signer, error) {
	if isService(reference) {
		key, err := openService(ctx, reference)
		if err != nil {
			return nil, err
		}
		return newSigner(ctx, key)
	}
	pem, err := k.read(reference)
	if err != nil {
		return nil, err
	}
	key, err := cosign.LoadPrivateKey(pem, []byte(k.Password), nil)
	if err != nil {
		return nil, errors.New("it is no private key as cosign generate-key-pair writes it, or COSIGN_PASSWORD is not its password")
	}
	return newSigner(ctx, key)
}

// Verifier trusts the public keys that the references name, any of which will
// do. A service is asked for its public key.
func (k KeySource) Verifier(ctx context.Context, references ...string) (*Verifier, error) {
	v := &Verifier{}
	for _, reference := range references {
		key, err := k.public(ctx, reference)
		if err != nil {
			return nil, fmt.Errorf("reading public key %q: %w", reference, err)
		}
		known, err := trustKey(key)
		if err != nil {
			return nil, fmt.Errorf("reading public key %q: %w", reference, err)
		}
		v.trusted = append(v.trusted, known)
	}
	if len(v.trusted) == 0 {
		return nil, errors.New("reading public keys: none was given, so nothing can be trusted")
	}
	return v, nil
}

func (k KeySource) public(ctx context.Context, reference string) (crypto.PublicKey, error) {
	if isService(reference) {
		key, err := openService(ctx, reference)
		if err != nil {
			return nil, err
		}
		return key.PublicKey(options.WithContext(ctx))
	}
	pem, err := k.read(reference)
	if err != nil {
		return nil, err
	}
	key, err := cryptoutils.UnmarshalPEMToPublicKey(pem)
	if err != nil {
		return nil, fmt.Errorf("it is no public key in PEM: %w", err)
	}
	return key, nil
}

// LoadVerifier trusts the keys in files.
func LoadVerifier(paths ...string) (*Verifier, error) {
	return KeySource{}.Verifier(context.Background(), paths...)
}
