package sign

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/sigstore/cosign/v2/pkg/cosign"

	"github.com/slipway-release/slipway/internal/state"
)

// The files of a key directory. The names are those that the cosign command
// uses itself.
const (
	privateFile  = "cosign.key"      // encrypted, PEM, mode 0600
	publicFile   = "cosign.pub"      // PEM
	passwordFile = "cosign.password" // mode 0600; missing when the caller knows the password
	rootFile     = "trusted-root.json"
	lockFile     = ".lock"
)

// emptyTrustedRoot names no certificate authority and no transparency log: with
// a key pair there are none to trust.
const emptyTrustedRoot = `{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}` + "\n"

// LoadOrCreateKey opens the key pair in dir, and makes one where there is none.
// password opens cosign.key; when it is empty, cosign.password does, which is
// made together with the pair. Two processes at once make one pair.
func LoadOrCreateKey(dir, password string) (*Signer, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening signing keys in %q: %w", dir, err)
	}
	unlock, err := lock(filepath.Join(dir, lockFile))
	if err != nil {
		return nil, fmt.Errorf("opening signing keys in %q: %w", dir, err)
	}
	defer unlock()

	encrypted, err := os.ReadFile(filepath.Join(dir, privateFile))
	if errors.Is(err, fs.ErrNotExist) {
		encrypted, err = create(dir, password)
	}
	if err != nil {
		return nil, fmt.Errorf("opening signing keys in %q: %w", dir, err)
	}
	signer, err := open(dir, encrypted, password)
	if err != nil {
		return nil, fmt.Errorf("opening signing key %q: %w", filepath.Join(dir, privateFile), err)
	}
	if err := signer.publish(dir); err != nil {
		return nil, fmt.Errorf("opening signing keys in %q: %w", dir, err)
	}
	return signer, nil
}

// lock waits until no other process makes keys there. The kernel gives the lock
// back when a process dies.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

// create makes a pair and returns the encrypted private key. The password is
// stored first: a key without its password would be lost.
func create(dir, password string) ([]byte, error) {
	if _, err := os.Stat(filepath.Join(dir, publicFile)); err == nil {
		return nil, fmt.Errorf("%s is there and %s is not; bring the private key back, or remove the public one to start anew", publicFile, privateFile)
	}
	if password == "" {
		password = rand.Text()
		if err := state.WriteFile(filepath.Join(dir, passwordFile), []byte(password+"\n"), 0o600); err != nil {
			return nil, err
		}
	}
	pair, err := cosign.GenerateKeyPair(func(bool) ([]byte, error) { return []byte(password), nil })
	if err != nil {
		return nil, err
	}
	return pair.PrivateBytes, state.WriteFile(filepath.Join(dir, privateFile), pair.PrivateBytes, 0o600)
}

// open decrypts the private key with the caller's password or the stored one.
func open(dir string, encrypted []byte, password string) (*Signer, error) {
	var passwords [][]byte
	if password != "" {
		passwords = append(passwords, []byte(password))
	}
	stored, err := os.ReadFile(filepath.Join(dir, passwordFile))
	switch {
	case err == nil:
		passwords = append(passwords, bytes.TrimRight(stored, "\r\n"))
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	case len(passwords) == 0:
		return nil, errors.New("there is no password for it; set COSIGN_PASSWORD")
	}
	for _, p := range passwords {
		if key, err := cosign.LoadPrivateKey(encrypted, p, nil); err == nil {
			return newSigner(context.Background(), key)
		}
	}
	return nil, errors.New("it cannot be decrypted with the password that was given, or is damaged")
}

// publish writes what others need in order to verify, if it is not there.
func (s *Signer) publish(dir string) error {
	path := filepath.Join(dir, publicFile)
	stored, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := state.WriteFile(path, s.PublicKey(), 0o644); err != nil {
			return err
		}
	case err != nil:
		return err
	case !bytes.Equal(bytes.TrimSpace(stored), bytes.TrimSpace(s.PublicKey())):
		return fmt.Errorf("%s is not the public half of %s", publicFile, privateFile)
	}
	root := filepath.Join(dir, rootFile)
	if _, err := os.Stat(root); errors.Is(err, fs.ErrNotExist) {
		return state.WriteFile(root, []byte(emptyTrustedRoot), 0o644)
	}
	return nil
}

// LoadKeyDir trusts the public key that LoadOrCreateKey left in dir. The error
// wraps fs.ErrNotExist when there is none yet.
func LoadKeyDir(dir string) (*Verifier, error) { return LoadVerifier(filepath.Join(dir, publicFile)) }
