package policy

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/blang/semver/v4"
	"go.yaml.in/yaml/v3"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/sign"
)

const (
	apiVersion = "slipway.dev/v1alpha1"
	kind       = "VerificationPolicy"
)

// document is the file's form.
type document struct {
	APIVersion string             `yaml:"apiVersion"`
	Kind       string             `yaml:"kind"`
	Signers    map[string]*signer `yaml:"signers"`
	Signatures []quorum           `yaml:"signatures"`
	Bind       *[]string          `yaml:"bind"`
	Evidence   []evidenceNeed     `yaml:"evidence"`
	Payload    payloadNeed        `yaml:"payload"`
	Stores     []string           `yaml:"stores"`
	ConfigMaps []string           `yaml:"configMaps"`
}

// signer is one way to know somebody: a key, an identity, or a keyring.
type signer struct {
	Key          string    `yaml:"key"`
	KeyPEM       string    `yaml:"keyPEM"`
	Identity     *identity `yaml:"identity"`
	TrustedRoot  string    `yaml:"trustedRoot"`
	OpenPGP      string    `yaml:"openPGP"`
	OpenPGPArmor string    `yaml:"openPGPArmor"`
}

type identity struct {
	Subject       string `yaml:"subject"`
	SubjectRegexp string `yaml:"subjectRegexp"`
	Issuer        string `yaml:"issuer"`
	IssuerRegexp  string `yaml:"issuerRegexp"`
}

// quorum is how many of whom.
type quorum struct {
	AnyOf   []string `yaml:"anyOf"`
	AllOf   []string `yaml:"allOf"`
	Of      []string `yaml:"of"`
	AtLeast int      `yaml:"atLeast"`
}

// who returns the names and how many of them it takes.
func (q quorum) who() (names []string, needed int) {
	switch {
	case len(q.AnyOf) > 0:
		return q.AnyOf, 1
	case len(q.AllOf) > 0:
		return q.AllOf, len(q.AllOf)
	}
	return q.Of, q.AtLeast
}

func (q quorum) String() string {
	names, needed := q.who()
	switch {
	case needed == len(names) && needed == 1:
		return names[0]
	case needed == len(names):
		return "each of " + strings.Join(names, ", ")
	case needed == 1:
		return "one of " + strings.Join(names, ", ")
	}
	return fmt.Sprintf("%d of %s", needed, strings.Join(names, ", "))
}

type evidenceNeed struct {
	PredicateType string `yaml:"predicateType"`
	SignedBy      quorum `yaml:"signedBy"`
	MaxAge        string `yaml:"maxAge"`
	Result        string `yaml:"result"`

	maxAge time.Duration
}

type payloadNeed struct {
	Versions      string   `yaml:"versions"`
	Streams       []string `yaml:"streams"`
	Architectures []string `yaml:"architectures"`
	NotBefore     string   `yaml:"notBefore"`

	versions  semver.Range
	notBefore release.Version
}

// maxPolicy bounds a policy, in bytes.
const maxPolicy = 1 << 20

// decode reads a policy strictly; the error names everything that is wrong.
func decode(data []byte) (*document, error) {
	if len(data) > maxPolicy {
		return nil, fmt.Errorf("it has more than the %d bytes allowed", maxPolicy)
	}
	var d document
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	if err := decoder.Decode(&d); err != nil {
		var several *yaml.TypeError
		if errors.As(err, &several) {
			return nil, problems(several.Errors)
		}
		if errors.Is(err, io.EOF) {
			return nil, errors.New("it is empty")
		}
		return nil, errors.New(readable(strings.TrimPrefix(err.Error(), "yaml: ")))
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("it holds more than one document")
	}
	return &d, problems(d.check())
}

// problems joins findings to one error; nil when there are none.
func problems(found []string) error {
	if len(found) == 0 {
		return nil
	}
	for i := range found {
		found[i] = readable(found[i])
	}
	return errors.New(strings.Join(found, "; "))
}

var unknownField = regexp.MustCompile(`field (\S+) not found in type \S+`)

// readable keeps names of Go types out of messages.
func readable(message string) string {
	message = unknownField.ReplaceAllString(message, `there is no field "$1"`)
	return strings.ReplaceAll(message, "\n", " ")
}

// check returns what is wrong with the policy, and completes it.
func (d *document) check() []string {
	var found []string
	wrong := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	if d.APIVersion != apiVersion || d.Kind != kind {
		wrong("apiVersion and kind must be %s and %s, not %q and %q", apiVersion, kind, d.APIVersion, d.Kind)
	}
	if len(d.Signers) == 0 {
		wrong("signers: there must be one or more")
	}
	for _, name := range slices.Sorted(maps.Keys(d.Signers)) {
		d.Signers[name].check(name, wrong)
	}
	if len(d.Signatures) == 0 {
		wrong("signatures: there must be one or more; without, nothing is verified")
	}
	for i, q := range d.Signatures {
		d.checkQuorum(fmt.Sprintf("signatures[%d]", i), q, wrong)
	}
	if d.Bind == nil {
		d.Bind = &[]string{"version"}
	}
	for _, b := range *d.Bind {
		if !slices.Contains([]string{"version", "stream", "architecture"}, b) {
			wrong("bind: %q is none of version, stream, architecture", b)
		}
	}
	for i := range d.Evidence {
		d.checkEvidence(fmt.Sprintf("evidence[%d]", i), &d.Evidence[i], wrong)
	}
	d.Payload.check(wrong)
	return found
}

