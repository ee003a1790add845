package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/release/manifests"
	"github.com/slipway-release/slipway/release/mirror"
	updateserver "github.com/slipway-release/slipway/release/updates"
)

// channelExport is where `slipway channel export` writes.
type channelExport struct {
	images  []string
	layout  string
	archive string
	base    string
	dryRun  bool
	out     output
}

// exportedImage is what `slipway channel export` made.
type exportedImage struct {
	Digest string   `json:"digest"`
	Layer  string   `json:"layer"` // digest of the one with graph-data
	Size   int64    `json:"size"`  // bytes of that layer
	To     []string `json:"to"`
	DryRun bool     `json:"dryRun,omitempty"`
}

func newChannelExport(a *app) *cobra.Command {
	var o channelExport
	cmd := &cobra.Command{
		Use:   "export [DIR|IMAGE]",
		Short: "Write graph-data as the image that disconnected update services read",
		Long: `Write a folder of graph-data, or that of an image, as an image, as OpenShift Update
Service reads it in a disconnected network: its files stand in
/var/lib/cincinnati-graph-data. Risks over ranges become blocked edges. The same files
give the same layer, to the byte, and on the same --base the same image. A folder that
cannot be understood whole is refused.

The operator of OpenShift Update Service runs the image to copy the files, for which
--base must have bash and cp. slipway serve and Cincinnati read it without a base.

Without DIR the folder channels beside distro.yaml is written.`,
		Example: `  slipway channel export cincinnati-graph-data --to-image registry.example.com/mirror/graph-data:latest --dry-run
  slipway channel export --to-layout out
  slipway channel export registry.example.com/mirror/graph-data:latest --base registry.example.com/ubi9/ubi:latest --to-layout out
  slipway channel export --to-archive graph-data.tar --base registry.example.com/ubi9/ubi:latest
  slipway serve --graph-data registry.example.com/mirror/graph-data:latest --releases registry.example.com/mirror/release`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.check(); err != nil {
				return usage(err)
			}
			dirs, err := a.openGraphData(cmd.Context(), args)
			if err != nil {
				return err
			}
			return a.exportGraphData(cmd.Context(), &o, dirs[0])
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.images, "to-image", nil, "push the image under this name, with a tag; may be given several times")
	f.StringVar(&o.layout, "to-layout", "", "add the image to the OCI layout in this folder")
	f.StringVar(&o.archive, "to-archive", "", "write the image to this file, a tar of an OCI layout")
	f.StringVar(&o.base, "base", "", "image to lay the files upon (default: none)")
	f.BoolVar(&o.dryRun, "dry-run", false, "make the image, show its digest and write nothing")
	o.out.addFlag(cmd)
	_ = cmd.MarkFlagDirname("to-layout")
	_ = cmd.MarkFlagFilename("to-archive", "tar")
	return cmd
}

func (o *channelExport) check() error {
	if err := o.out.check(); err != nil {
		return err
	}
	if len(o.to()) == 0 && !o.dryRun {
		return errors.New("exporting graph-data: say where to, with --to-image, --to-layout or --to-archive")
	}
	var problems []error
	for _, ref := range o.images {
		if strings.Contains(ref, "@") || manifests.RepositoryOf(ref) == ref {
			problems = append(problems, fmt.Errorf("reading --to-image: %q must end in a tag", ref))
		}
	}
	return errors.Join(problems...)
}

// to are the destinations for the report.
func (o *channelExport) to() []string {
	to := append([]string{}, o.images...)
	for _, path := range []string{o.layout, o.archive} {
		if path != "" {
			to = append(to, path)
		}
	}
	return to
}

func (a *app) exportGraphData(ctx context.Context, o *channelExport, dir string) error {
	var base v1.Image
	if o.base != "" {
		found, err := a.openPayload(ctx, o.base)
		if err != nil {
			return err
		}
		base = found.image
	}
	img, err := updateserver.GraphDataImage(dir, nil, base)
	if err != nil {
		return usage(err)
	}
	made, err := describeExport(img)
	if err != nil {
		return err
	}
	made.To, made.DryRun = o.to(), o.dryRun
	if !o.dryRun {
		if err := o.write(ctx, a, img); err != nil {
			return fmt.Errorf("exporting graph-data %q: %w", dir, err)
		}
	}
	return o.out.print(a.Out, result{value: made, names: []string{made.Digest}, text: func(w io.Writer) {
		verb := "written to"
		if o.dryRun {
			verb = "would be written to"
		}
		fmt.Fprintf(w, "%s, its layer %s of %d bytes\n", made.Digest, made.Layer, made.Size)
		for _, to := range made.To {
			fmt.Fprintf(w, "  %s %s\n", verb, to)
		}
	}})
}

func describeExport(img v1.Image) (exportedImage, error) {
	digest, err := img.Digest()
	if err != nil {
		return exportedImage{}, err
	}
	manifest, err := img.Manifest()
	if err != nil {
		return exportedImage{}, err
	}
	last := manifest.Layers[len(manifest.Layers)-1]
	return exportedImage{Digest: digest.String(), Layer: last.Digest.String(), Size: last.Size}, nil
}

