package sign

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/sigstore/cosign/v2/pkg/cosign"
	cosignbundle "github.com/sigstore/cosign/v2/pkg/cosign/bundle"
	"github.com/sigstore/cosign/v2/pkg/oci"
	"github.com/sigstore/cosign/v2/pkg/oci/static"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
)

// Verifier verifies signatures against trusted keys and identities, any of which
// will do: so keys can be rotated with an overlap. It is safe for concurrent use.
type Verifier struct{ trusted []*authority }

// authority is a key, or an identity that a certificate proves.
type authority struct {
	id string
	// ways are the options under which cosign's verification may accept what the
	// authority signed; one must. Each demands everything that is needed.
	ways []cosign.CheckOpts
	// keyless authorities look at the certificate, log entry and timestamp that
	// come with a signature; keys must not.
	keyless bool
}

// Identity is who a certificate was issued to, and by whose word. Each of the
// two is given exactly, or as a regular expression that must match as a whole.
type Identity struct {
	Subject       string `json:"subject,omitempty"` // "https://github.com/o/r/.github/workflows/release.yaml@refs/heads/main"
	SubjectRegexp string `json:"subjectRegexp,omitempty"`
	Issuer        string `json:"issuer,omitempty"` // "https://token.actions.githubusercontent.com"
	IssuerRegexp  string `json:"issuerRegexp,omitempty"`
}

// String is how explanations name the identity.
func (i Identity) String() string {
	text := func(exact, pattern string) string {
		if exact != "" {
			return exact
		}
		return "/" + pattern + "/"
	}
	return text(i.Subject, i.SubjectRegexp) + " (" + text(i.Issuer, i.IssuerRegexp) + ")"
}

func (i Identity) check() error {
	if (i.Subject == "") == (i.SubjectRegexp == "") || (i.Issuer == "") == (i.IssuerRegexp == "") {
		return errors.New("an identity needs a subject and an issuer, each given once: exactly or as a regular expression")
	}
	for _, pattern := range []string{i.SubjectRegexp, i.IssuerRegexp} {
		if _, err := regexp.Compile(pattern); err != nil {
			return fmt.Errorf("%q is no regular expression: %w", pattern, err)
		}
	}
	return nil
}

// anchored makes a pattern match a whole text only.
func anchored(pattern string) string {
	if pattern == "" {
		return ""
	}
	return "^(?:" + pattern + ")$"
}

// matches says whether a text is the one asked for; pattern was checked before.
func matches(exact, pattern, text string) bool {
	if exact != "" {
		return text == exact
	}
	return regexp.MustCompile(pattern).MatchString(text)
}

func trustKey(key crypto.PublicKey) (*authority, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, err
	}
	verifier, err := signature.LoadDefaultVerifier(key)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(der)
	return &authority{id: base64.StdEncoding.EncodeToString(sum[:]), ways: []cosign.CheckOpts{{
		SigVerifier: verifier, IgnoreTlog: true, Offline: true, NewBundleFormat: true,
		// Nothing but the key is trusted.
		TrustedMaterial: &root.BaseTrustedMaterial{},
	}}}, nil
}

// trustIdentity trusts certificates of one identity whose time of use is proven
// by what trusted names: a transparency log, a timestamping authority, or both.
// Where trusted names logs of certificates, certificates must be in one.
func trustIdentity(identity Identity, trusted root.TrustedMaterial) (*authority, error) {
	if err := identity.check(); err != nil {
		return nil, err
	}
	if len(trusted.FulcioCertificateAuthorities()) == 0 {
		return nil, errors.New("the trusted root names no certificate authority")
	}
	base := cosign.CheckOpts{
		TrustedMaterial: trusted, Offline: true, NewBundleFormat: true, IgnoreSCT: len(trusted.CTLogs()) == 0,
		Identities: []cosign.Identity{{
			Subject: identity.Subject, SubjectRegExp: anchored(identity.SubjectRegexp),
			Issuer: identity.Issuer, IssuerRegExp: anchored(identity.IssuerRegexp),
		}},
	}
	a := &authority{id: identity.String(), keyless: true}
	logs, clocks := len(trusted.RekorLogs()) > 0, len(trusted.TimestampingAuthorities()) > 0
	for _, way := range []struct{ possible, log, clock bool }{
		{logs, true, false},          // the log says when
		{logs && clocks, true, true}, // newer logs leave that to others
		{!logs && clocks, false, true},
	} {
		if way.possible {
			opts := base
			opts.IgnoreTlog, opts.UseSignedTimestamps = !way.log, way.clock
			a.ways = append(a.ways, opts)
		}
	}
	if len(a.ways) == 0 {
		return nil, errors.New("the trusted root names neither a transparency log nor a timestamping authority, so nothing proves when a certificate was used")
	}
	return a, nil
}

// NewVerifier trusts the keys given in PEM; at least one.
func NewVerifier(pems ...[]byte) (*Verifier, error) {
	v := &Verifier{}
	for i, data := range pems {
		key, err := cryptoutils.UnmarshalPEMToPublicKey(data)
		if err != nil {
			return nil, fmt.Errorf("reading public key %d: it is no public key in PEM: %w", i+1, err)
		}
		known, err := trustKey(key)
		if err != nil {
			return nil, fmt.Errorf("reading public key %d: %w", i+1, err)
		}
		v.trusted = append(v.trusted, known)
	}
	if len(v.trusted) == 0 {
		return nil, errors.New("reading public keys: none was given, so nothing can be trusted")
	}
	return v, nil
}

