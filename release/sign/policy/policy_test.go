package policy_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	pgp "github.com/ProtonMail/go-crypto/openpgp/v2"
	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/oci/registryserver"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/sign"
	"github.com/slipway-release/slipway/release/sign/openpgp"
	"github.com/slipway-release/slipway/release/sign/policy"
)

const (
	canonical = "registry.example.internal/skiff"
	version   = "1.36.3-0.nightly-2026-11-20-101500"
	header    = "apiVersion: slipway.dev/v1alpha1\nkind: VerificationPolicy\n"
)

var claim = sign.Claim{Version: version, Stream: "nightly", Architecture: "amd64"}

// place is a registry with a payload, two keys, an OpenPGP key and a store.
type place struct {
	dir      string
	reg      *oci.Registry
	ref      string
	digest   v1.Hash
	old, new *sign.Signer
	gpg      *openpgp.Signer
}

// sharedKeys makes the two keys of all tests, for opening a key is slow on
// purpose.
var sharedKeys = sync.OnceValues(func() (keys [2]*sign.Signer, err error) {
	for i := range keys {
		dir, err := os.MkdirTemp("", "policy-test-")
		if err != nil {
			return keys, err
		}
		defer os.RemoveAll(dir)
		if keys[i], err = sign.LoadOrCreateKey(dir, "x"); err != nil {
			return keys, err
		}
	}
	return keys, nil
})

