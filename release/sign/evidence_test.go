package sign_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/release/sign"
)

const bundleType = "application/vnd.dev.sigstore.bundle.v0.3+json"

type verdict struct {
	Verdict string `json:"verdict"`
}

func attest(t *testing.T, s *sign.Signer, p *place, predicateType string, predicate any) string {
	t.Helper()
	digest, err := s.Attest(t.Context(), p.reg, p.ref, predicateType, predicate)
	if err != nil {
		t.Fatal(err)
	}
	return digest.String()
}

func evidence(t *testing.T, s *sign.Signer, p *place, predicateType string) sign.Evidence {
	t.Helper()
	found, err := s.Verifier().Evidence(t.Context(), p.reg, p.ref, predicateType)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestEvidence(t *testing.T) {
	p := newPlace(t)
	signer := newSigner(t, 0)
	if found := evidence(t, signer, p, ""); len(found.Statements)+len(found.Refused) != 0 {
		t.Errorf("a new image has %+v", found)
	}
	attest(t, signer, p, sign.PredicateDecision, verdict{"Rejected"})
	attest(t, signer, p, sign.PredicateTestResult, sign.TestResult{Result: sign.TestPassed, PassedTests: []string{"dns"}})
	newest := attest(t, signer, p, sign.PredicateDecision, verdict{"Accepted"})

	found := evidence(t, signer, p, sign.PredicateDecision)
	if len(found.Statements) != 2 || len(found.Refused) != 0 {
		t.Fatalf("got %+v", found)
	}
	first := found.Statements[0]
	if string(first.Predicate) != `{"verdict":"Accepted"}` || first.Digest.String() != newest || first.Time.IsZero() ||
		first.Subject != canonical+"/release" || first.Key != signer.KeyID() {
		t.Errorf("the newest is %+v", first)
	}
	if all := evidence(t, signer, p, ""); len(all.Statements) != 3 {
		t.Errorf("of all types there are %d", len(all.Statements))
	}

	// What the newest says is not said again; what an older one says is.
	if again := attest(t, signer, p, sign.PredicateDecision, verdict{"Accepted"}); again != newest {
		t.Error("the same was attested twice")
	}
	attest(t, signer, p, sign.PredicateDecision, verdict{"Rejected"})
	found = evidence(t, signer, p, sign.PredicateDecision)
	if len(found.Statements) != 3 || string(found.Statements[0].Predicate) != `{"verdict":"Rejected"}` {
		t.Errorf("after changing one's mind: %+v", found.Statements)
	}
}

func TestAttestRefuses(t *testing.T) {
	p := newPlace(t)
	signer := newSigner(t, 0)
	for name, predicate := range map[string]any{"a list": []string{"a"}, "text": "a", "nothing": nil, "garbage": []byte("{")} {
		if _, err := signer.Attest(t.Context(), p.reg, p.ref, sign.PredicateDecision, predicate); err == nil {
			t.Errorf("%s was attested", name)
		}
	}
	if _, err := signer.Attest(t.Context(), p.reg, canonical+"/release:v1", sign.PredicateDecision, verdict{"Accepted"}); err == nil {
		t.Error("a tag was attested to")
	}
}

// TestUnbelieved attaches what must not count as evidence.
func TestUnbelieved(t *testing.T) {
	signer, stranger := newSigner(t, 0), newSigner(t, 1)
	for _, test := range []struct {
		name   string
		forge  func(t *testing.T, p *place) []byte
		reason string
	}{
		{"a stranger's", func(t *testing.T, p *place) []byte {
			return p.stolen(t, stranger, p.ref)
		}, "is not trusted"},
		{"altered statement", func(t *testing.T, p *place) []byte {
			return altered(t, p.stolen(t, signer, p.ref), func(payload []byte) []byte {
				return bytes.Replace(payload, []byte("Rejected"), []byte("Accepted"), 1)
			})
		}, "altered after signing"},
		{"another image's", func(t *testing.T, p *place) []byte {
			other, _ := p.payload(t, "other")
			return p.stolen(t, signer, other)
		}, "about another image"},
		{"another image's with the subject replaced", func(t *testing.T, p *place) []byte {
			other, digest := p.payload(t, "other")
			return altered(t, p.stolen(t, signer, other), func(payload []byte) []byte {
				return bytes.Replace(payload, []byte(digest.Hex), []byte(p.digest.Hex), 1)
			})
		}, "altered after signing"},
		{"garbage", func(*testing.T, *place) []byte { return []byte("garbage") }, "not a sigstore bundle"},
		{"no statement", func(t *testing.T, p *place) []byte {
			return altered(t, p.stolen(t, signer, p.ref), func([]byte) []byte { return []byte(`{"a":1}`) })
		}, "in-toto statement"},
		{"signature removed", func(t *testing.T, p *place) []byte {
			var b map[string]any
			if err := json.Unmarshal(p.stolen(t, signer, p.ref), &b); err != nil {
				t.Fatal(err)
			}
			b["dsseEnvelope"].(map[string]any)["signatures"] = []any{}
			raw, _ := json.Marshal(b)
			return raw
		}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPlace(t)
			forged := test.forge(t, p)
			if _, err := p.reg.Attach(t.Context(), p.ref, oci.Artifact{
				Type: bundleType, MediaType: bundleType, Content: forged,
				Annotations: map[string]string{"forged": "yes", "dev.sigstore.bundle.predicateType": sign.PredicateDecision},
			}); err != nil {
				t.Fatal(err)
			}
			good := attest(t, signer, p, sign.PredicateDecision, verdict{"Inconclusive"})
			found := evidence(t, signer, p, sign.PredicateDecision)
			for _, s := range found.Statements {
				if string(s.Predicate) == `{"verdict":"Accepted"}` {
					t.Fatal("the forgery counts")
				}
			}
			if len(found.Statements) == 0 || found.Statements[0].Digest.String() != good {
				t.Errorf("the good one is not the newest: %+v", found.Statements)
			}
			if len(found.Refused) != 1 || !strings.Contains(found.Refused[0].Reason, test.reason) {
				t.Errorf("refused: %+v, want %q", found.Refused, test.reason)
			}
		})
	}
}

