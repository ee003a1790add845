package sign_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-openapi/runtime"
	"github.com/google/go-cmp/cmp"
	"github.com/sigstore/rekor/pkg/generated/models"
	"github.com/sigstore/rekor/pkg/types"
	_ "github.com/sigstore/rekor/pkg/types/dsse/v0.0.1"
	_ "github.com/sigstore/rekor/pkg/types/hashedrekord/v0.0.1"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/testing/ca"
	"github.com/sigstore/sigstore-go/pkg/tlog"
	"github.com/sigstore/sigstore/pkg/cryptoutils"

	"github.com/slipway-release/slipway/release/sign"
)

const (
	subject = "releases@example.internal"
	issuer  = "https://accounts.example.internal"
)

// authority is a certificate authority and a transparency log in this process.
// They check what is handed in as the real ones do, but for the identity token,
// which they believe.
type authority struct {
	t        *testing.T
	url      string
	virtual  *ca.VirtualSigstore
	root     *x509.Certificate
	between  *x509.Certificate
	key      *ecdsa.PrivateKey
	logID    string
	lifetime time.Duration
	issued   int
	// forge changes what the log answers.
	forge func(*models.LogEntryAnon)
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, lifetime: 10 * time.Minute}
	var err error
	if a.virtual, err = ca.NewVirtualSigstore(); err != nil {
		t.Fatal(err)
	}
	if a.logID, err = a.virtual.RekorLogID(); err != nil {
		t.Fatal(err)
	}
	var rootKey *ecdsa.PrivateKey
	if a.root, rootKey, err = ca.GenerateRootCa(); err != nil {
		t.Fatal(err)
	}
	if a.between, a.key, err = ca.GenerateFulcioIntermediate(a.root, rootKey); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v2/signingCert", a.certify)
	mux.HandleFunc("POST /api/v1/log/entries", a.enter)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	a.url = server.URL
	return a
}

// certify is Fulcio's.
func (a *authority) certify(w http.ResponseWriter, r *http.Request) {
	var request struct {
		PublicKeyRequest struct {
			PublicKey         struct{ Content string }
			ProofOfPossession []byte
		}
	}
	var identity struct{ Email, Iss string }
	parts := strings.Split(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), ".")
	claims, err := base64.RawURLEncoding.DecodeString(parts[min(1, len(parts)-1)])
	if err == nil {
		err = json.Unmarshal(claims, &identity)
	}
	if err == nil {
		err = json.NewDecoder(r.Body).Decode(&request)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	public, err := cryptoutils.UnmarshalPEMToPublicKey([]byte(request.PublicKeyRequest.PublicKey.Content))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	sum := sha256.Sum256([]byte(identity.Email))
	if key, ok := public.(*ecdsa.PublicKey); !ok || !ecdsa.VerifyASN1(key, sum[:], request.PublicKeyRequest.ProofOfPossession) {
		http.Error(w, "the key is not possessed", http.StatusBadRequest)
		return
	}
	a.issued++
	leaf, err := a.leaf(public, identity.Email, identity.Iss)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	var chain []string
	for _, der := range [][]byte{leaf, a.between.Raw, a.root.Raw} {
		chain = append(chain, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	}
	a.answer(w, http.StatusOK, map[string]any{"signedCertificateEmbeddedSct": map[string]any{"chain": map[string]any{"certificates": chain}}})
}

func (a *authority) leaf(public crypto.PublicKey, email, iss string) ([]byte, error) {
	return x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(int64(a.issued)), EmailAddresses: []string{email},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(a.lifetime),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 1}, Value: []byte(iss)}},
	}, a.between, public, a.key)
}

// enter is Rekor's.
func (a *authority) enter(w http.ResponseWriter, r *http.Request) {
	body, err := a.canonical(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	text, now, index := base64.StdEncoding.EncodeToString(body), time.Now().Unix(), int64(0)
	promise, err := a.virtual.RekorSignPayload(tlog.RekorPayload{Body: text, IntegratedTime: now, LogIndex: index, LogID: a.logID})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	proof, err := a.virtual.GetInclusionProof(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	entry := models.LogEntryAnon{Body: text, IntegratedTime: &now, LogID: &a.logID, LogIndex: &index,
		Verification: &models.LogEntryAnonVerification{SignedEntryTimestamp: promise, InclusionProof: proof}}
	if a.forge != nil {
		a.forge(&entry)
	}
	leaf := sha256.Sum256(append([]byte{0}, body...))
	id := hex.EncodeToString(leaf[:])
	w.Header().Set("ETag", id)
	w.Header().Set("Location", "/api/v1/log/entries/"+id)
	a.answer(w, http.StatusCreated, models.LogEntry{id: entry})
}

func (a *authority) canonical(r *http.Request) ([]byte, error) {
	proposed, err := models.UnmarshalProposedEntry(r.Body, runtime.JSONConsumer())
	if err != nil {
		return nil, err
	}
	entry, err := types.CreateVersionedEntry(proposed)
	if err != nil {
		return nil, err
	}
	return types.CanonicalizeEntry(r.Context(), entry)
}

func (a *authority) answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		a.t.Error(err)
	}
}