// write brings the image everywhere: files first, registries last.
func (o *channelExport) write(ctx context.Context, a *app, img v1.Image) error {
	const name = "graph-data"
	if o.layout != "" {
		layout, err := oci.CreateLayout(o.layout)
		if err != nil {
			return usage(err)
		}
		defer layout.Close()
		if _, err := layout.Push(ctx, name, img); err != nil {
			return err
		}
	}
	if o.archive != "" {
		if err := writeImageArchive(ctx, o.archive, name, img); err != nil {
			return err
		}
	}
	for _, ref := range o.images {
		registry, err := a.registryOf(ctx, ref)
		if err != nil {
			return err
		}
		if _, err := registry.Push(ctx, ref, img); err != nil {
			return err
		}
	}
	return nil
}

// registryOf opens the registry of an image: the distribution's own, or any other.
func (a *app) registryOf(ctx context.Context, ref string) (*oci.Registry, error) {
	foreign, err := a.isForeign(ref)
	if err != nil {
		return nil, err
	}
	if !foreign {
		w, err := a.open(ctx)
		if err != nil {
			return nil, err
		}
		return w.registry, nil
	}
	opts, err := a.registryOptions()
	if err != nil {
		return nil, err
	}
	registry, err := oci.NewRegistry(manifests.RepositoryOf(ref), "", opts...)
	return registry, usage(err)
}

// writeImageArchive writes an image into a tar of an OCI layout, in which it has a name.
func writeImageArchive(ctx context.Context, path, name string, img v1.Image) (err error) {
	archive, err := oci.CreateArchive(ctx, path, 0)
	if err != nil {
		return usage(err)
	}
	defer func() { err = errors.Join(err, archive.Close()) }()
	layers, err := img.Layers()
	if err != nil {
		return err
	}
	for _, l := range layers {
		d, err := partial.Descriptor(l)
		if err != nil {
			return err
		}
		if _, err := archive.PutBlob(ctx, "", *d, oci.BlobSource{Open: l.Compressed}); err != nil {
			return err
		}
	}
	manifest, err := img.Manifest()
	if err != nil {
		return err
	}
	config, err := img.RawConfigFile()
	if err != nil {
		return err
	}
	if _, err := archive.PutBlob(ctx, "", manifest.Config, oci.BytesSource(config)); err != nil {
		return err
	}
	d, err := partial.Descriptor(img)
	if err != nil {
		return err
	}
	raw, err := img.RawManifest()
	if err != nil {
		return err
	}
	if _, err := archive.PutBlob(ctx, "", *d, oci.BytesSource(raw)); err != nil {
		return err
	}
	d.Annotations = map[string]string{oci.AnnotationRefName: name}
	return archive.List(ctx, *d)
}

// graphDataInImage tells an image of graph-data from a folder: oci:DIR, oci-archive:FILE, a
// layout that exists, or HOST/PATH with a tag or a digest that no folder bears as its name.
func graphDataInImage(named string) bool {
	if _, inFiles, _ := parseNamedFile(named); inFiles {
		return true
	}
	if _, err := os.Stat(named); err == nil || filepath.IsAbs(named) || strings.HasPrefix(named, ".") {
		return false
	}
	return manifests.RepositoryOf(named) != named
}

// pullGraphData keeps what is in an image of graph-data in a folder of the state directory.
func (a *app) pullGraphData(ctx context.Context, named string) (*updateserver.GraphDataPuller, error) {
	source, reference, err := a.locateGraphData(ctx, named)
	if err != nil {
		return nil, err
	}
	st, err := a.state()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(manifests.RepositoryOf(reference) + " " + named))
	return &updateserver.GraphDataPuller{Images: source, Reference: reference,
		Root: filepath.Join(st.Root(), "updates", "graph-data", hex.EncodeToString(sum[:8]))}, nil
}

// locateGraphData finds an image of graph-data. What a reference into a layout names is
// found anew each time, so that the layout may be written again, as a registry's tag moves.
func (a *app) locateGraphData(ctx context.Context, named string) (updateserver.GraphDataImages, string, error) {
	file, inFiles, err := parseNamedFile(named)
	if err != nil {
		return nil, "", usage(err)
	}
	if !inFiles {
		return a.locatePayload(ctx, named)
	}
	layout, reference, err := a.locateFile(file)
	if err != nil || file.scheme != layoutScheme {
		return layout, reference, err
	}
	return movingLayout{layout, file.ref}, reference, nil
}

// movingLayout is a layout whose image is looked for by what named it.
type movingLayout struct {
	*oci.Layout
	ref string // may be empty, for the only image
}

// Descriptor is that of the image that is named now, whatever it was before.
func (l movingLayout) Descriptor(ctx context.Context, reference string) (v1.Descriptor, error) {
	entries, err := l.Entries()
	if err != nil {
		return v1.Descriptor{}, err
	}
	d, err := mirror.FindPayload(entries, l.ref)
	if err != nil && strings.Contains(l.ref, "sha256:") {
		return l.Layout.Descriptor(ctx, reference) // within an index
	}
	if err != nil {
		err = fmt.Errorf("reading OCI layout %q: %w", l.Path(), err)
	}
	return d, err
}