// stolen returns the bundle of a genuine statement about ref.
func (p *place) stolen(t *testing.T, s *sign.Signer, ref string) []byte {
	t.Helper()
	q := newPlace(t) // signed elsewhere, so that here only the forgery is attached
	img, err := p.reg.Image(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := q.reg.Push(t.Context(), ref, img); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Attest(t.Context(), q.reg, ref, sign.PredicateDecision, verdict{"Rejected"}); err != nil {
		t.Fatal(err)
	}
	found, err := q.reg.Referrers(t.Context(), ref, bundleType)
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	content, err := q.reg.Fetch(t.Context(), found[0])
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// altered changes the statement in a bundle and leaves the rest.
func altered(t *testing.T, bundle []byte, change func([]byte) []byte) []byte {
	t.Helper()
	var b map[string]any
	if err := json.Unmarshal(bundle, &b); err != nil {
		t.Fatal(err)
	}
	alterPayload(t, b["dsseEnvelope"].(map[string]any), change)
	raw, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// alterPayload changes what an envelope holds.
func alterPayload(t *testing.T, envelope map[string]any, change func([]byte) []byte) {
	t.Helper()
	payload, err := base64.StdEncoding.DecodeString(envelope["payload"].(string))
	if err != nil {
		t.Fatal(err)
	}
	changed := change(payload)
	if bytes.Equal(changed, payload) {
		t.Fatal("nothing was changed")
	}
	envelope["payload"] = base64.StdEncoding.EncodeToString(changed)
}

// TestReplay attaches an old statement once more, dressed up as a new one: the
// time that counts is the signed one.
func TestReplay(t *testing.T) {
	ctx := t.Context()
	p := newPlace(t)
	signer := newSigner(t, 0)
	attest(t, signer, p, sign.PredicateDecision, verdict{"Accepted"})
	old, err := p.reg.Referrers(ctx, p.ref, bundleType)
	if err != nil || len(old) != 1 {
		t.Fatal(old, err)
	}
	content, err := p.reg.Fetch(ctx, old[0])
	if err != nil {
		t.Fatal(err)
	}
	attest(t, signer, p, sign.PredicateDecision, verdict{"Rejected"})
	if _, err := p.reg.Attach(ctx, p.ref, oci.Artifact{
		Type: bundleType, MediaType: bundleType, Content: content,
		Annotations: map[string]string{"org.opencontainers.image.created": "2099-01-01T00:00:00Z"},
	}); err != nil {
		t.Fatal(err)
	}
	found := evidence(t, signer, p, sign.PredicateDecision)
	if len(found.Statements) != 3 || string(found.Statements[0].Predicate) != `{"verdict":"Rejected"}` {
		t.Errorf("the newest is %s of %d", found.Statements[0].Predicate, len(found.Statements))
	}
}

// TestStatementFormat pins what others rely on.
func TestStatementFormat(t *testing.T) {
	p := newPlace(t)
	signer := newSigner(t, 0)
	attest(t, signer, p, sign.PredicateDecision, verdict{"Accepted"})
	found, err := p.reg.Referrers(t.Context(), p.ref, bundleType)
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	if a := found[0].Annotations; a["dev.sigstore.bundle.content"] != "dsse-envelope" || a["dev.sigstore.bundle.predicateType"] != sign.PredicateDecision {
		t.Errorf("annotations: %v", a)
	}
	content, err := p.reg.Fetch(t.Context(), found[0])
	if err != nil {
		t.Fatal(err)
	}
	b := canonicalJSON(t, content)
	envelope := b["dsseEnvelope"].(map[string]any)
	payload, err := base64.StdEncoding.DecodeString(envelope["payload"].(string))
	if err != nil {
		t.Fatal(err)
	}
	st := canonicalJSON(t, payload)
	subject := st["subject"].([]any)[0].(map[string]any)
	delete(subject, "annotations")
	if diff := cmp.Diff(map[string]any{
		"_type":         "https://in-toto.io/Statement/v1",
		"subject":       []any{map[string]any{"name": canonical + "/release", "digest": map[string]any{"sha256": p.digest.Hex}}},
		"predicateType": sign.PredicateDecision,
		"predicate":     map[string]any{"verdict": "Accepted"},
	}, st); diff != "" {
		t.Error(diff)
	}
	if envelope["payloadType"] != "application/vnd.in-toto+json" || b["mediaType"] != bundleType {
		t.Errorf("types: %v, %v", envelope["payloadType"], b["mediaType"])
	}
}
