package policy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/sign"
)

// The verdicts of a report.
const (
	Accepted = "Accepted"
	Refused  = "Refused"
)

// Subject is a payload to be judged, and what its own content says about it.
type Subject struct {
	Source       sign.Source
	Reference    string // ends in the digest
	Version      release.Version
	Architecture string    // "amd64", or "multi" of an index
	Now          time.Time // the clock's time when zero
}

// Report is what was found. Everything that was looked at is in it, good or not.
type Report struct {
	Reference    string      `json:"reference"`
	Version      string      `json:"version"`
	Stream       string      `json:"stream,omitempty"`
	Architecture string      `json:"architecture,omitempty"`
	Verdict      string      `json:"verdict"`
	Signatures   []Signature `json:"signatures"`
	Evidence     []Evidence  `json:"evidence,omitempty"`
	// Problems is why the payload is refused, each a sentence.
	Problems []string `json:"problems,omitempty"`
}

// Signature is one that was found.
type Signature struct {
	sign.Signature
	Signers []string `json:"signers,omitempty"` // names in the policy of those whose it is
}

// Evidence is a statement that was found, of a type that the policy asks for.
type Evidence struct {
	PredicateType string    `json:"predicateType"`
	Digest        string    `json:"digest"`
	Time          time.Time `json:"time,omitzero"` // zero when nobody trusted vouches for it
	Signers       []string  `json:"signers,omitempty"`
	Result        string    `json:"result,omitempty"`
	Reason        string    `json:"reason,omitempty"` // why it does not count, "" when it does
}

