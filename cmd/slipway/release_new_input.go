package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/images"
	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/assemble"
	"github.com/slipway-release/slipway/release/assemble/input"
	"github.com/slipway-release/slipway/release/mirror"
)

const (
	// harvestCacheName is the folder of the state directory's caches for what was read of components.
	harvestCacheName = "components"
	// defaultBase is the component that oc puts payloads on.
	defaultBase = "cluster-version-operator"
	scratch     = "scratch"
)

// newInputs say what a payload is made of.
type newInputs struct {
	images        string
	lock          string
	dir           string
	stream        string
	imageStream   string // of a cluster
	namespace     string
	cluster       clusterFlags
	referenceMode string
	payload       string
	mappings      []string
	overrides     []string
}

func (i *newInputs) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&i.images, "images", "", "file that slipway build wrote")
	f.StringVar(&i.lock, "from-lock", "", "lock whose images slipway build built")
	f.StringVar(&i.dir, "from-dir", "", "folder with a folder of manifests for each component, and an image-references for their images")
	f.StringVarP(&i.stream, "from-image-stream-file", "f", "", "ImageStream in a file, on standard input (-) or at a URL")
	f.StringVar(&i.imageStream, "from-image-stream", "", "ImageStream of the cluster of the kubeconfig")
	f.StringVarP(&i.namespace, "namespace", "n", "", "namespace of --from-image-stream (default: the kubeconfig's)")
	i.cluster.add(cmd)
	f.StringVar(&i.referenceMode, "reference-mode", input.ReferencePublic, "which pull specs of an ImageStream to take: public or source")
	f.StringVar(&i.payload, "from-release", "", "payload to start from, whose name, upgrades and metadata are kept")
	f.StringArrayVar(&i.mappings, "mapping-file", nil, "file of NAME=PULLSPEC; may be given several times")
}

func (i *newInputs) check() error {
	var given []string
	for flag, value := range map[string]string{
		"--images": i.images, "--from-lock": i.lock, "--from-dir": i.dir, "--from-image-stream-file": i.stream, "--from-image-stream": i.imageStream, "--from-release": i.payload,
	} {
		if value != "" {
			given = append(given, flag)
		}
	}
	slices.Sort(given)
	switch {
	case len(given) > 1:
		return fmt.Errorf("reading flags: %s each say what the payload is made of; give one", strings.Join(given, " and "))
	case len(given) == 0 && len(i.mappings) == 0 && len(i.overrides) == 0:
		return errors.New("reading flags: nothing says what the payload is made of; give --images, --from-lock, --from-dir, --from-image-stream-file, --from-image-stream, --from-release or NAME=PULLSPEC")
	case i.imageStream == "" && (i.namespace != "" || i.cluster.named()):
		return errors.New("reading flags: --namespace, --kubeconfig and --context say where --from-image-stream is; give that as well")
	case i.referenceMode != input.ReferencePublic && i.referenceMode != input.ReferenceSource:
		return fmt.Errorf("reading --reference-mode: %q is neither public nor source", i.referenceMode)
	}
	return nil
}

// gathered is what the inputs gave.
type gathered struct {
	set        *input.Set
	sources    *sources
	world      *world // of the distribution that is assembled; nil for other inputs
	repository string // canonical, where components are named by it
	prunes     bool   // whether this input prunes by default
	payload    v1.Image
	baseIndex  v1.ImageIndex
	relocation *mirror.Relocation // of --mirror; else nil
}

// gather reads the inputs, lays the mappings over them, and pins every image.
func (o *releaseNewOptions) gather(ctx context.Context, a *app) (*gathered, error) {
	fetch := input.Fetcher{Stdin: a.In}
	overrides, err := fetch.Mapping(ctx, o.inputs.mappings)
	given, argErr := input.ParseOverrides(o.inputs.overrides)
	overrides = append(overrides, given...)
	if err := errors.Join(err, argErr, input.CheckDuplicates(overrides)); err != nil {
		return nil, usage(err)
	}
	in := &gathered{sources: &sources{app: a}}
	if err := o.inputs.read(ctx, a, fetch, o.exclude, in); err != nil {
		return nil, err
	}
	if !o.keepList && in.set.Metadata[release.MetadataArchitecture] == release.ArchitectureMulti {
		delete(in.set.Metadata, release.MetadataArchitecture) // of a payload of which one platform is taken
	}
	in.set.Override(overrides)
	if err := in.set.Pin(ctx, in.sources, a.harvestJobs(false), o.exclude); err != nil {
		return nil, classifyAssembly(fmt.Errorf("pinning images by digest: %w", err))
	}
	return in, nil
}

func (i *newInputs) read(ctx context.Context, a *app, fetch input.Fetcher, exclude []string, in *gathered) (err error) {
	switch {
	case i.images != "" || i.lock != "":
		return i.readBuilt(ctx, a, in)
	case i.dir != "":
		in.set, err = input.FromDirectory(i.dir)
	case i.stream != "":
		in.prunes = true
		in.set, err = fetch.ImageStream(ctx, i.stream, i.referenceMode, exclude...)
	case i.imageStream != "":
		return i.readImageStream(ctx, exclude, in)
	case i.payload != "":
		return i.readPayload(ctx, a, in)
	default:
		in.set = &input.Set{}
	}
	return usage(err)
}