// trustedRoot is what verifiers are handed.
func (a *authority) trustedRoot() []byte {
	a.t.Helper()
	id, err := hex.DecodeString(a.logID)
	if err != nil {
		a.t.Fatal(err)
	}
	logs := a.virtual.RekorLogs()
	logs[a.logID].ID = id
	trusted, err := root.NewTrustedRoot(root.TrustedRootMediaType01, []root.CertificateAuthority{&root.FulcioCertificateAuthority{
		Root: a.root, Intermediates: []*x509.Certificate{a.between}, URI: a.url,
		ValidityPeriodStart: time.Now().Add(-time.Hour), ValidityPeriodEnd: time.Now().Add(time.Hour),
	}}, nil, nil, logs)
	if err != nil {
		a.t.Fatal(err)
	}
	data, err := trusted.MarshalJSON()
	if err != nil {
		a.t.Fatal(err)
	}
	return data
}

func token(email string) string {
	claims := fmt.Sprintf(`{"iss":%q,"sub":"1","email":%q,"email_verified":true,"aud":"sigstore"}`, issuer, email)
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".e30"
}

func (a *authority) signer(trusted []byte) *sign.Signer {
	a.t.Helper()
	s, err := sign.NewKeylessSigner(a.t.Context(), sign.Keyless{FulcioURL: a.url, RekorURL: a.url, Token: token(subject), TrustedRoot: trusted})
	if err != nil {
		a.t.Fatal(err)
	}
	return s
}

func identityVerifier(t *testing.T, identity sign.Identity, trusted []byte) *sign.Verifier {
	t.Helper()
	v, err := sign.NewIdentityVerifier(identity, trusted)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestKeyless(t *testing.T) {
	ctx := t.Context()
	p := newPlace(t)
	a, elsewhere := newAuthority(t), newAuthority(t)
	s := a.signer(a.trustedRoot())
	if err := s.Sign(ctx, p.reg, p.ref, claim); err != nil {
		t.Fatal(err)
	}
	if err := s.Sign(ctx, p.reg, p.ref, claim); err != nil {
		t.Fatal(err)
	}
	attest(t, s, p, sign.PredicateDecision, verdict{"Accepted"})
	if _, err := s.AttestAs(ctx, p.reg, p.ref, sign.Attestation{PredicateType: sign.PredicateTestResult, Predicate: sign.TestResult{Result: sign.TestPassed}, Layout: sign.Tag}); err != nil {
		t.Fatal(err)
	}
	good := sign.Identity{Subject: subject, Issuer: issuer}
	for name, test := range map[string]struct {
		by     *sign.Verifier
		reason string
	}{
		"the identity":          {identityVerifier(t, good, a.trustedRoot()), ""},
		"by regular expression": {identityVerifier(t, sign.Identity{SubjectRegexp: `.*@example\.internal`, IssuerRegexp: "https://.*"}, a.trustedRoot()), ""},
		"or a key":              {sign.AnyOf(newSigner(t, 0).Verifier(), identityVerifier(t, good, a.trustedRoot())), ""},
		"part of a subject":     {identityVerifier(t, sign.Identity{SubjectRegexp: "releases", Issuer: issuer}, a.trustedRoot()), "not trusted"},
		"another subject":       {identityVerifier(t, sign.Identity{Subject: "else@example.internal", Issuer: issuer}, a.trustedRoot()), "signed by " + subject},
		"another issuer":        {identityVerifier(t, sign.Identity{Subject: subject, Issuer: "https://else"}, a.trustedRoot()), issuer},
		"another authority":     {identityVerifier(t, good, elsewhere.trustedRoot()), "does not prove it"},
		"a key":                 {newSigner(t, 0).Verifier(), "signed by " + subject},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := test.by.Verify(ctx, p.reg, p.ref)
			found, wrong := test.by.Evidence(ctx, p.reg, p.ref, "")
			if wrong != nil {
				t.Fatal(wrong)
			}
			if test.reason != "" {
				refused(t, err, test.reason)
				if len(found.Statements) != 0 || len(found.Refused) != 2 || !strings.Contains(found.Refused[0].Reason+found.Refused[1].Reason, test.reason) {
					t.Errorf("statements: %+v", found)
				}
				return
			}
			if diff := cmp.Diff(claim, got); err != nil || diff != "" {
				t.Errorf("%v %s", err, diff)
			}
			if len(found.Statements) != 2 || !found.Statements[0].TimeProven {
				t.Errorf("statements: %+v", found)
			}
		})
	}
	all, err := identityVerifier(t, good, a.trustedRoot()).Signatures(ctx, p.reg, p.ref, claim)
	if err != nil || len(all) != 1 {
		t.Errorf("signing twice made %d signatures, %v", len(all), err)
	}
	if a.issued != 1 {
		t.Errorf("%d certificates were asked for", a.issued)
	}
}