func (s *signer) check(name string, wrong func(string, ...any)) {
	if s == nil {
		wrong("signers.%s: it is empty", name)
		return
	}
	given := 0
	for _, is := range []bool{s.Key != "", s.KeyPEM != "", s.Identity != nil, s.OpenPGP != "", s.OpenPGPArmor != ""} {
		if is {
			given++
		}
	}
	if given != 1 {
		wrong("signers.%s: give one of key, keyPEM, identity, openPGP and openPGPArmor, not %d", name, given)
	}
	if (s.Identity != nil) != (s.TrustedRoot != "") {
		wrong("signers.%s: identity and trustedRoot belong together", name)
	}
}

// openPGP says whether the signer is one of OpenPGP's.
func (s *signer) openPGP() bool { return s.OpenPGP != "" || s.OpenPGPArmor != "" }

func (d *document) checkQuorum(where string, q quorum, wrong func(string, ...any)) {
	given := 0
	for _, list := range [][]string{q.AnyOf, q.AllOf, q.Of} {
		if len(list) > 0 {
			given++
		}
	}
	if given != 1 || (q.AtLeast != 0) != (len(q.Of) > 0) {
		wrong("%s: give one of anyOf, allOf, and of with atLeast", where)
		return
	}
	names, needed := q.who()
	if needed < 1 || needed > len(names) {
		wrong("%s: atLeast must be from 1 to %d, not %d", where, len(names), needed)
	}
	for i, name := range names {
		if _, ok := d.Signers[name]; !ok {
			wrong("%s: there is no signer %q", where, name)
		}
		if slices.Contains(names[:i], name) {
			wrong("%s: signer %q is named twice", where, name)
		}
	}
}

func (d *document) checkEvidence(where string, e *evidenceNeed, wrong func(string, ...any)) {
	uri, err := sign.PredicateURI(e.PredicateType)
	if err != nil {
		wrong("%s.predicateType: %v", where, err)
	}
	e.PredicateType = uri
	if e.SignedBy.Of == nil && e.SignedBy.AnyOf == nil && e.SignedBy.AllOf == nil && e.SignedBy.AtLeast == 0 {
		for _, name := range slices.Sorted(maps.Keys(d.Signers)) {
			if s := d.Signers[name]; s != nil && !s.openPGP() {
				e.SignedBy.AnyOf = append(e.SignedBy.AnyOf, name)
			}
		}
		if len(e.SignedBy.AnyOf) == 0 {
			wrong("%s: no signer can sign evidence; OpenPGP keys cannot", where)
			return
		}
	}
	d.checkQuorum(where+".signedBy", e.SignedBy, wrong)
	names, _ := e.SignedBy.who()
	for _, name := range names {
		if s := d.Signers[name]; s != nil && s.openPGP() {
			wrong("%s.signedBy: signer %q has an OpenPGP key, which cannot sign evidence", where, name)
		}
	}
	if e.MaxAge != "" {
		if e.maxAge, err = parseAge(e.MaxAge); err != nil {
			wrong("%s.maxAge: %v", where, err)
		}
	}
}

// parseAge reads a duration as Go writes it, or in days: "36h", "30d".
func parseAge(text string) (time.Duration, error) {
	age, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n int
		n, err = strconv.Atoi(days)
		age = time.Duration(n) * 24 * time.Hour
		if n > 100_000 {
			err = errors.New("too long")
		}
	}
	if err != nil || age <= 0 {
		return 0, fmt.Errorf("%q is no duration such as 36h or 30d", text)
	}
	return age, nil
}

func (p *payloadNeed) check(wrong func(string, ...any)) {
	var err error
	if p.Versions != "" {
		if p.versions, err = semver.ParseRange(p.Versions); err != nil {
			wrong("payload.versions: %q is no range of versions such as \">=1.36.0 <2.0.0\"", p.Versions)
		}
	}
	if p.NotBefore != "" {
		if p.notBefore, err = release.Parse(p.NotBefore); err != nil {
			wrong("payload.notBefore: %v", err)
		}
	}
	for _, s := range slices.Concat(p.Streams, p.Architectures) {
		if cmp.Or(strings.TrimSpace(s), "") == "" {
			wrong("payload: a stream or architecture is empty")
		}
	}
}
