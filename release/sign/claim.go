package sign

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/sigstore/cosign/v2/pkg/oci/static"
	"github.com/sigstore/sigstore/pkg/signature/payload"
)

const (
	maxSignatures = 100      // of one image that are looked at
	maxClaim      = 64 << 10 // bytes

	// keyAnnotation is on a signature, unsigned: it only helps to say why a
	// signature was refused.
	keyAnnotation = "dev.slipway.key-id"
)

// Claim is what a signature says about a digest. Its fields are the claim's
// annotations, which `cosign verify -a version=…` can demand as well.
type Claim struct {
	Version      string `json:"version,omitempty"`      // "1.36.3-0.nightly-2026-11-20-101500"
	Stream       string `json:"stream,omitempty"`       // "nightly"
	Architecture string `json:"architecture,omitempty"` // "amd64", or "multi" of an index
}

// Matches returns an ErrRefused when the claim is about another version.
func (c Claim) Matches(version string) error {
	if c.Version != version {
		return &refusedError{"payload", version, fmt.Sprintf("it was signed as version %q", c.Version)}
	}
	return nil
}

func (c Claim) annotations() map[string]any {
	all := map[string]any{}
	for k, v := range map[string]string{"version": c.Version, "stream": c.Stream, "architecture": c.Architecture} {
		if v != "" {
			all[k] = v
		}
	}
	return all
}

func claimOf(annotations map[string]any) Claim {
	text := func(k string) string { s, _ := annotations[k].(string); return s }
	return Claim{Version: text("version"), Stream: text("stream"), Architecture: text("architecture")}
}

// pinned splits a reference that ends in a digest.
func pinned(ref string) (repository string, digest v1.Hash, err error) {
	repository, hex, ok := strings.Cut(ref, "@")
	if ok {
		digest, err = v1.NewHash(hex)
	}
	if !ok || err != nil || digest.Algorithm != "sha256" {
		return "", v1.Hash{}, errors.New("the reference must end in a digest, @sha256:…")
	}
	// A tag before the digest says nothing, and is not signed.
	if slash, colon := strings.LastIndex(repository, "/"), strings.LastIndex(repository, ":"); colon > slash {
		repository = repository[:colon]
	}
	return repository, digest, nil
}

// signatureTag is where cosign keeps the signatures of a digest.
func signatureTag(repository string, digest v1.Hash) string {
	return repository + ":" + digest.Algorithm + "-" + digest.Hex + ".sig"
}

// attestationTag is where older releases of cosign keep the attestations.
func attestationTag(repository string, digest v1.Hash) string {
	return repository + ":" + digest.Algorithm + "-" + digest.Hex + ".att"
}

// storedSignature is a signature as the registry has it; nothing in it is
// proven.
type storedSignature struct {
	claim       []byte
	annotations map[string]string // of its layer: signature, certificate, log entry
}

func (s storedSignature) signature() string { return s.annotations[static.SignatureAnnotationKey] }

// readSignatures returns the signatures that an image of cosign's holds.
func readSignatures(img v1.Image) ([]storedSignature, error) {
	manifest, err := img.Manifest()
	if err != nil {
		return nil, fmt.Errorf("reading its signatures: %w", err)
	}
	if n := len(manifest.Layers); n > maxSignatures {
		return nil, fmt.Errorf("reading its signatures: there are %d, more than the %d allowed", n, maxSignatures)
	}
	var all []storedSignature
	for _, d := range manifest.Layers {
		claim, err := readPart(img, d, maxClaim)
		if err != nil {
			return nil, fmt.Errorf("reading its signatures: %w", err)
		}
		all = append(all, storedSignature{claim: claim, annotations: d.Annotations})
	}
	return all, nil
}

// readPart reads a layer that may have limit bytes at most.
func readPart(img v1.Image, d v1.Descriptor, limit int64) ([]byte, error) {
	if d.Size > limit {
		return nil, fmt.Errorf("one has %d bytes, more than the %d allowed", d.Size, limit)
	}
	layer, err := img.LayerByDigest(d.Digest)
	if err != nil {
		return nil, err
	}
	body, err := layer.Compressed()
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(io.LimitReader(body, limit+1))
}

// parseClaim reads a claim for what it says; it must have been verified, or be
// used for explanations only.
func parseClaim(data []byte) (payload.SimpleContainerImage, error) {
	var c payload.SimpleContainerImage
	if err := json.Unmarshal(data, &c); err != nil {
		return c, err
	}
	if c.Critical.Type != payload.CosignSignatureType {
		return c, fmt.Errorf("it is of type %q", c.Critical.Type)
	}
	return c, nil
}