// NewIdentityVerifier trusts what was signed in the name of an identity, as
// certificates of the trusted root prove it. trustedRoot is sigstore's
// trusted_root.json.
func NewIdentityVerifier(identity Identity, trustedRoot []byte) (*Verifier, error) {
	material, err := root.NewTrustedRootFromJSON(trustedRoot)
	if err != nil {
		return nil, fmt.Errorf("trusting identity %s: reading the trusted root: %w", identity, err)
	}
	a, err := trustIdentity(identity, material)
	if err != nil {
		return nil, fmt.Errorf("trusting identity %s: %w", identity, err)
	}
	return &Verifier{trusted: []*authority{a}}, nil
}

// AnyOf trusts whatever one of several verifiers trusts. Nil ones are left out.
func AnyOf(verifiers ...*Verifier) *Verifier {
	all := &Verifier{}
	for _, v := range verifiers {
		if v != nil {
			all.trusted = append(all.trusted, v.trusted...)
		}
	}
	return all
}

// Trusted returns the names of the keys and identities that are trusted, in the
// order they were given: ids of keys, "subject (issuer)" of identities.
func (v *Verifier) Trusted() []string {
	ids := make([]string, 0, len(v.trusted))
	for _, a := range v.trusted {
		ids = append(ids, a.id)
	}
	return ids
}

func (v *Verifier) trusts(id string) bool {
	return slices.ContainsFunc(v.trusted, func(a *authority) bool { return a.id == id })
}

// names lists what is trusted, for explanations.
func (v *Verifier) names() string {
	if len(v.trusted) == 0 {
		return "trusted: nobody"
	}
	return "trusted: " + strings.Join(v.Trusted(), ", ")
}

// signersOf returns the names of those for whom good is true of one of their
// ways.
func (v *Verifier) signersOf(good func(a *authority, opts *cosign.CheckOpts) bool) []string {
	var ids []string
	for _, a := range v.trusted {
		if slices.ContainsFunc(a.ways, func(opts cosign.CheckOpts) bool { return survives(a, &opts, good) }) && !slices.Contains(ids, a.id) {
			ids = append(ids, a.id)
		}
	}
	return ids
}

// survives is good, and false where the library panics: cosign 2.6 does over
// timestamps and log entries that somebody who can write to the registry made up.
func survives(a *authority, opts *cosign.CheckOpts, good func(*authority, *cosign.CheckOpts) bool) (is bool) {
	defer func() {
		if recover() != nil {
			is = false
		}
	}()
	return good(a, opts)
}

// signersOfClaim returns who of the trusted signed a claim.
func (v *Verifier) signersOfClaim(ctx context.Context, s storedSignature, digest v1.Hash) []string {
	return v.signersOf(func(a *authority, opts *cosign.CheckOpts) bool {
		stored, err := s.forCosign(a.keyless)
		if err != nil {
			return false
		}
		_, err = cosign.VerifyImageSignature(ctx, stored, digest, opts)
		return err == nil
	})
}

// signersOfEnvelope is the same of an attestation in the older form.
func (v *Verifier) signersOfEnvelope(ctx context.Context, s storedSignature, digest v1.Hash) []string {
	return v.signersOf(func(a *authority, opts *cosign.CheckOpts) bool {
		stored, err := s.forCosign(a.keyless)
		if err != nil {
			return false
		}
		opts.ClaimVerifier = cosign.IntotoSubjectClaimVerifier
		_, err = cosign.VerifyBlobAttestation(ctx, stored, digest, opts)
		return err == nil
	})
}

// signersOfBundle is the same of a sigstore bundle about digest, with the time
// that a trusted log or clock vouches for, if one does.
func (v *Verifier) signersOfBundle(ctx context.Context, b *bundle.Bundle, digest v1.Hash) (ids []string, when time.Time) {
	raw, err := hex.DecodeString(digest.Hex)
	if err != nil {
		return nil, time.Time{}
	}
	ids = v.signersOf(func(a *authority, opts *cosign.CheckOpts) bool {
		result, err := cosign.VerifyNewBundle(ctx, opts, verify.WithArtifactDigest(digest.Algorithm, raw), b)
		if err == nil && a.keyless && len(result.VerifiedTimestamps) > 0 {
			when = result.VerifiedTimestamps[0].Timestamp
		}
		return err == nil
	})
	return ids, when
}

// forCosign returns a signature in the form that cosign verifies. With material,
// certificate, log entry and timestamp belong to it.
func (s storedSignature) forCosign(material bool) (oci.Signature, error) {
	if !material {
		return static.NewSignature(s.claim, s.signature())
	}
	var opts []static.Option
	if cert := s.annotations[static.CertificateAnnotationKey]; cert != "" {
		opts = append(opts, static.WithCertChain([]byte(cert), []byte(s.annotations[static.ChainAnnotationKey])))
	}
	if text := s.annotations[static.BundleAnnotationKey]; text != "" {
		var entry cosignbundle.RekorBundle
		if err := json.Unmarshal([]byte(text), &entry); err != nil {
			return nil, err
		}
		// cosign takes the body for text without looking.
		if _, ok := entry.Payload.Body.(string); !ok {
			return nil, errors.New("the log entry has no body")
		}
		opts = append(opts, static.WithBundle(&entry))
	}
	if text := s.annotations[static.RFC3161TimestampAnnotationKey]; text != "" {
		var stamp cosignbundle.RFC3161Timestamp
		if err := json.Unmarshal([]byte(text), &stamp); err != nil {
			return nil, err
		}
		opts = append(opts, static.WithRFC3161Timestamp(&stamp))
	}
	return static.NewSignature(s.claim, s.signature(), opts...)
}
