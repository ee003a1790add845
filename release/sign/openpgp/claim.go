package openpgp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	strictjson "sigs.k8s.io/json"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/sign"
)

// claimType is what a claim must call itself.
const claimType = "atomic container signature"

// Claim is what a message says about a digest.
type Claim struct {
	Digest    v1.Hash
	Reference string    // under which the image was signed, "HOST/REPOSITORY:TAG"
	Creator   string    // program that made the claim
	Time      time.Time // whole seconds; zero when it is not said
}

// document is a claim's JSON.
type document struct {
	Critical struct {
		Type  string `json:"type"`
		Image struct {
			Digest string `json:"docker-manifest-digest"`
		} `json:"image"`
		Identity struct {
			Reference string `json:"docker-reference"`
		} `json:"identity"`
	} `json:"critical"`
	Optional struct {
		Creator   string `json:"creator,omitempty"`
		Timestamp int64  `json:"timestamp,omitempty"` // seconds since 1970
	} `json:"optional"`
}

// NewClaim binds what says says to the digest that reference ends in. The time
// is when it is said.
func NewClaim(reference string, says sign.Claim, now time.Time) (Claim, error) {
	name, hex, _ := strings.Cut(reference, "@")
	digest, err := v1.NewHash(hex)
	if err != nil || digest.Algorithm != "sha256" {
		return Claim{}, fmt.Errorf("signing image %q: the reference must end in a digest, @sha256:…", reference)
	}
	if says.Version == "" {
		return Claim{}, fmt.Errorf("signing image %q: the claim needs a version", reference)
	}
	for _, part := range []string{says.Stream, says.Architecture} {
		if !word.MatchString(part) {
			return Claim{}, fmt.Errorf("signing image %q: %q cannot stand in a claim; only letters, digits, dots, dashes and underscores can", reference, part)
		}
	}
	return Claim{
		Digest: digest, Reference: repositoryOf(name) + ":" + says.Version, Time: now.UTC().Truncate(time.Second),
		Creator: "slipway (stream=" + says.Stream + "; architecture=" + says.Architecture + ")",
	}, nil
}

var word = regexp.MustCompile(`^[A-Za-z0-9._-]*$`)

// repositoryOf drops the tag.
func repositoryOf(name string) string {
	if slash, colon := strings.LastIndex(name, "/"), strings.LastIndex(name, ":"); colon > slash {
		return name[:colon]
	}
	return name
}

// JSON returns the claim as it is signed.
func (c Claim) JSON() ([]byte, error) {
	var d document
	d.Critical.Type = claimType
	d.Critical.Image.Digest = c.Digest.String()
	d.Critical.Identity.Reference = c.Reference
	d.Optional.Creator = c.Creator
	if !c.Time.IsZero() {
		d.Optional.Timestamp = c.Time.Unix()
	}
	return json.Marshal(d)
}

// ParseClaim reads a claim as strictly as clusters do: fields that they do not
// know, fields given twice and anything behind the end are errors.
func ParseClaim(data []byte) (Claim, error) {
	var d document
	unknown, err := strictjson.UnmarshalStrict(data, &d)
	if err = errors.Join(append(unknown, err)...); err != nil {
		return Claim{}, fmt.Errorf("it is no claim: %s", oneLine(err))
	}
	if d.Critical.Type != claimType {
		return Claim{}, fmt.Errorf("its type is %q, not %q", d.Critical.Type, claimType)
	}
	digest, err := v1.NewHash(d.Critical.Image.Digest)
	if err != nil || digest.Algorithm != "sha256" {
		return Claim{}, fmt.Errorf("its digest is %q, which is no sha256 digest", d.Critical.Image.Digest)
	}
	if d.Critical.Identity.Reference == "" {
		return Claim{}, errors.New("its docker-reference is empty")
	}
	c := Claim{Digest: digest, Reference: d.Critical.Identity.Reference, Creator: d.Optional.Creator}
	if d.Optional.Timestamp != 0 {
		c.Time = time.Unix(d.Optional.Timestamp, 0).UTC()
	}
	return c, nil
}

func oneLine(err error) string {
	return string(bytes.ReplaceAll([]byte(err.Error()), []byte("\n"), []byte("; ")))
}

// architectures are the endings that oc gives to a release's tag, and what they
// mean.
var architectures = map[string]string{
	"-x86_64": "amd64", "-aarch64": "arm64", "-ppc64le": "ppc64le", "-s390x": "s390x", "-multi": "multi",
}

var ourComment = regexp.MustCompile(`^slipway \(stream=([A-Za-z0-9._-]*); architecture=([A-Za-z0-9._-]*)\)$`)

// Says is what the claim binds to its digest. Of a claim that Slipway did not
// make that is the version in the reference's tag, with the stream that belongs
// to it, and an architecture where oc's ending of the tag names one. What is not
// said is "".
func (c Claim) Says() sign.Claim {
	name, _, _ := strings.Cut(c.Reference, "@")
	tag := strings.TrimPrefix(strings.TrimPrefix(name, repositoryOf(name)), ":")
	says := sign.Claim{Version: tag}
	if ours := ourComment.FindStringSubmatch(c.Creator); ours != nil {
		says.Stream, says.Architecture = ours[1], ours[2]
		return says
	}
	for ending, architecture := range architectures {
		if version, ok := strings.CutSuffix(tag, ending); ok {
			says.Version, says.Architecture = version, architecture
		}
	}
	v, err := release.Parse(says.Version)
	if err != nil {
		return sign.Claim{}
	}
	says.Stream = v.Stream()
	return says
}