// Verify judges a payload. An error means that something could not be read, so
// that nothing can be said; a payload that was refused is no error.
func (p *Policy) Verify(ctx context.Context, s Subject) (*Report, error) {
	if s.Now.IsZero() {
		s.Now = time.Now()
	}
	r := &Report{Reference: s.Reference, Version: s.Version.String(), Stream: s.Version.Stream(), Architecture: s.Architecture, Verdict: Accepted}
	r.Problems = p.Payload.problems(s)
	if problem := p.vouches(s); problem != "" {
		r.Problems = append(r.Problems, problem)
	}
	unread := p.verifySignatures(ctx, s, r)
	for _, need := range p.Evidence {
		if err := p.verifyEvidence(ctx, s, need, r); err != nil {
			unread = append(unread, err)
		}
	}
	if len(r.Problems) == 0 {
		return r, ctx.Err()
	}
	// What is missing may be in what could not be read.
	if err := errors.Join(unread...); err != nil {
		return nil, fmt.Errorf("verifying payload %q: %s; %s", s.Reference, strings.Join(r.Problems, "; "), strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	r.Verdict = Refused
	return r, ctx.Err()
}

// problems says what about the payload itself is not wanted.
func (n payloadNeed) problems(s Subject) []string {
	var found []string
	if n.versions != nil && !n.versions(s.Version.Semver()) {
		found = append(found, fmt.Sprintf("version %s is not in %s", s.Version, n.Versions))
	}
	if !n.notBefore.IsZero() && s.Version.Compare(n.notBefore) < 0 {
		found = append(found, fmt.Sprintf("version %s is older than %s, before which nothing is accepted", s.Version, n.notBefore))
	}
	if len(n.Streams) > 0 && !slices.Contains(n.Streams, s.Version.Stream()) {
		found = append(found, fmt.Sprintf("stream %q is none of %s", s.Version.Stream(), strings.Join(n.Streams, ", ")))
	}
	if len(n.Architectures) > 0 && !slices.Contains(n.Architectures, s.Architecture) {
		found = append(found, fmt.Sprintf("architecture %q is none of %s", s.Architecture, strings.Join(n.Architectures, ", ")))
	}
	return found
}

// verifySignatures reads all signatures there are, and returns what could not be
// read.
func (p *Policy) verifySignatures(ctx context.Context, s Subject, r *Report) []error {
	r.Signatures = []Signature{}
	var unread []error
	if p.keys != nil {
		found, err := p.keys.Signatures(ctx, s.Source, s.Reference, sign.Claim{})
		if err != nil {
			unread = append(unread, err)
		}
		for _, one := range found {
			r.Signatures = append(r.Signatures, p.judge(one, s))
		}
	}
	if p.keyring != nil {
		found, errs := p.messages(ctx, s)
		unread = append(unread, errs...)
		r.Signatures = append(r.Signatures, found...)
	}
	signed := map[string]bool{}
	for _, one := range r.Signatures {
		for _, name := range one.Signers {
			signed[name] = signed[name] || one.Reason == ""
		}
	}
	for _, q := range p.Signatures {
		if names, needed := q.who(); count(names, signed) < needed {
			r.Problems = append(r.Problems, fmt.Sprintf("it takes a good signature of %s, and there is %s", q, listed(names, signed)))
		}
	}
	return unread
}

// messages reads the OpenPGP messages of all stores.
func (p *Policy) messages(ctx context.Context, s Subject) (all []Signature, unread []error) {
	_, hex, _ := strings.Cut(s.Reference, "@")
	digest, err := v1.NewHash(hex)
	if err != nil {
		return nil, []error{fmt.Errorf("verifying payload %q: the reference must end in a digest", s.Reference)}
	}
	keyring := p.keyring.At(s.Now)
	for _, store := range p.stores {
		found, err := store.Messages(ctx, digest)
		if err != nil {
			unread = append(unread, err)
			continue
		}
		for _, m := range found {
			one := keyring.Check(m.Message, digest, sign.Claim{})
			one.Place = m.Place
			all = append(all, p.judge(one, s))
		}
	}
	return all, unread
}

// judge compares what a good signature claims with what the payload is. What it
// claims must be so; what the policy wants bound, it must claim.
func (p *Policy) judge(found sign.Signature, s Subject) Signature {
	one := Signature{Signature: found, Signers: p.named(found.SignedBy)}
	if found.Reason != "" {
		return one
	}
	var want sign.Claim
	for _, f := range []struct {
		name, is string
		claims   string
		want     *string
	}{
		{"version", s.Version.String(), found.Claim.Version, &want.Version},
		{"stream", s.Version.Stream(), found.Claim.Stream, &want.Stream},
		{"architecture", s.Architecture, found.Claim.Architecture, &want.Architecture},
	} {
		if f.claims != "" || slices.Contains(*p.Bind, f.name) {
			*f.want = f.is
		}
	}
	one.Reason = found.Claim.Differs(want)
	return one
}

func (p *Policy) named(ids []string) []string {
	var names []string
	for _, id := range ids {
		if name := p.names[id]; name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func count(names []string, good map[string]bool) int {
	n := 0
	for _, name := range names {
		if good[name] {
			n++
		}
	}
	return n
}

func listed(names []string, good map[string]bool) string {
	var have []string
	for _, name := range names {
		if good[name] {
			have = append(have, name)
		}
	}
	if len(have) == 0 {
		return "none"
	}
	return "only that of " + strings.Join(have, ", ")
}

// verifyEvidence looks for one kind of evidence. The newest statement of each
// signer counts, and the newest of all must be good: what somebody took back
// later does not stand because somebody else said it before.
func (p *Policy) verifyEvidence(ctx context.Context, s Subject, need evidenceNeed, r *Report) error {
	if p.keys == nil {
		return fmt.Errorf("verifying payload %q: no key is trusted for evidence", s.Reference)
	}
	found, err := p.keys.Evidence(ctx, s.Source, s.Reference, need.PredicateType)
	if err != nil {
		r.Problems = append(r.Problems, fmt.Sprintf("evidence %s could not be read", need.PredicateType))
		return err
	}
	names, needed := need.SignedBy.who()
	good, seen := map[string]bool{}, map[string]bool{}
	superseded := false
	for _, st := range found.Statements {
		one := Evidence{PredicateType: st.PredicateType, Digest: st.Digest.String(), Signers: p.named(st.SignedBy), Result: st.Result()}
		if st.TimeProven {
			one.Time = st.Time
		}
		var newest []string // of whom this is the newest statement
		for _, name := range one.Signers {
			if slices.Contains(names, name) && !seen[name] {
				seen[name], newest = true, append(newest, name)
			}
		}
		switch {
		case !slices.ContainsFunc(one.Signers, func(n string) bool { return slices.Contains(names, n) }):
			one.Reason = "its signer is not asked for"
		case len(newest) == 0:
			one.Reason = "there is a newer one"
		case superseded:
			one.Reason = "a newer one does not count"
		default:
			one.Reason = need.lacks(one, s.Now)
			superseded = one.Reason != ""
			for _, name := range newest {
				good[name] = one.Reason == ""
			}
		}
		r.Evidence = append(r.Evidence, one)
	}
	for _, refused := range found.Refused {
		r.Evidence = append(r.Evidence, Evidence{PredicateType: need.PredicateType, Digest: refused.Digest.String(), Reason: refused.Reason})
	}
	if count(names, good) < needed {
		r.Problems = append(r.Problems, fmt.Sprintf("it takes evidence %s of %s, and there is %s", need, need.SignedBy, listed(names, good)))
	}
	return nil
}

func (n evidenceNeed) String() string {
	text := n.PredicateType
	if n.Result != "" {
		text += " with result " + n.Result
	}
	if n.maxAge > 0 {
		text += " not older than " + n.MaxAge
	}
	return text
}

// lacks says why a statement is not what is needed, "" when it is.
func (n evidenceNeed) lacks(e Evidence, now time.Time) string {
	var parts []string
	if n.Result != "" && !strings.EqualFold(n.Result, e.Result) {
		parts = append(parts, fmt.Sprintf("its result is %q, not %q", e.Result, n.Result))
	}
	switch {
	case n.maxAge == 0:
	case e.Time.IsZero():
		parts = append(parts, "nobody who is trusted says when it was made")
	case e.Time.After(now.Add(clockSkew)):
		parts = append(parts, fmt.Sprintf("it was made at %s, which is in the future", e.Time.UTC().Format(time.RFC3339)))
	case now.Sub(e.Time) > n.maxAge:
		parts = append(parts, fmt.Sprintf("it was made at %s, more than %s ago", e.Time.UTC().Format(time.RFC3339), n.MaxAge))
	}
	return strings.Join(parts, ", and ")
}

// clockSkew is how far the clocks of two hosts may be apart.
const clockSkew = 5 * time.Minute
