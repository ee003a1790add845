package openpgp

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	pgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"github.com/slipway-release/slipway/release/sign"
)

// Signer signs claims with one OpenPGP key. It is safe for concurrent use.
type Signer struct {
	sign   func(ctx context.Context, data []byte) ([]byte, error)
	public *Verifier
}

// NewSigner opens a private key, armored or binary, as
// `gpg --export-secret-keys` writes it. Of several keys it takes the first.
func NewSigner(key []byte, passphrase string) (*Signer, error) {
	signer, err := newSigner(key, passphrase)
	if err != nil {
		return nil, fmt.Errorf("opening OpenPGP key: %w", err)
	}
	return signer, nil
}

// LoadSigner opens the private key in a file.
func LoadSigner(path, passphrase string) (*Signer, error) {
	data, err := readFile(path, maxKeyring)
	if err != nil {
		return nil, fmt.Errorf("opening OpenPGP key: %w", err)
	}
	signer, err := newSigner(data, passphrase)
	if err != nil {
		return nil, fmt.Errorf("opening OpenPGP key %q: %w", path, err)
	}
	return signer, nil
}

func newSigner(key []byte, passphrase string) (*Signer, error) {
	entity, config, err := openKey(key, passphrase)
	if err != nil {
		return nil, err
	}
	public := &bytes.Buffer{}
	if err := entity.Serialize(public); err != nil {
		return nil, err
	}
	verifier, err := NewVerifier(public.Bytes())
	if err != nil {
		return nil, err
	}
	return &Signer{public: verifier, sign: func(_ context.Context, data []byte) ([]byte, error) {
		var out bytes.Buffer
		w, err := pgp.Sign(&out, []*pgp.Entity{entity}, &pgp.FileHints{}, config)
		if err != nil {
			return nil, err
		}
		if _, err := w.Write(data); err != nil {
			return nil, err
		}
		// Closing writes the signature.
		if err := w.Close(); err != nil {
			return nil, err
		}
		return out.Bytes(), nil
	}}, nil
}

// openKey returns the first key of a keyring, ready to sign, and how it signs.
func openKey(key []byte, passphrase string) (*pgp.Entity, *packet.Config, error) {
	keys, err := parseKeyring(key)
	if err != nil {
		return nil, nil, err
	}
	entity := keys[0]
	if entity.PrivateKey == nil {
		return nil, nil, errors.New("it is a public key; write the private one with gpg --export-secret-keys")
	}
	if err := unlock(entity, passphrase); err != nil {
		return nil, nil, err
	}
	config := &packet.Config{DefaultHash: crypto.SHA512}
	if _, ok := entity.SigningKey(config.Now(), config); !ok {
		return nil, nil, fmt.Errorf("key %s cannot sign: it has expired, was revoked, or is for something else", fingerprint(entity))
	}
	return entity, config, nil
}

// unlock decrypts a private key that is protected by a passphrase.
func unlock(entity *pgp.Entity, passphrase string) error {
	locked := entity.PrivateKey.Encrypted
	for _, sub := range entity.Subkeys {
		locked = locked || (sub.PrivateKey != nil && sub.PrivateKey.Encrypted)
	}
	if !locked {
		return nil
	}
	if passphrase == "" {
		return fmt.Errorf("it is protected by a passphrase; set %s", PassphraseVariable)
	}
	if err := entity.DecryptPrivateKeys([]byte(passphrase)); err != nil {
		return fmt.Errorf("the passphrase in %s does not open it", PassphraseVariable)
	}
	return nil
}

// PassphraseVariable is the environment variable that holds the passphrase of an
// OpenPGP key, in the commands that take one.
const PassphraseVariable = "SLIPWAY_OPENPGP_PASSPHRASE"

// GPG says how the gpg command signs: for keys in its agent, or on a card.
type GPG struct {
	Command    string // "gpg" when empty
	Home       string // its home directory; its own default when empty
	User       string // which key: fingerprint, or mail address
	Passphrase string // the agent asks when empty
}

// NewGPGSigner signs by the gpg command.
func NewGPGSigner(ctx context.Context, g GPG) (*Signer, error) {
	args := []string{"--export"}
	if g.User != "" {
		args = append(args, "--", g.User)
	}
	keyring, err := g.run(ctx, nil, args...)
	if err != nil {
		return nil, fmt.Errorf("opening OpenPGP key %q by gpg: %w", g.User, err)
	}
	public, err := NewVerifier(keyring)
	if err != nil {
		return nil, fmt.Errorf("opening OpenPGP key %q by gpg: its keyring has no such key", g.User)
	}
	return &Signer{public: public, sign: func(ctx context.Context, data []byte) ([]byte, error) {
		args := []string{"--compress-algo", "none", "--sign"}
		if g.User != "" {
			args = append([]string{"--local-user", g.User}, args...)
		}
		return g.run(ctx, data, args...)
	}}, nil
}