// readImageStream takes an ImageStream of a cluster.
func (i *newInputs) readImageStream(ctx context.Context, exclude []string, in *gathered) error {
	config, namespace, err := i.cluster.config()
	if err != nil {
		return err
	}
	data, err := input.ReadImageStream(ctx, config, cmp.Or(i.namespace, namespace), i.imageStream)
	if errors.Is(err, input.ErrNoImageStream) {
		return usage(err)
	}
	if err != nil {
		return err
	}
	in.prunes = true
	in.set, err = input.FromImageStream(data, i.referenceMode, exclude...)
	return usage(err)
}

// readBuilt takes the images that slipway build made.
func (i *newInputs) readBuilt(ctx context.Context, a *app, in *gathered) error {
	var built []images.Result
	var err error
	if i.images != "" {
		if built, err = readResults(i.images); err != nil {
			return err
		}
	}
	var lock *images.Lockfile
	if i.lock != "" {
		if lock, err = readLock(i.lock, false); err != nil {
			return err
		}
		if lock == nil {
			return usage(fmt.Errorf("reading lock %q: it does not exist; run slipway lock first", i.lock))
		}
	}
	if in.world, err = a.open(ctx); err != nil {
		return err
	}
	in.sources.own = in.world
	if lock != nil {
		built, err = images.Built(ctx, in.world.distro.Components, lock, in.world.registry, time.Time{})
		var missing *images.NotBuiltError
		if errors.As(err, &missing) || errors.Is(err, images.ErrInput) {
			return usage(fmt.Errorf("finding the images of lock %q in registry %s: %w; run slipway build --lock-file %s first", i.lock, in.world.registry.Address(), err, i.lock))
		}
		if err != nil {
			return err
		}
	}
	in.set = &input.Set{Components: builtComponents(built), Base: in.world.distro.PayloadBase}
	in.repository = in.world.distro.Repository
	return nil
}

// readPayload takes what another payload was made of.
func (i *newInputs) readPayload(ctx context.Context, a *app, in *gathered) error {
	opened, err := a.openPayload(ctx, i.payload)
	if err != nil {
		return err
	}
	p, err := opened.load(ctx)
	if err != nil {
		return classifyAssembly(err)
	}
	p.Reference = opened.reference
	if layout, ok := opened.source.(*oci.Layout); ok {
		in.sources.first = layout
	}
	in.set, in.payload = input.FromPayload(p), opened.image
	in.repository, err = assemble.RepositoryOf(opened.image, p)
	return err
}

// chooseBase finds the image that the payload is put on.
func (o *releaseNewOptions) chooseBase(ctx context.Context, a *app, in *gathered, opts *assemble.Options) (err error) {
	switch {
	case o.base == scratch:
		return o.scratchBase(in, opts)
	case o.base != "":
		return o.foreignBase(ctx, a, in, opts)
	case o.baseTag != "":
		opts.Base = o.baseTag
	case in.set.Base != "":
		opts.Base = in.set.Base
	case in.payload != nil:
		opts.Base, err = input.FindBase(ctx, in.sources, in.payload, in.set.Components, defaultBase)
		if errors.Is(err, input.ErrNoBase) {
			err = usage(fmt.Errorf("%w; name one with --to-image-base or --to-image-base-tag", err))
		}
		return err
	default:
		opts.Base = defaultBase
		d, err := a.distribution()
		if err != nil {
			return err
		}
		has := func(name string) bool { return len(assemble.Unknown([]string{name}, in.set.Components)) == 0 }
		if !has(defaultBase) && has(d.PayloadBase) {
			opts.Base = d.PayloadBase
		}
	}
	if len(assemble.Unknown([]string{opts.Base}, in.set.Components)) > 0 {
		return usage(fmt.Errorf("choosing the image that the payload is put on: there is no component %q; name another with --to-image-base-tag, or an image with --to-image-base", opts.Base))
	}
	return nil
}

// scratchBase puts the payload on nothing: it can be read, but not run.
func (o *releaseNewOptions) scratchBase(in *gathered, opts *assemble.Options) error {
	config := &v1.ConfigFile{OS: opts.Platform.OS, Architecture: opts.Platform.Architecture, Variant: opts.Platform.Variant, RootFS: v1.RootFS{Type: "layers"}}
	img, err := mutate.ConfigFile(mutate.MediaType(empty.Image, types.OCIManifestSchema1), config)
	if err != nil {
		return err
	}
	opts.BaseImage = img
	if o.keepList {
		return usage(errors.New("reading flags: --keep-manifest-list takes its platforms from the base, and --to-image-base scratch has none"))
	}
	return nil
}

// foreignBase puts the payload on an image that is no component.
func (o *releaseNewOptions) foreignBase(ctx context.Context, a *app, in *gathered, opts *assemble.Options) error {
	source, ref, err := a.locatePayload(ctx, o.base)
	if err != nil {
		return err
	}
	d, err := source.Descriptor(ctx, ref)
	if err != nil {
		return classifyAssembly(fmt.Errorf("reading --to-image-base: %w", err))
	}
	if o.keepList && d.MediaType.IsIndex() {
		in.baseIndex, err = source.Index(ctx, ref)
	} else {
		opts.BaseImage, err = source.Image(ctx, ref)
	}
	if err != nil {
		return classifyAssembly(fmt.Errorf("reading --to-image-base: %w", err))
	}
	if o.keepList && in.baseIndex == nil {
		return usage(fmt.Errorf("reading --to-image-base: %q is no multi-platform index, which --keep-manifest-list needs", o.base))
	}
	return nil
}