func newPlace(t *testing.T) *place {
	t.Helper()
	server, err := registryserver.Serve(t.Context(), registryserver.Options{Root: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	p := &place{dir: t.TempDir()}
	if p.reg, err = oci.NewRegistry(canonical, server.Addr(), oci.WithPatience(2, time.Millisecond, time.Millisecond, time.Minute)); err != nil {
		t.Fatal(err)
	}
	img, err := random.Image(100, 1)
	if err != nil {
		t.Fatal(err)
	}
	if p.digest, err = p.reg.Push(t.Context(), canonical+"/release:"+version, img); err != nil {
		t.Fatal(err)
	}
	p.ref = canonical + "/release@" + p.digest.String()
	keys, err := sharedKeys()
	if err != nil {
		t.Fatal(err)
	}
	p.old, p.new = keys[0], keys[1]
	p.write(t, "old.pub", string(p.old.PublicKey()))
	p.write(t, "new.pub", string(p.new.PublicKey()))
	e, err := pgp.NewEntity("Releases", "", "releases@example.internal", nil)
	if err != nil {
		t.Fatal(err)
	}
	var private bytes.Buffer
	if err := e.SerializePrivateWithoutSigning(&private, nil); err != nil {
		t.Fatal(err)
	}
	if p.gpg, err = openpgp.NewSigner(private.Bytes(), ""); err != nil {
		t.Fatal(err)
	}
	armored, err := p.gpg.Armor()
	if err != nil {
		t.Fatal(err)
	}
	p.write(t, "releases.asc", string(armored))
	if err := os.Mkdir(filepath.Join(p.dir, "store"), 0o755); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *place) write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (p *place) load(t *testing.T, text string) *policy.Policy {
	t.Helper()
	loaded, err := policy.Load(t.Context(), p.write(t, "policy.yaml", header+text), policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

func (p *place) subject(t *testing.T) policy.Subject {
	t.Helper()
	v, err := release.Parse(version)
	if err != nil {
		t.Fatal(err)
	}
	return policy.Subject{Source: p.reg, Reference: p.ref, Version: v, Architecture: "amd64"}
}

func (p *place) sign(t *testing.T, s *sign.Signer, c sign.Claim) {
	t.Helper()
	if err := s.Sign(t.Context(), p.reg, p.ref, c); err != nil {
		t.Fatal(err)
	}
}

func (p *place) attest(t *testing.T, s *sign.Signer, predicateType string, predicate any) {
	t.Helper()
	if _, err := s.Attest(t.Context(), p.reg, p.ref, predicateType, predicate); err != nil {
		t.Fatal(err)
	}
}

func (p *place) keep(t *testing.T, reference string) {
	t.Helper()
	c, err := openpgp.NewClaim(reference, claim, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.gpg.Keep(t.Context(), c, openpgp.Places{Dir: filepath.Join(p.dir, "store"), ConfigMap: filepath.Join(p.dir, "map.yaml")}); err != nil {
		t.Fatal(err)
	}
}

const twoKeys = "signers:\n  old: {key: old.pub}\n  new: {key: new.pub}\n"

func TestVerify(t *testing.T) {
	passed := map[string]string{"result": "PASSED"}
	for _, test := range []struct {
		name     string
		policy   string
		prepare  func(t *testing.T, p *place)
		problems []string // none when it is accepted
	}{
		{"any of, new key", twoKeys + "signatures: [{anyOf: [old, new]}]", func(t *testing.T, p *place) { p.sign(t, p.new, claim) }, nil},
		{"any of, neither", twoKeys + "signatures: [{anyOf: [old, new]}]", func(*testing.T, *place) {},
			[]string{"it takes a good signature of one of old, new, and there is none"}},
		{"all of, one missing", twoKeys + "signatures: [{allOf: [old, new]}]", func(t *testing.T, p *place) { p.sign(t, p.new, claim) },
			[]string{"each of old, new, and there is only that of new"}},
		{"all of", twoKeys + "signatures: [{allOf: [old, new]}]", func(t *testing.T, p *place) { p.sign(t, p.new, claim); p.sign(t, p.old, claim) }, nil},
		{"the same key twice is not two", twoKeys + "signatures: [{of: [old, new], atLeast: 2}]", func(t *testing.T, p *place) {
			p.sign(t, p.new, claim)
			p.sign(t, p.new, sign.Claim{Version: version})
		}, []string{"only that of new"}},
		{"other version signed", twoKeys + "signatures: [{anyOf: [new]}]", func(t *testing.T, p *place) { p.sign(t, p.new, sign.Claim{Version: "1.36.4"}) }, []string{"a good signature of new"}},
		{"other architecture signed", twoKeys + "signatures: [{anyOf: [new]}]", func(t *testing.T, p *place) {
			p.sign(t, p.new, sign.Claim{Version: version, Architecture: "arm64"})
		}, []string{"a good signature of new"}},
		{"unbound version", twoKeys + "signatures: [{anyOf: [new]}]", func(t *testing.T, p *place) { p.sign(t, p.new, sign.Claim{}) }, []string{"a good signature of new"}},
		{"unbound version allowed", twoKeys + "signatures: [{anyOf: [new]}]\nbind: []", func(t *testing.T, p *place) { p.sign(t, p.new, sign.Claim{}) }, nil},
		{"stream must be bound", twoKeys + "signatures: [{anyOf: [new]}]\nbind: [version, stream]", func(t *testing.T, p *place) { p.sign(t, p.new, sign.Claim{Version: version}) }, []string{"a good signature of new"}},
		{"payload constraints", twoKeys + "signatures: [{anyOf: [new]}]\npayload: {versions: \">=1.37.0\", streams: [stable], architectures: [arm64], notBefore: 1.36.3-0.nightly-2026-11-21-000000}",
			func(t *testing.T, p *place) { p.sign(t, p.new, claim) },
			[]string{"is not in >=1.37.0", "is older than 1.36.3-0.nightly-2026-11-21-000000", `stream "nightly" is none of stable`, `architecture "amd64" is none of arm64`}},
		{"payload constraints met", twoKeys + "signatures: [{anyOf: [new]}]\npayload: {versions: \">=1.36.3-0 <1.37.0\", streams: [nightly], architectures: [multi, amd64], notBefore: " + version + "}",
			func(t *testing.T, p *place) { p.sign(t, p.new, claim) }, nil},
		{"everything missing at once", twoKeys + "signatures: [{anyOf: [old]}, {anyOf: [new]}]\nevidence:\n- predicateType: test-result\n- predicateType: spdx\n  signedBy: {anyOf: [new]}",
			func(*testing.T, *place) {}, []string{"signature of old", "signature of new", "test-result/v0.1 of one of new, old", "https://spdx.dev/Document of new"}},
		{"evidence", twoKeys + "signatures: [{anyOf: [new]}]\nevidence:\n- {predicateType: test-result, result: Passed, maxAge: 1h, signedBy: {anyOf: [new]}}",
			func(t *testing.T, p *place) {
				p.sign(t, p.new, claim)
				p.attest(t, p.new, sign.PredicateTestResult, passed)
			}, nil},
		{"evidence of another signer", twoKeys + "signatures: [{anyOf: [new]}]\nevidence:\n- {predicateType: test-result, signedBy: {anyOf: [new]}}",
			func(t *testing.T, p *place) {
				p.sign(t, p.new, claim)
				p.attest(t, p.old, sign.PredicateTestResult, passed)
			}, []string{"evidence https://in-toto.io/attestation/test-result/v0.1 of new, and there is none"}},
		{"evidence with another result", twoKeys + "signatures: [{anyOf: [new]}]\nevidence:\n- {predicateType: test-result, result: Passed}",
			func(t *testing.T, p *place) {
				p.sign(t, p.new, claim)
				p.attest(t, p.new, sign.PredicateTestResult, map[string]string{"result": "FAILED"})
			}, []string{"with result Passed"}},
		{"a newer failure withdraws a pass", twoKeys + "signatures: [{anyOf: [new]}]\nevidence:\n- {predicateType: test-result, result: Passed}",
			func(t *testing.T, p *place) {
				p.sign(t, p.new, claim)
				p.attest(t, p.old, sign.PredicateTestResult, passed)
				p.attest(t, p.new, sign.PredicateTestResult, map[string]string{"result": "FAILED"})
			}, []string{"with result Passed"}},
		{"a newer pass makes up for a failure", twoKeys + "signatures: [{anyOf: [new]}]\nevidence:\n- {predicateType: test-result, result: Passed}",
			func(t *testing.T, p *place) {
				p.sign(t, p.new, claim)
				p.attest(t, p.new, sign.PredicateTestResult, map[string]string{"result": "FAILED"})
				p.attest(t, p.new, sign.PredicateTestResult, passed)
			}, nil},
		{"two must have tested", twoKeys + "signatures: [{anyOf: [new]}]\nevidence:\n- {predicateType: test-result, signedBy: {allOf: [old, new]}}",
			func(t *testing.T, p *place) {
				p.sign(t, p.new, claim)
				p.attest(t, p.old, sign.PredicateTestResult, passed)
			}, []string{"only that of old"}},
		{"OpenPGP from a store", "signers: {gpg: {openPGP: releases.asc}}\nsignatures: [{anyOf: [gpg]}]\nstores: [store]",
			func(t *testing.T, p *place) { p.keep(t, p.ref) }, nil},
		{"OpenPGP from a ConfigMap", "signers: {gpg: {openPGP: releases.asc}}\nsignatures: [{anyOf: [gpg]}]\nconfigMaps: [map.yaml]",
			func(t *testing.T, p *place) { p.keep(t, p.ref) }, nil},
		{"OpenPGP missing", "signers: {gpg: {openPGP: releases.asc}}\nsignatures: [{anyOf: [gpg]}]\nstores: [store]", func(*testing.T, *place) {}, []string{"a good signature of gpg"}},
		{"both worlds", twoKeys + "  gpg: {openPGP: releases.asc}\nsignatures: [{anyOf: [old, new]}, {anyOf: [gpg]}]\nstores: [store]",
			func(t *testing.T, p *place) { p.sign(t, p.old, claim); p.keep(t, p.ref) }, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPlace(t)
			test.prepare(t, p)
			report, err := p.load(t, test.policy).Verify(t.Context(), p.subject(t))
			if err != nil {
				t.Fatal(err)
			}
			if (report.Verdict == policy.Accepted) != (len(test.problems) == 0) || len(report.Problems) != len(test.problems) {
				t.Fatalf("%s: %q", report.Verdict, report.Problems)
			}
			for i, part := range test.problems {
				if !strings.Contains(report.Problems[i], part) {
					t.Errorf("problem %q lacks %q", report.Problems[i], part)
				}
			}
		})
	}
}

// TestReportShowsEverything has good and bad signatures and statements.
func TestReportShowsEverything(t *testing.T) {
	p := newPlace(t)
	p.sign(t, p.old, claim)
	p.sign(t, p.new, sign.Claim{Version: "1.36.4", Stream: "stable"})
	p.attest(t, p.old, sign.PredicateTestResult, map[string]string{"result": "PASSED"})
	p.attest(t, p.new, sign.PredicateTestResult, map[string]string{"result": "FAILED"})
	report, err := p.load(t, "signers: {new: {key: new.pub}}\nsignatures: [{anyOf: [new]}]\nevidence: [{predicateType: test-result, result: Passed}]").Verify(t.Context(), p.subject(t))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range report.Signatures {
		got = append(got, fmt.Sprint(s.Form, s.Signers, s.Reason))
	}
	for _, e := range report.Evidence {
		got = append(got, fmt.Sprint(e.Signers, e.Result, e.Reason))
	}
	want := []string{
		fmt.Sprintf("cosign[]it is signed with key %s, which is not trusted (trusted: %s)", p.old.KeyID(), p.new.KeyID()),
		`cosign[new]it was signed as version "1.36.4", not "` + version + `", and stream "stable", not "nightly"`,
		`[new]FAILEDits result is "FAILED", not "Passed"`,
		fmt.Sprintf("[]it is signed with key %s, which is not trusted (trusted: %s)", p.old.KeyID(), p.new.KeyID()),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestAge moves the clock.
func TestAge(t *testing.T) {
	p := newPlace(t)
	p.sign(t, p.new, claim)
	p.attest(t, p.new, sign.PredicateSBOM, map[string]string{})
	loaded := p.load(t, twoKeys+"signatures: [{anyOf: [new]}]\nevidence: [{predicateType: spdx, maxAge: 2d}]")
	for after, verdict := range map[time.Duration]string{time.Hour: policy.Accepted, 72 * time.Hour: policy.Refused, -time.Hour: policy.Refused} {
		s := p.subject(t)
		s.Now = time.Now().Add(after)
		if report, err := loaded.Verify(t.Context(), s); err != nil || report.Verdict != verdict {
			t.Errorf("after %v: %+v, %v", after, report, err)
		}
	}
}

// TestUnreadable has places that cannot be read: that is no refusal.
func TestUnreadable(t *testing.T) {
	p := newPlace(t)
	text := "signers: {gpg: {openPGP: releases.asc}}\nsignatures: [{anyOf: [gpg]}]\nstores: [nowhere, store]"
	if _, err := p.load(t, text).Verify(t.Context(), p.subject(t)); err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("a store that is not there: %v", err)
	}
	p.keep(t, p.ref)
	if report, err := p.load(t, text).Verify(t.Context(), p.subject(t)); err != nil || report.Verdict != policy.Accepted {
		t.Errorf("one of two stores is enough: %+v, %v", report, err)
	}
	down, err := oci.NewRegistry(canonical, "127.0.0.1:1", oci.WithPatience(1, time.Millisecond, time.Millisecond, time.Second))
	if err != nil {
		t.Fatal(err)
	}
	s := p.subject(t)
	s.Source = down
	if report, err := p.load(t, twoKeys+"signatures: [{anyOf: [new]}]").Verify(t.Context(), s); err == nil {
		t.Errorf("a registry that is down: %+v", report)
	}
}

func TestAnyOf(t *testing.T) {
	p := newPlace(t)
	p.sign(t, p.old, claim)
	for name, test := range map[string]struct {
		keys    *sign.Verifier
		keyring *openpgp.Verifier
		verdict string
	}{
		"old":        {p.old.Verifier(), nil, policy.Accepted},
		"new":        {p.new.Verifier(), nil, policy.Refused},
		"both":       {sign.AnyOf(p.new.Verifier(), p.old.Verifier()), nil, policy.Accepted},
		"or OpenPGP": {p.old.Verifier(), p.gpg.Verifier(), policy.Accepted},
		"OpenPGP":    {nil, p.gpg.Verifier(), policy.Refused},
	} {
		made, err := policy.AnyOf(test.keys, test.keyring, openpgp.Dir(filepath.Join(p.dir, "store")))
		if err != nil {
			t.Fatal(err)
		}
		if report, err := made.Verify(t.Context(), p.subject(t)); err != nil || report.Verdict != test.verdict {
			t.Errorf("%s: %+v, %v", name, report, err)
		}
	}
	if _, err := policy.AnyOf(nil, nil); err == nil {
		t.Error("a policy that trusts nobody was made")
	}
}

func TestPoliciesThatAreWrong(t *testing.T) {
	p := newPlace(t)
	for name, test := range map[string]struct {
		text  string
		parts []string
	}{
		"empty":            {"", []string{"empty"}},
		"other kind":       {"kind: Policy\n" + twoKeys + "signatures: [{anyOf: [old]}]", []string{"apiVersion and kind"}},
		"unknown fields":   {header + twoKeys + "signatures: [{anyOf: [old], none: 1}]\nsigner: x", []string{"line 6", `no field "none"`, `no field "signer"`}},
		"two documents":    {header + twoKeys + "signatures: [{anyOf: [old]}]\n---\na: b", []string{"more than one document"}},
		"no YAML":          {"a: [", []string{"line 1"}},
		"nobody":           {header, []string{"signers: there must be", "signatures: there must be"}},
		"all at once":      {header + twoKeys + "signatures: [{anyOf: [nobody]}, {of: [old], atLeast: 2}, {}]\nbind: [name]\nevidence: [{predicateType: x, maxAge: never}]\npayload: {versions: \"?\", notBefore: one}", []string{`no signer "nobody"`, "atLeast must be", "signatures[2]: give one of", `bind: "name"`, "evidence[0].predicateType", "evidence[0].maxAge", "payload.versions", "payload.notBefore"}},
		"no such key":      {header + "signers: {a: {key: missing.pub}, b: {openPGP: missing.asc}}\nsignatures: [{anyOf: [a]}]", []string{"signers.a", "missing.pub", "signers.b", "missing.asc"}},
		"key twice":        {header + "signers: {a: {key: old.pub}, b: {key: old.pub}}\nsignatures: [{allOf: [a, b]}]", []string{"signers.b", `signer "a"'s already`}},
		"two ways at once": {header + "signers: {a: {key: old.pub, openPGP: releases.asc}}\nsignatures: [{anyOf: [a]}]", []string{"signers.a: give one of"}},
		"identity alone":   {header + "signers: {a: {identity: {subject: x, issuer: y}}}\nsignatures: [{anyOf: [a]}]", []string{"identity and trustedRoot belong together"}},
		"OpenPGP evidence": {header + "signers: {a: {openPGP: releases.asc}}\nsignatures: [{anyOf: [a]}]\nevidence: [{predicateType: spdx}]", []string{"OpenPGP keys cannot"}},
		"named twice":      {header + twoKeys + "signatures: [{of: [old, old], atLeast: 2}]", []string{"named twice"}},
		"empty signer":     {header + "signers: {a: }\nsignatures: [{anyOf: [a]}]", []string{"signers.a: it is empty"}},
	} {
		t.Run(name, func(t *testing.T) {
			path := p.write(t, "policy.yaml", test.text)
			_, err := policy.Load(t.Context(), path, policy.Options{})
			if err == nil {
				t.Fatal("it was accepted")
			}
			for _, part := range append(test.parts, path) {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q lacks %q", err, part)
				}
			}
			if strings.ContainsAny(err.Error(), "\n") || strings.Contains(err.Error(), "policy.document") {
				t.Errorf("%q is not for people", err)
			}
		})
	}
}

// FuzzPolicy reads policies that may hold anything: they are refused, or they are
// complete.
func FuzzPolicy(f *testing.F) {
	f.Add([]byte(header + twoKeys + "signatures: [{anyOf: [old, new]}]\nevidence: [{predicateType: spdx, maxAge: 1d}]"))
	f.Add([]byte(header + "signers: {a: {openPGPArmor: x}, b: {keyPEM: y}, c: {identity: {subject: a}, trustedRoot: /}}\nsignatures: [{of: [a], atLeast: 1}]\npayload: {versions: \">1\"}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := policy.Parse(t.Context(), data, policy.Options{Dir: t.TempDir(), Keys: sign.KeySource{Getenv: func(string) string { return "" }}})
		if err == nil && (len(p.Signatures) == 0 || len(p.Signers) == 0) {
			t.Errorf("a policy without signatures was read from %q", data)
		}
	})
}
