package sign

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/sigstore/cosign/v2/pkg/cosign"
	cosignbundle "github.com/sigstore/cosign/v2/pkg/cosign/bundle"
	"github.com/sigstore/cosign/v2/pkg/oci"
	"github.com/sigstore/cosign/v2/pkg/oci/static"
	rekorclient "github.com/sigstore/rekor/pkg/client"
	rekor "github.com/sigstore/rekor/pkg/generated/client"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
	"github.com/sigstore/sigstore-go/pkg/root"
	sigstore "github.com/sigstore/sigstore-go/pkg/sign"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/dsse"
	"github.com/sigstore/sigstore/pkg/signature/options"
)

// certificateAnnotation is where cosign keeps the certificate of a signature.
const certificateAnnotation = static.CertificateAnnotationKey

// Keyless says how to sign in the name of an identity: with a key that is made
// for it and thrown away, a certificate that lasts minutes, and a log entry that
// proves that it was used in time.
type Keyless struct {
	FulcioURL string
	RekorURL  string // of the log's first protocol version
	// Token is an OpenID Connect token with the audience "sigstore".
	Token string
	// TrustedRoot, sigstore's trusted_root.json, verifies what was signed before it
	// is stored. It may be empty.
	TrustedRoot []byte
}

// NewKeylessSigner gets a certificate for the token's identity.
func NewKeylessSigner(ctx context.Context, o Keyless) (*Signer, error) {
	signer, err := newKeylessSigner(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("opening a keyless signer at %s: %w", o.FulcioURL, err)
	}
	return signer, nil
}

func newKeylessSigner(ctx context.Context, o Keyless) (*Signer, error) {
	if o.FulcioURL == "" || o.RekorURL == "" || o.Token == "" {
		return nil, errors.New("it takes a certificate authority, a transparency log and an identity token")
	}
	log, err := rekorclient.GetRekorClient(o.RekorURL, rekorclient.WithUserAgent("slipway"), rekorclient.WithRetryCount(retries))
	if err != nil {
		return nil, err
	}
	k := &keylessSigner{options: o, log: log, authority: sigstore.NewFulcio(&sigstore.FulcioOptions{BaseURL: o.FulcioURL, Timeout: serviceTimeout, Retries: retries})}
	got, err := k.present(ctx)
	if err != nil {
		return nil, err
	}
	s := &Signer{engine: k}
	if len(o.TrustedRoot) > 0 {
		if k.trusted, err = root.NewTrustedRootFromJSON(o.TrustedRoot); err != nil {
			return nil, fmt.Errorf("reading the trusted root: %w", err)
		}
		own, err := trustIdentity(got.identity, k.trusted)
		if err != nil {
			return nil, err
		}
		s.trust = &Verifier{trusted: []*authority{own}}
	}
	return s, nil
}

const (
	retries        = 3
	serviceTimeout = 30 * time.Second
	// margin is how much of a certificate's life must be left to sign with it.
	margin = time.Minute
)

// keylessSigner holds one key and certificate until the certificate expires.
type keylessSigner struct {
	options   Keyless
	log       *rekor.Rekor
	authority *sigstore.Fulcio
	trusted   root.TrustedMaterial // nil when none was given

	mu   sync.Mutex
	held *certified
}

// certified is a key with the certificate for it.
type certified struct {
	key         *sigstore.EphemeralKeypair
	certificate []byte // DER
	pem         []byte
	identity    Identity
	expires     time.Time
}

// present returns a certificate that lasts a while yet.
func (k *keylessSigner) present(ctx context.Context) (*certified, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.held != nil && time.Until(k.held.expires) > margin {
		return k.held, nil
	}
	key, err := sigstore.NewEphemeralKeypair(nil)
	if err != nil {
		return nil, err
	}
	der, err := k.authority.GetCertificate(ctx, key, &sigstore.CertificateProviderOptions{IDToken: k.options.Token})
	if err != nil {
		return nil, fmt.Errorf("getting a certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("getting a certificate: %w", err)
	}
	identity, err := identityOf(cert)
	if err != nil {
		return nil, fmt.Errorf("getting a certificate: %w", err)
	}
	k.held = &certified{key, der, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), identity, cert.NotAfter}
	return k.held, nil
}

func identityOf(cert *x509.Certificate) (Identity, error) {
	summary, err := certificate.SummarizeCertificate(cert)
	if err != nil {
		return Identity{}, err
	}
	return Identity{Subject: summary.SubjectAlternativeName, Issuer: summary.Issuer}, nil
}

