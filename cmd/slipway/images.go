package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/manifests"
)

// registryFlags say how registries of others are reached; their names are those
// of oc adm release.
type registryFlags struct {
	config   string // file with credentials
	ca       string // file with certificates
	jobs     int    // requests side by side
	platform string // of what is taken from a multi-platform index
	mirrors  string // file that says where images are also to be had
}

func (a *app) addRegistryFlags(cmd *cobra.Command) {
	f := cmd.PersistentFlags()
	f.StringVarP(&a.registries.config, "registry-config", "a", "", "file with registry credentials (default: those of docker login and podman login)")
	f.StringVar(&a.registries.ca, "certificate-authority", "", "file with certificates to trust for registries, besides the system's")
	f.IntVar(&a.registries.jobs, "max-per-registry", 8, "how much is read or written side by side")
	f.StringVar(&a.registries.platform, "filter-by-os", "linux/amd64", "platform taken from a multi-platform payload, OS/ARCH")
	f.StringVar(&a.registries.mirrors, "idms-file", "", "file with mirrors to read images from: ImageDigestMirrorSet, ImageContentSourcePolicy, or what slipway release mirror printed")
	f.StringVar(&a.registries.mirrors, "icsp-file", "", "the same as --idms-file")
	_ = f.MarkHidden("icsp-file")
}

// registryOptions turns the flags into the client's options.
func (a *app) registryOptions() ([]oci.Option, error) {
	var keychain authn.Keychain = authn.DefaultKeychain
	if a.registries.config != "" {
		var err error
		if keychain, err = oci.KeychainFromFile(a.registries.config); err != nil {
			return nil, usage(fmt.Errorf("reading --registry-config: %w", err))
		}
	}
	opts := []oci.Option{oci.WithKeychain(keychain)}
	if a.insecure || a.getenv("SLIPWAY_INSECURE") != "" {
		opts = append(opts, oci.WithInsecure())
	}
	if a.registries.ca != "" {
		pem, err := os.ReadFile(a.registries.ca)
		if err != nil {
			return nil, usage(fmt.Errorf("reading --certificate-authority: %w", err))
		}
		opts = append(opts, oci.WithCertificates(pem))
	}
	if a.registries.jobs != 0 {
		opts = append(opts, oci.WithJobs(a.registries.jobs))
	}
	if a.registries.platform != "" {
		platform, err := v1.ParsePlatform(a.registries.platform)
		if err != nil || platform.OS == "" || platform.Architecture == "" {
			return nil, usage(fmt.Errorf("reading --filter-by-os: %q is not OS/ARCH, such as linux/amd64", a.registries.platform))
		}
		opts = append(opts, oci.WithPlatform(*platform))
	}
	if a.registries.mirrors != "" {
		data, err := os.ReadFile(a.registries.mirrors)
		if err != nil {
			return nil, usage(fmt.Errorf("reading --idms-file: %w", err))
		}
		mirrors, err := oci.ParseMirrors(data)
		if err != nil {
			return nil, usage(fmt.Errorf("reading --idms-file %q: %w", a.registries.mirrors, err))
		}
		opts = append(opts, oci.WithMirrors(mirrors))
	}
	return opts, nil
}

// imageSource is what images are read from: a registry or an OCI layout.
type imageSource interface {
	Descriptor(ctx context.Context, ref string) (v1.Descriptor, error)
	Image(ctx context.Context, ref string) (v1.Image, error)
	Index(ctx context.Context, ref string) (v1.ImageIndex, error)
	Referrers(ctx context.Context, subject, artifactType string) ([]oci.Referrer, error)
	Fetch(ctx context.Context, ref oci.Referrer) ([]byte, error)
}

// payloadImage is a payload that a person named, not yet verified.
type payloadImage struct {
	source imageSource
	// reference is by digest: of the index for a multi-platform payload.
	reference string
	list      v1.Hash // digest of the index, zero for a single image
	image     v1.Image
}

// openPayload finds the payload that a person named: a version or digest of the
// distribution's own, any pull spec, oci:DIR[:REF], oci-archive:FILE[:REF], or the
// path of an OCI layout or of a tar file of one. Nothing is verified.
func (a *app) openPayload(ctx context.Context, named string) (*payloadImage, error) {
	p, err := a.findPayload(ctx, named)
	if err != nil {
		return nil, err
	}
	p.image, err = p.source.Image(ctx, p.reference)
	return p, err
}

// findPayload is openPayload for those who want no image of it, which an index
// need not have for every platform.
func (a *app) findPayload(ctx context.Context, named string) (*payloadImage, error) {
	source, reference, err := a.locatePayload(ctx, named)
	if err != nil {
		return nil, err
	}
	d, err := source.Descriptor(ctx, reference)
	if errors.Is(err, oci.ErrNotFound) {
		return nil, usage(fmt.Errorf("reading payload %q: there is no such image", named))
	}
	if err != nil {
		return nil, err
	}
	p := &payloadImage{source: source, reference: manifests.RepositoryOf(reference) + "@" + d.Digest.String()}
	if d.MediaType.IsIndex() {
		p.list = d.Digest
	}
	return p, nil
}

// load reads the payload out of its image.
func (p *payloadImage) load(ctx context.Context) (*release.Payload, error) {
	payload, err := release.Load(ctx, p.image)
	if err != nil {
		return nil, fmt.Errorf("reading payload %q: %w", p.reference, err)
	}
	payload.Reference = manifests.RepositoryOf(p.reference) + "@" + payload.Digest.String()
	return payload, nil
}

// locatePayload says where a named payload is read, and under which reference.
func (a *app) locatePayload(ctx context.Context, named string) (imageSource, string, error) {
	file, inFiles, err := parseNamedFile(named)
	if err != nil {
		return nil, "", usage(err)
	}
	if inFiles {
		layout, reference, err := a.locateFile(file)
		if err != nil {
			return nil, "", err
		}
		return layout, reference, nil
	}
	foreign, err := a.isForeign(named)
	if err != nil {
		return nil, "", err
	}
	if !foreign {
		w, err := a.open(ctx)
		if err != nil {
			return nil, "", err
		}
		reference := w.reference(named)
		if _, err := w.registry.Locate(reference); err != nil {
			return nil, "", usage(fmt.Errorf("reading payload %q: it is neither a version, a digest nor a pull spec, and there is no such file", named))
		}
		return w.registry, reference, nil
	}
	opts, err := a.registryOptions()
	if err != nil {
		return nil, "", err
	}
	repository := manifests.RepositoryOf(named)
	if repository == named {
		return nil, "", usage(fmt.Errorf("reading payload %q: the reference must end in a tag or a digest", named))
	}
	registry, err := oci.NewRegistry(repository, "", opts...)
	if err != nil {
		return nil, "", usage(err)
	}
	return registry, named, nil
}

// isForeign tells a pull spec in a registry of others from a payload of the
// distribution's own, which may also be named by its version or digest.
func (a *app) isForeign(named string) (bool, error) {
	host, _, ok := strings.Cut(named, "/")
	if !ok || (!strings.ContainsAny(host, ".:") && host != "localhost") {
		return false, nil
	}
	d, err := a.distribution()
	if err != nil {
		return false, err
	}
	return !strings.HasPrefix(named, d.Repository+"/"), nil
}
