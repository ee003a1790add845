package inspect

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/slipway-release/slipway/internal/oci"
)

// ErrDamaged is wrapped by Verify's error when something of a payload is missing
// or is not what its digest says.
var ErrDamaged = errors.New("damaged")

// VerifyOptions say how much Verify reads.
type VerifyOptions struct {
	// Layers reads every layer as well, each one once. Without it manifests and
	// configurations are read.
	Layers bool
	Jobs   int    // images read side by side
	Done   func() // called after each image; may be nil
}

// Verified counts what Verify found to be good.
type Verified struct {
	Images  int   `json:"images"`  // of all platforms
	Indexes int   `json:"indexes"` // of several platforms
	Layers  int   `json:"layers"`  // read, different ones
	Bytes   int64 `json:"bytes"`   // of those layers
	// Signature says whose signatures the payload has; null when that was not asked
	// for. Whoever checks them fills it in: Verify knows no keys.
	Signature any `json:"signature"`
}

// Verify checks that every image of a payload, the payload's own included, is in
// src and is what its digest says: index, manifests and configurations of all
// platforms, and the layers if asked for. All that is wrong is reported at once, as
// an error that wraps ErrDamaged. When src cannot be read the error does not wrap it,
// and nothing counts as verified.
func Verify(ctx context.Context, src Source, s Subject, o VerifyOptions) (Verified, error) {
	refs := []string{s.Reference}
	for _, t := range s.Payload.References.Tags {
		if !slices.Contains(refs, t.Image) {
			refs = append(refs, t.Image)
		}
	}
	v := &verification{src: src, layers: o.Layers, seen: map[string]bool{}}
	problems := make([]error, len(refs))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(o.Jobs, 1))
	for i, ref := range refs {
		group.Go(func() error {
			err := v.reference(ctx, ref)
			if o.Done != nil {
				o.Done()
			}
			if err != nil && !isDamage(err) {
				return fmt.Errorf("verifying image %q: %w", ref, err)
			}
			problems[i] = err
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return Verified{}, err
	}
	var lines []string
	for i, err := range problems {
		if err != nil {
			lines = append(lines, fmt.Sprintf("image %q: %v", refs[i], err))
		}
	}
	if len(lines) > 0 {
		return Verified{}, fmt.Errorf("verifying payload %q: %w: %s", s.Named, ErrDamaged, strings.Join(lines, "\n  "))
	}
	return v.found, nil
}

type verification struct {
	src    Source
	layers bool

	mu    sync.Mutex
	seen  map[string]bool // digests of layers that were, or are being, read
	found Verified
}

// reference checks the image or index that a pull spec names.
func (v *verification) reference(ctx context.Context, ref string) error {
	wanted := digestOf(ref)
	if wanted == "" {
		return errors.New("it is not pinned by digest")
	}
	img, err := v.src.Image(ctx, ref)
	if errors.Is(err, oci.ErrNotFound) || (err != nil && !isDamage(err)) {
		return err
	}
	if err == nil {
		got, err := img.Digest()
		if err != nil {
			return err
		}
		if got.String() == wanted {
			return v.image(img, got)
		}
	}
	// Not a single image of that digest: an index, of which Image gave one platform, or has none of it.
	index, indexErr := v.src.Index(ctx, ref)
	if indexErr != nil {
		return cmp.Or(err, indexErr)
	}
	raw, err := index.RawManifest()
	if err != nil {
		return err
	}
	if err := check("index", raw, wanted); err != nil {
		return err
	}
	return v.children(index)
}

func (v *verification) children(index v1.ImageIndex) error {
	manifest, err := index.IndexManifest()
	if err != nil {
		return err
	}
	for _, d := range manifest.Manifests {
		platform := "of unknown platform"
		if d.Platform != nil {
			platform = "for " + d.Platform.String()
		}
		if !d.MediaType.IsImage() {
			return fmt.Errorf("manifest %s %s is of type %q, which is no image", d.Digest, platform, d.MediaType)
		}
		img, err := index.Image(d.Digest)
		if err == nil {
			err = v.image(img, d.Digest)
		}
		if err != nil {
			return fmt.Errorf("manifest %s %s: %w", d.Digest, platform, err)
		}
	}
	v.count(func(f *Verified) { f.Indexes++ })
	return nil
}

func (v *verification) image(img v1.Image, digest v1.Hash) error {
	raw, err := img.RawManifest()
	if err != nil {
		return err
	}
	if err := check("manifest", raw, digest.String()); err != nil {
		return err
	}
	manifest, err := img.Manifest()
	if err != nil {
		return err
	}
	if manifest.Config.Size > maxConfig {
		return fmt.Errorf("its configuration has %d bytes, more than the %d allowed", manifest.Config.Size, maxConfig)
	}
	config, err := img.RawConfigFile()
	if err != nil {
		return err
	}
	if err := check("configuration", config, manifest.Config.Digest.String()); err != nil {
		return err
	}
	if v.layers {
		for _, d := range manifest.Layers {
			if err := v.layer(img, d); err != nil {
				return err
			}
		}
	}
	v.count(func(f *Verified) { f.Images++ })
	return nil
}

// layer reads a layer unless another image had it already.
func (v *verification) layer(img v1.Image, d v1.Descriptor) error {
	v.mu.Lock()
	known := v.seen[d.Digest.String()]
	v.seen[d.Digest.String()] = true
	v.mu.Unlock()
	if known {
		return nil
	}
	l, err := img.LayerByDigest(d.Digest)
	if err != nil {
		return err
	}
	body, err := l.Compressed()
	if err != nil {
		return fmt.Errorf("layer %s: %w", d.Digest, err)
	}
	defer body.Close()
	hash := sha256.New()
	size, err := io.Copy(hash, io.LimitReader(body, d.Size+1))
	if err != nil {
		return fmt.Errorf("layer %s: %w: %w", d.Digest, errBrokeOff, err)
	}
	if size != d.Size {
		return fmt.Errorf("layer %s has %d bytes where its manifest says %d", d.Digest, size, d.Size)
	}
	if got := "sha256:" + hex.EncodeToString(hash.Sum(nil)); got != d.Digest.String() {
		return fmt.Errorf("layer %s has the digest %s", d.Digest, got)
	}
	v.count(func(f *Verified) { f.Layers++; f.Bytes += size })
	return nil
}

func (v *verification) count(add func(*Verified)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	add(&v.found)
}

// check compares bytes with the digest they were asked for by. The source checks
// as well; a verification does not rely on it.
func check(what string, data []byte, wanted string) error {
	sum := sha256.Sum256(data)
	if got := "sha256:" + hex.EncodeToString(sum[:]); got != wanted {
		return fmt.Errorf("its %s has the digest %s, not %s", what, got, wanted)
	}
	return nil
}
