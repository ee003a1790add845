package openpgp

import (
	"bytes"
	"fmt"

	pgp "github.com/ProtonMail/go-crypto/openpgp/v2"
)

// Detach signs data with the private key in a file, and returns the signature
// apart from it, in armor, as `gpg --armor --detach-sign` does.
func Detach(path, passphrase string, data []byte) ([]byte, error) {
	key, err := readFile(path, maxKeyring)
	if err != nil {
		return nil, fmt.Errorf("opening OpenPGP key: %w", err)
	}
	entity, config, err := openKey(key, passphrase)
	if err != nil {
		return nil, fmt.Errorf("opening OpenPGP key %q: %w", path, err)
	}
	var out bytes.Buffer
	if err := pgp.ArmoredDetachSign(&out, []*pgp.Entity{entity}, bytes.NewReader(data), &pgp.SignParams{Config: config}); err != nil {
		return nil, fmt.Errorf("signing with OpenPGP key %q: %w", path, err)
	}
	return append(out.Bytes(), '\n'), nil
}
