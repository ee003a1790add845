package openpgp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	pgp "github.com/ProtonMail/go-crypto/openpgp/v2"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-release/slipway/release/sign"
)

// maxMessage bounds a message and the claim in it, in bytes.
const maxMessage = 50 << 10

// Check verifies a message: that a trusted key signed it, that neither key nor
// signature has expired, and that its claim is about digest and is what want
// asks for; empty fields of want may have any value. Reason of what it returns
// is "" when all is well.
func (v *Verifier) Check(message []byte, digest v1.Hash, want sign.Claim) sign.Signature {
	found := sign.Signature{Form: sign.FormOpenPGP}
	data, signer, err := v.open(message)
	// What is not proven is shown all the same: it explains.
	claim, unreadable := ParseClaim(data)
	if unreadable == nil {
		found.Claim = claim.Says()
	}
	if err != nil {
		found.Reason = err.Error()
		return found
	}
	found.SignedBy = []string{signer}
	switch {
	case unreadable != nil:
		found.Reason = "what was signed is not a claim about an image: " + unreadable.Error()
	case claim.Digest != digest:
		found.Reason = fmt.Sprintf("its signature is about another image, %s", claim.Digest)
	case want != (sign.Claim{}) && found.Claim == (sign.Claim{}):
		found.Reason = fmt.Sprintf("it was signed as %q, which names no version", claim.Reference)
	default:
		found.Reason = found.Claim.Differs(want)
	}
	return found
}

// open returns what was signed, and the fingerprint of the trusted key that
// signed it. When nobody trusted did, what the message holds comes with the
// error.
func (v *Verifier) open(message []byte) (data []byte, signer string, err error) {
	if len(message) > maxMessage {
		return nil, "", fmt.Errorf("it has more than the %d bytes allowed", maxMessage)
	}
	if bytes.HasPrefix(message, []byte("-----BEGIN")) {
		return nil, "", errors.New("it is armored, and clusters read binary messages only; turn it into one with gpg --dearmor")
	}
	var reason error
	for _, key := range v.keys {
		body, issuer, err := v.openWith(key, message)
		if err == nil {
			return body, fingerprint(key), nil
		}
		data = body
		if !errors.Is(err, pgperrors.ErrUnknownIssuer) {
			reason = err
		} else if reason == nil {
			reason = fmt.Errorf("it is signed with key %016X, which is not trusted (trusted: %s)", issuer, strings.Join(v.Trusted(), ", "))
		}
	}
	return data, "", reason
}

// openWith opens a message with one key. The library panics over some messages
// that are made up; those are refused.
func (v *Verifier) openWith(key *pgp.Entity, message []byte) (body []byte, issuer uint64, err error) {
	defer func() {
		if recover() != nil {
			body, err = nil, errors.New("it cannot be read")
		}
	}()
	now := v.now()
	limit := int64(maxMessage)
	config := &packet.Config{Time: func() time.Time { return now }, MaxDecompressedMessageSize: &limit}
	md, err := pgp.ReadMessage(bytes.NewReader(message), pgp.EntityList{key}, nil, config)
	if err != nil {
		return nil, 0, fmt.Errorf("it is no signed OpenPGP message: %w", err)
	}
	if md.IsEncrypted || !md.IsSigned || len(md.SignatureCandidates) == 0 {
		return nil, 0, errors.New("it is no signed OpenPGP message")
	}
	issuer = md.SignatureCandidates[0].IssuerKeyId
	// The signature is checked when the end has been read.
	if body, err = io.ReadAll(io.LimitReader(md.UnverifiedBody, maxMessage+1)); err != nil {
		return nil, issuer, fmt.Errorf("it cannot be read to its end: %w", err)
	}
	if len(body) > maxMessage {
		return nil, issuer, fmt.Errorf("what it holds has more than the %d bytes allowed", maxMessage)
	}
	if md.SignatureError != nil || !md.IsVerified || md.Signature == nil || md.SignedBy == nil {
		return body, issuer, explain(md, key, now)
	}
	// A key that has expired or was revoked since could have signed at any time,
	// with any date.
	if err := validNow(key, md.SignedBy.PublicKey.KeyId, now, config); err != nil {
		return body, issuer, err
	}
	return body, issuer, nil
}

func validNow(key *pgp.Entity, signedWith uint64, now time.Time, config *packet.Config) error {
	_, err := key.VerifyPrimaryKey(now, config)
	if err == nil {
		if _, ok := key.SigningKeyById(now, signedWith, config); !ok {
			err = pgperrors.ErrKeyExpired
		}
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, pgperrors.ErrKeyRevoked):
		return fmt.Errorf("its key %s was revoked", fingerprint(key))
	case errors.Is(err, pgperrors.ErrKeyExpired):
		return fmt.Errorf("its key %s has expired; if its owner renewed it, put the renewed key into the keyring", fingerprint(key))
	}
	return fmt.Errorf("its key %s is not valid: %w", fingerprint(key), err)
}

// explain says why a signature of key is not good.
func explain(md *pgp.MessageDetails, key *pgp.Entity, now time.Time) error {
	err := md.SignatureError
	candidate := md.SelectedCandidate
	var invalid pgperrors.SignatureError
	switch {
	case err == nil:
		return errors.New("its signature cannot be checked")
	case errors.Is(err, pgperrors.ErrUnknownIssuer):
		return err
	case errors.Is(err, pgperrors.ErrSignatureExpired):
		if candidate != nil && candidate.CorrespondingSig != nil && candidate.CorrespondingSig.CreationTime.After(now) {
			return fmt.Errorf("its signature was made at %s, which is in the future", candidate.CorrespondingSig.CreationTime.UTC().Format(time.RFC3339))
		}
		return errors.New("its signature has expired")
	case errors.Is(err, pgperrors.ErrKeyExpired):
		return fmt.Errorf("its key %s had expired when it was made", fingerprint(key))
	case errors.Is(err, pgperrors.ErrKeyRevoked):
		return fmt.Errorf("its key %s was revoked", fingerprint(key))
	case errors.As(err, &invalid):
		return fmt.Errorf("its signature does not fit: the claim or the signature was altered after signing, or is too weak (%s)", string(invalid))
	}
	return fmt.Errorf("its signature is not good: %w", err)
}
