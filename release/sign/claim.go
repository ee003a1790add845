package sign

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/sigstore/cosign/v2/pkg/oci/empty"
	"github.com/sigstore/cosign/v2/pkg/oci/static"
	"github.com/sigstore/sigstore/pkg/signature/options"
	"github.com/sigstore/sigstore/pkg/signature/payload"

	"github.com/slipway-release/slipway/internal/oci"
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
	Version      string // "1.36.3-0.nightly-2026-11-20-101500"
	Stream       string // "nightly"
	Architecture string // "amd64"
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

// Sign signs the digest that ref ends in, as the given claim. The registry must
// have the image. An image that bears this signature already is left alone.
func (s *Signer) Sign(ctx context.Context, reg *oci.Registry, ref string, claim Claim) error {
	repository, digest, err := pinned(ref)
	if err != nil {
		return fmt.Errorf("signing image %q: %w", ref, err)
	}
	if _, err := reg.Resolve(ctx, ref); err != nil {
		return fmt.Errorf("signing image %q: %w", ref, err)
	}
	subject, err := name.NewDigest(repository + "@" + digest.String())
	if err != nil {
		return fmt.Errorf("signing image %q: %w", ref, err)
	}
	data, err := payload.Cosign{Image: subject, ClaimedIdentity: repository, Annotations: claim.annotations()}.MarshalJSON()
	if err != nil {
		return fmt.Errorf("signing image %q: %w", ref, err)
	}
	if err := s.addSignature(ctx, reg, repository, digest, data, claim); err != nil {
		return fmt.Errorf("signing image %q: %w", ref, err)
	}
	return nil
}

// addSignature appends to the signatures that are there, unless they hold this
// one already.
func (s *Signer) addSignature(ctx context.Context, reg *oci.Registry, repository string, digest v1.Hash, data []byte, claim Claim) error {
	return reg.Amend(ctx, signatureTag(repository, digest), func(base v1.Image) (v1.Image, error) {
		if base == nil {
			return s.append(ctx, empty.Signatures(), data)
		}
		signatures, err := readSignatures(base)
		if err != nil {
			return nil, err
		}
		for _, known := range signatures {
			if got, refusal := s.Verifier().check(ctx, known, digest, claim); refusal == nil && got == claim {
				return nil, nil
			}
		}
		return s.append(ctx, base, data)
	})
}

func (s *Signer) append(ctx context.Context, base v1.Image, data []byte) (v1.Image, error) {
	signed, err := s.key.SignMessage(bytes.NewReader(data), options.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	layer, err := static.NewSignature(data, base64.StdEncoding.EncodeToString(signed), static.WithAnnotations(map[string]string{keyAnnotation: s.public.id}))
	if err != nil {
		return nil, err
	}
	annotations, err := layer.Annotations()
	if err != nil {
		return nil, err
	}
	return mutate.Append(base, mutate.Addendum{Layer: layer, Annotations: annotations})
}

// storedSignature is a signature as the registry has it; nothing in it is
// proven.
type storedSignature struct {
	claim     []byte
	signature string // base64
	keyHint   string // "" when another program signed
}

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
		claim, err := readClaim(img, d)
		if err != nil {
			return nil, fmt.Errorf("reading its signatures: %w", err)
		}
		all = append(all, storedSignature{claim: claim, signature: d.Annotations[static.SignatureAnnotationKey], keyHint: d.Annotations[keyAnnotation]})
	}
	return all, nil
}

func readClaim(img v1.Image, d v1.Descriptor) ([]byte, error) {
	if d.Size > maxClaim {
		return nil, fmt.Errorf("a claim has %d bytes, more than the %d allowed", d.Size, maxClaim)
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
	return io.ReadAll(io.LimitReader(body, maxClaim+1))
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
