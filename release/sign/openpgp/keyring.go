package openpgp

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	pgp "github.com/ProtonMail/go-crypto/openpgp/v2"
)

// maxKeyring bounds a file with public keys, in bytes.
const maxKeyring = 8 << 20

// Verifier trusts the keys of keyrings, any of which will do. It is safe for
// concurrent use.
type Verifier struct {
	keys pgp.EntityList
	now  func() time.Time
}

// NewVerifier trusts the public keys in keyrings, armored or binary, as
// `gpg --export` writes them.
func NewVerifier(keyrings ...[]byte) (*Verifier, error) {
	v := &Verifier{now: time.Now}
	for i, data := range keyrings {
		keys, err := parseKeyring(data)
		if err != nil {
			return nil, fmt.Errorf("reading keyring %d: %w", i+1, err)
		}
		v.keys = append(v.keys, keys...)
	}
	if len(v.keys) == 0 {
		return nil, errors.New("reading keyrings: none was given, so nothing can be trusted")
	}
	return v, nil
}

// LoadVerifier trusts the public keys in files.
func LoadVerifier(paths ...string) (*Verifier, error) {
	v := &Verifier{now: time.Now}
	for _, path := range paths {
		data, err := readFile(path, maxKeyring)
		if err != nil {
			return nil, fmt.Errorf("reading keyring: %w", err)
		}
		one, err := NewVerifier(data)
		if err != nil {
			return nil, fmt.Errorf("reading keyring %q: %w", path, errors.Unwrap(err))
		}
		v.keys = append(v.keys, one.keys...)
	}
	if len(v.keys) == 0 {
		return nil, errors.New("reading keyrings: none was given, so nothing can be trusted")
	}
	return v, nil
}

// AnyOf trusts whatever one of several verifiers trusts. Nil ones are left out.
func AnyOf(verifiers ...*Verifier) *Verifier {
	all := &Verifier{now: time.Now}
	for _, v := range verifiers {
		if v != nil {
			all.keys, all.now = append(all.keys, v.keys...), v.now
		}
	}
	return all
}

// At returns a verifier that takes t for the present time.
func (v *Verifier) At(t time.Time) *Verifier {
	return &Verifier{keys: v.keys, now: func() time.Time { return t }}
}

// Trusted returns the fingerprints of the trusted keys, in upper case.
func (v *Verifier) Trusted() []string {
	var all []string
	for _, e := range v.keys {
		if id := fingerprint(e); !slices.Contains(all, id) {
			all = append(all, id)
		}
	}
	return all
}

func fingerprint(e *pgp.Entity) string { return fmt.Sprintf("%X", e.PrimaryKey.Fingerprint) }

// parseKeyring reads all keys of a file; armored ones may stand one behind the
// other.
func parseKeyring(data []byte) (keys pgp.EntityList, err error) {
	defer func() {
		if recover() != nil {
			keys, err = nil, errors.New("it is damaged")
		}
	}()
	if !bytes.Contains(data, []byte("-----BEGIN PGP")) {
		if keys, err = pgp.ReadKeyRing(bytes.NewReader(data)); err != nil || len(keys) == 0 {
			return nil, fmt.Errorf("it holds no OpenPGP key that can be read (%v); write it with gpg --export", err)
		}
		return keys, nil
	}
	for r := bufio.NewReader(bytes.NewReader(data)); ; {
		block, err := armor.Decode(r)
		if errors.Is(err, io.EOF) && len(keys) > 0 {
			return keys, nil
		}
		if err != nil {
			return nil, fmt.Errorf("it holds no OpenPGP key that can be read (%v); write it with gpg --armor --export", err)
		}
		if !strings.HasSuffix(block.Type, "KEY BLOCK") {
			return nil, fmt.Errorf("it holds a %s where a key should be", block.Type)
		}
		some, err := pgp.ReadKeyRing(block.Body)
		if err != nil {
			return nil, fmt.Errorf("it holds an OpenPGP key that cannot be read: %w", err)
		}
		keys = append(keys, some...)
	}
}

// readFile reads a file that may have limit bytes at most.
func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s has more than the %d bytes allowed", path, limit)
	}
	return data, nil
}