func (g GPG) run(ctx context.Context, input []byte, args ...string) ([]byte, error) {
	common := []string{"--batch", "--no-tty", "--no-armor"}
	if g.Home != "" {
		common = append(common, "--homedir", g.Home)
	}
	command := g.Command
	if command == "" {
		command = "gpg"
	}
	var secret io.Reader
	if g.Passphrase != "" {
		common = append(common, "--pinentry-mode", "loopback", "--passphrase-fd", "3")
		secret = strings.NewReader(g.Passphrase + "\n")
	}
	c := exec.CommandContext(ctx, command, append(common, args...)...)
	c.Stdin = bytes.NewReader(input)
	var out, messages bytes.Buffer
	c.Stdout, c.Stderr = &out, &messages
	if secret != nil {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		defer r.Close()
		c.ExtraFiles = []*os.File{r}
		// A passphrase fits into the pipe, so that nothing waits for gpg to read it.
		_, err = io.Copy(w, secret)
		if err = errors.Join(err, w.Close()); err != nil {
			return nil, err
		}
	}
	if err := c.Run(); err != nil {
		if text := strings.TrimSpace(messages.String()); text != "" {
			return nil, fmt.Errorf("%w: %s", err, strings.ReplaceAll(text, "\n", "; "))
		}
		return nil, err
	}
	return out.Bytes(), nil
}

// Verifier trusts the signer's own key alone.
func (s *Signer) Verifier() *Verifier { return s.public }

// KnownToClusters says whether clusters can verify what the key signs. Their
// library knows RSA, DSA and ECDSA, and not the Edwards curves.
func (s *Signer) KnownToClusters() bool {
	for _, e := range s.public.keys {
		key, ok := e.SigningKey(s.public.now(), nil)
		if !ok {
			continue
		}
		switch key.PublicKey.PubKeyAlgo {
		case packet.PubKeyAlgoRSA, packet.PubKeyAlgoRSASignOnly, packet.PubKeyAlgoDSA, packet.PubKeyAlgoECDSA:
			return true
		}
	}
	return false
}

// Sign returns a claim as a signed message, and checks the message before it
// hands it out.
func (s *Signer) Sign(ctx context.Context, c Claim) ([]byte, error) {
	data, err := c.JSON()
	if err != nil {
		return nil, err
	}
	message, err := s.sign(ctx, data)
	if err != nil {
		return nil, fmt.Errorf("signing the claim about image %s: %w", c.Digest, err)
	}
	if got := s.public.Check(message, c.Digest, c.Says()); got.Reason != "" {
		return nil, fmt.Errorf("signing the claim about image %s: the message does not verify: %s", c.Digest, got.Reason)
	}
	return message, nil
}

// Armor returns the public key of the signer in armor, to be handed to whoever
// verifies.
func (s *Signer) Armor() ([]byte, error) {
	var out bytes.Buffer
	w, err := armor.Encode(&out, "PGP PUBLIC KEY BLOCK", nil)
	if err != nil {
		return nil, err
	}
	for _, e := range s.public.keys {
		if err := e.Serialize(w); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return append(out.Bytes(), '\n'), nil
}

// Name is the fingerprint of the signer's key.
func (s *Signer) Name() string { return strings.Join(s.public.Trusted(), ", ") }

// Places are where a message is kept; empty ones are left out.
type Places struct {
	Dir       string // store in a directory
	ConfigMap string // file
}

// Kept is where a message is kept now.
type Kept struct {
	Place   string
	Present bool // it was there before
}

// Keep signs a claim and keeps the message in every place that does not have one
// of this signer that says the same.
func (s *Signer) Keep(ctx context.Context, c Claim, in Places) ([]Kept, error) {
	var kept []Kept
	var message []byte
	keep := func(in Store, add func(message []byte) (string, error)) error {
		present, err := s.find(ctx, in, c)
		if err != nil {
			return err
		}
		if present != "" {
			kept = append(kept, Kept{present, true})
			return nil
		}
		if message == nil {
			if message, err = s.Sign(ctx, c); err != nil {
				return err
			}
		}
		place, err := add(message)
		kept = append(kept, Kept{Place: place})
		return err
	}
	if in.Dir != "" {
		if err := os.MkdirAll(in.Dir, 0o755); err != nil {
			return nil, fmt.Errorf("making signature store: %w", err)
		}
		if err := keep(Dir(in.Dir), func(m []byte) (string, error) { return Dir(in.Dir).Add(c.Digest, m) }); err != nil {
			return nil, err
		}
	}
	if in.ConfigMap != "" {
		maps, err := LoadConfigMaps(in.ConfigMap)
		if errors.Is(err, fs.ErrNotExist) {
			maps, err = &ConfigMaps{}, nil
		}
		if err != nil {
			return nil, err
		}
		add := func(m []byte) (string, error) {
			keys, err := AddToConfigMap(in.ConfigMap, c.Digest, m)
			return in.ConfigMap + ": " + strings.Join(keys, ""), err
		}
		if err := keep(maps, add); err != nil {
			return nil, err
		}
	}
	return kept, nil
}

// find returns where a store has a message of this signer that says what c says,
// whenever it was made; "" when it has none.
func (s *Signer) find(ctx context.Context, in Store, c Claim) (string, error) {
	messages, err := in.Messages(ctx, c.Digest)
	if err != nil {
		return "", err
	}
	for _, m := range messages {
		if got := s.public.Check(m.Message, c.Digest, sign.Claim{}); got.Reason == "" && got.Claim == c.Says() {
			return m.Place, nil
		}
	}
	return "", nil
}