// TestKeylessForged has somebody change what proves the time and the identity.
func TestKeylessForged(t *testing.T) {
	ctx := t.Context()
	a := newAuthority(t)
	trust := identityVerifier(t, sign.Identity{Subject: subject, Issuer: issuer}, a.trustedRoot())
	const certificate, entry = "dev.sigstore.cosign/certificate", "dev.sigstore.cosign/bundle"
	for name, change := range map[string]func(annotations map[string]string){
		"no log entry":         func(m map[string]string) { delete(m, entry) },
		"broken log entry":     func(m map[string]string) { m[entry] = "{" },
		"log entry of nothing": func(m map[string]string) { m[entry] = `{"Payload":{}}` },
		"log entry of later": func(m map[string]string) {
			m[entry] = strings.Replace(m[entry], `"integratedTime":`, `"integratedTime":1`, 1)
		},
		"no certificate":     func(m map[string]string) { delete(m, certificate) },
		"broken certificate": func(m map[string]string) { m[certificate] = "garbage" },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			p.signed(t, a.signer(nil))
			if _, err := trust.Verify(ctx, p.reg, p.ref); err != nil {
				t.Fatal(err)
			}
			p.rewrite(t, func(claim []byte, annotations map[string]string) ([]byte, map[string]string) {
				change(annotations)
				return claim, annotations
			})
			_, err := trust.Verify(ctx, p.reg, p.ref)
			refused(t, err)
		})
	}
}

// TestKeylessServices has services that lie or fail.
func TestKeylessServices(t *testing.T) {
	ctx := t.Context()
	p := newPlace(t)
	lying := newAuthority(t)
	lying.forge = func(e *models.LogEntryAnon) { e.Verification.SignedEntryTimestamp = []byte("forged") }
	s := lying.signer(lying.trustedRoot())
	if err := s.Sign(ctx, p.reg, p.ref, claim); err == nil || !strings.Contains(err.Error(), "does not verify") {
		t.Errorf("a log that lies: %v", err)
	}
	if _, err := s.Attest(ctx, p.reg, p.ref, sign.PredicateDecision, verdict{"Accepted"}); err == nil {
		t.Error("a log that lies: the statement was stored")
	}
	if _, err := p.reg.Image(ctx, p.signatureTag()); err == nil {
		t.Error("what does not verify was stored")
	}
	// A certificate that is about to end is not used again.
	brief := newAuthority(t)
	brief.lifetime = 10 * time.Second
	s = brief.signer(brief.trustedRoot())
	if err := s.Sign(ctx, p.reg, p.ref, claim); err != nil {
		t.Error(err)
	}
	if brief.issued != 2 {
		t.Errorf("%d certificates were asked for", brief.issued)
	}
	for name, o := range map[string]sign.Keyless{
		"no token":  {FulcioURL: brief.url, RekorURL: brief.url},
		"no log":    {FulcioURL: brief.url, Token: token(subject)},
		"bad token": {FulcioURL: brief.url, RekorURL: brief.url, Token: "secret"},
		"bad root":  {FulcioURL: brief.url, RekorURL: brief.url, Token: token(subject), TrustedRoot: []byte("{")},
	} {
		if _, err := sign.NewKeylessSigner(ctx, o); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestIdentitiesThatSayNothing(t *testing.T) {
	a := newAuthority(t)
	for name, identity := range map[string]sign.Identity{
		"nobody":          {},
		"no issuer":       {Subject: subject},
		"subject twice":   {Subject: subject, SubjectRegexp: ".*", Issuer: issuer},
		"broken patterns": {SubjectRegexp: "(", Issuer: issuer},
	} {
		if _, err := sign.NewIdentityVerifier(identity, a.trustedRoot()); err == nil {
			t.Errorf("%s was trusted", name)
		}
	}
	for name, trusted := range map[string]string{"nothing": "", "no JSON": "{", "nobody in it": `{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}`} {
		if _, err := sign.NewIdentityVerifier(sign.Identity{Subject: subject, Issuer: issuer}, []byte(trusted)); err == nil {
			t.Errorf("a root with %s was trusted", name)
		}
	}
}

// rootFile is the trusted root in a file, for other commands.
func (a *authority) rootFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "trusted-root.json")
	if err := os.WriteFile(path, a.trustedRoot(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// pemFiles are the certificates, and the log's key, for commands that read no
// trusted root.
func (a *authority) pemFiles(t *testing.T) (roots, intermediates, log string) {
	t.Helper()
	write := func(name string, data []byte, err error) string {
		path := filepath.Join(t.TempDir(), name)
		if err == nil {
			err = os.WriteFile(path, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	data, err := cryptoutils.MarshalCertificateToPEM(a.root)
	roots = write("roots.pem", data, err)
	data, err = cryptoutils.MarshalCertificateToPEM(a.between)
	intermediates = write("between.pem", data, err)
	data, err = cryptoutils.MarshalPublicKeyToPEM(a.virtual.RekorLogs()[a.logID].PublicKey)
	return roots, intermediates, write("log.pem", data, err)
}