func (k *keylessSigner) KeyID() string { return "" }
func (k *keylessSigner) Name() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.held.identity.String()
}
func (k *keylessSigner) PublicKey() []byte { return nil }

func (k *keylessSigner) claim(ctx context.Context, data []byte) (oci.Signature, error) {
	with, err := k.present(ctx)
	if err != nil {
		return nil, err
	}
	signed, _, err := with.key.SignData(ctx, data)
	if err != nil {
		return nil, err
	}
	sum := sha256.New()
	sum.Write(data)
	entry, err := cosign.TLogUpload(ctx, k.log, signed, sum, with.pem)
	if err != nil {
		return nil, fmt.Errorf("entering it in the transparency log %s: %w", k.options.RekorURL, err)
	}
	return static.NewSignature(data, base64.StdEncoding.EncodeToString(signed),
		static.WithCertChain(with.pem, nil), static.WithBundle(cosignbundle.EntryToBundle(entry)))
}

func (k *keylessSigner) statement(ctx context.Context, data []byte) ([]byte, error) {
	with, err := k.present(ctx)
	if err != nil {
		return nil, err
	}
	made, err := sigstore.Bundle(&sigstore.DSSEData{Data: data, PayloadType: payloadType}, with.key, sigstore.BundleOptions{
		Context:             ctx,
		CertificateProvider: with,
		TransparencyLogs:    []sigstore.Transparency{sigstore.NewRekor(&sigstore.RekorOptions{BaseURL: k.options.RekorURL, Client: k.log.Entries, Timeout: serviceTimeout})},
		TrustedRoot:         k.trusted,
	})
	if err != nil {
		return nil, err
	}
	b, err := bundle.NewBundle(made)
	if err != nil {
		return nil, err
	}
	return b.MarshalJSON()
}

func (k *keylessSigner) envelope(ctx context.Context, data []byte, annotations map[string]string) (oci.Signature, error) {
	with, err := k.present(ctx)
	if err != nil {
		return nil, err
	}
	envelope, err := dsse.WrapSigner(with, payloadType).SignMessage(bytes.NewReader(data), options.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	entry, err := cosign.TLogUploadDSSEEnvelope(ctx, k.log, envelope, with.pem)
	if err != nil {
		return nil, fmt.Errorf("entering it in the transparency log %s: %w", k.options.RekorURL, err)
	}
	return static.NewAttestation(envelope, static.WithLayerMediaType(envelopeMediaType), static.WithAnnotations(annotations),
		static.WithCertChain(with.pem, nil), static.WithBundle(cosignbundle.EntryToBundle(entry)))
}

// GetCertificate implements sigstore.CertificateProvider.
func (c *certified) GetCertificate(context.Context, sigstore.Keypair, *sigstore.CertificateProviderOptions) ([]byte, error) {
	return c.certificate, nil
}

// PublicKey implements signature.Signer.
func (c *certified) PublicKey(...signature.PublicKeyOption) (crypto.PublicKey, error) {
	return c.key.GetPublicKey(), nil
}

// SignMessage implements signature.Signer.
func (c *certified) SignMessage(message io.Reader, _ ...signature.SignOption) ([]byte, error) {
	data, err := io.ReadAll(message)
	if err != nil {
		return nil, err
	}
	signed, _, err := c.key.SignData(context.Background(), data)
	return signed, err
}

// explainCertificate says why what was signed with a certificate, in PEM or DER,
// is not believed.
func (v *Verifier) explainCertificate(data []byte) string {
	if block, _ := pem.Decode(data); block != nil {
		data = block.Bytes
	}
	cert, err := x509.ParseCertificate(data)
	if err != nil {
		return "its certificate cannot be read"
	}
	identity, err := identityOf(cert)
	if err != nil {
		return "its certificate names no identity"
	}
	if slices.ContainsFunc(v.trusted, func(a *authority) bool { return a.keyless && a.names(identity) }) {
		return fmt.Sprintf("it names the trusted identity %s, and does not prove it: its certificate, log entry or timestamp is not one of the trusted root's, or it was altered after signing", identity)
	}
	return fmt.Sprintf("it is signed by %s, which is not trusted (%s)", identity, v.names())
}

// names says whether the authority is of that identity, proven or not.
func (a *authority) names(i Identity) bool {
	for _, want := range a.ways[0].Identities {
		if !matches(want.Subject, want.SubjectRegExp, i.Subject) || !matches(want.Issuer, want.IssuerRegExp, i.Issuer) {
			return false
		}
	}
	return true
}
