package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/release/mirror"
	"github.com/slipway-release/slipway/release/sign/policy"
)

// mirrorFlags are the flags of slipway release mirror; names are oc's where it
// has them.
type mirrorFlags struct {
	from        string
	fromDir     string
	fromArchive string

	to             string
	toDir          string
	toArchive      string
	segment        string
	toRelease      string
	skipRelease    bool
	keepList       bool
	overwrite      bool
	dryRun         bool
	mapping        bool
	unverified     bool
	instructions   string
	signaturesTo   string
	applySignature bool
	toStream       string
	namespace      string
	cluster        clusterFlags
	trust          verification
	out            output
	maxArchiveSize int64
}

func newReleaseMirror(a *app) *cobra.Command {
	var f mirrorFlags
	cmd := &cobra.Command{
		Use:   "mirror [PAYLOAD]",
		Short: "Copy a whole release to a registry, a directory or archives, and back",
		Long: `Copy a release whole: the payload, all its component images with every platform, and
all signatures, attestations and bills of materials of each. Digests do not change.

The payload's signature is verified first, and a payload that is unsigned or signed by
somebody else is refused: see slipway verify for whom to trust. What the target has
already is not copied again, so a run that broke off is carried on by the same command.
The payload gets its tag last, when everything else is there.

--to names a repository that takes all images, under the tags VERSION-ARCH and
VERSION-ARCH-COMPONENT, or a template that says where each goes, such as
registry.example.com/ocp/${component}. --to-dir writes an OCI layout, --to-archive one
tar file of it, and with --max-archive-size a directory with a series of files none of
which is larger. --from-dir and --from-archive bring a release back into a registry.

--to-image-stream copies nothing itself: it has the cluster of the kubeconfig, which
must be one of OpenShift or OKD, import the images into an image stream.

OpenPGP signatures, by which such clusters know releases, are kept for those that reach
no signature store: in a directory, as a ConfigMap (--release-image-signature-to-dir),
or in the cluster of the kubeconfig (--apply-release-image-signature). They are found
where --signature-store, --signature-config-map and --trust-from say, and else where the
payload itself says.

What is printed as text is YAML: the mirror configuration for clusters, and the summary
as comments. It can be given to --idms-file.`,
		Example: `  slipway release mirror 1.36.3-0.nightly-2026-11-20-101500 --to registry.example.com/mirror/skiff
  slipway release mirror quay.io/okd/scos-release:4.19.0-okd-scos.16 --to-dir /media/disk/okd --key okd.pub
  slipway release mirror PAYLOAD --to registry.example.com/okd --trust-from quay.io/okd/scos-release@sha256:… --apply-release-image-signature
  slipway release mirror 1.36.3 --to-archive /media/sticks --max-archive-size 4Gi
  slipway release mirror --from-archive /media/sticks --to 'registry.example.com/skiff/${component}'`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(args); err != nil {
				return err
			}
			return runReleaseMirror(cmd.Context(), a, &f)
		},
	}
	f.add(cmd)
	return cmd
}

func (f *mirrorFlags) add(cmd *cobra.Command) {
	s := cmd.Flags()
	s.StringVar(&f.from, "from", "", "payload to copy, in place of the argument")
	s.StringVar(&f.fromDir, "from-dir", "", "directory with an OCI layout, or a series of archives, to read from")
	s.StringVar(&f.fromArchive, "from-archive", "", "tar file, or directory with a series of them, to read from")
	s.StringVar(&f.to, "to", "", "repository to copy to, or a template with ${component} and perhaps ${version}")
	s.StringVar(&f.toDir, "to-dir", "", "directory to write as an OCI layout")
	s.StringVar(&f.toArchive, "to-archive", "", "tar file to write; with --max-archive-size, directory for a series of them")
	s.StringVar(&f.toArchive, "to-file", "", "the same as --to-archive")
	s.StringVar(&f.segment, "max-archive-size", "", "largest size of one archive file, such as 4Gi or 700M")
	s.StringVar(&f.toRelease, "to-release-image", "", "reference with a tag for the payload itself (default: VERSION-ARCH in the repository of --to)")
	s.BoolVar(&f.skipRelease, "skip-release-image", false, "copy the components without the payload")
	s.BoolVar(&f.keepList, "keep-manifest-list", true, "copy a multi-platform payload whole; if false, only its image for --filter-by-os")
	s.BoolVar(&f.overwrite, "overwrite", false, "replace signatures of the same image that the target has and the source has not")
	s.BoolVar(&f.dryRun, "dry-run", false, "say what would be copied, and write nothing")
	s.BoolVar(&f.mapping, "to-mirror", false, "print the mapping FROM TO of the images, and write nothing")
	s.BoolVar(&f.unverified, "skip-verification", false, "copy a payload without verifying its signature")
	s.StringVar(&f.instructions, "print-mirror-instructions", mirror.InstructionsIDMS, "mirror configuration to print: idms, icsp or none")
	s.StringVar(&f.signaturesTo, "release-image-signature-to-dir", "", "directory for the ConfigMap with the payload's OpenPGP signatures")
	s.BoolVar(&f.applySignature, "apply-release-image-signature", false, "add the payload's OpenPGP signatures to the cluster's ConfigMap of them")
	s.StringVar(&f.toStream, "to-image-stream", "", "image stream that the cluster imports the release into")
	s.StringVarP(&f.namespace, "namespace", "n", "", "namespace of --to-image-stream (default: the kubeconfig's)")
	_ = cmd.RegisterFlagCompletionFunc("print-mirror-instructions", cobra.FixedCompletions([]string{mirror.InstructionsIDMS, mirror.InstructionsICSP, mirror.InstructionsNone}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.MarkFlagDirname("to-dir")
	_ = cmd.MarkFlagDirname("from-dir")
	_ = cmd.MarkFlagDirname("release-image-signature-to-dir")
	f.cluster.add(cmd)
	f.trust.add(cmd)
	f.out.addFlag(cmd)
}

// check tells all that is wrong with the flags, and completes from.
func (f *mirrorFlags) check(args []string) error {
	problems := []error{f.out.check()}
	if len(args) == 1 {
		if f.from != "" && f.from != args[0] {
			problems = append(problems, errors.New("give the payload as the argument or by --from, not both"))
		}
		f.from = args[0]
	}
	if f.fromDir != "" && f.fromArchive != "" {
		problems = append(problems, errors.New("--from-dir and --from-archive exclude each other"))
	}
	if f.from == "" && f.fromDir == "" && f.fromArchive == "" {
		problems = append(problems, errors.New("name a payload, or files to read it from by --from-dir or --from-archive"))
	}
	if strings.HasPrefix(f.to, "file:") {
		problems = append(problems, fmt.Errorf("--to: %q is no repository; a directory is named by --to-dir, a tar file by --to-archive", f.to))
	}
	targets := 0
	for _, t := range []string{f.to, f.toDir, f.toArchive, f.toStream} {
		if t != "" {
			targets++
		}
	}
	if targets != 1 {
		problems = append(problems, errors.New("say where to copy to, by one of --to, --to-dir, --to-archive and --to-image-stream"))
	}
	if f.toRelease != "" && (f.to == "" || f.skipRelease) {
		problems = append(problems, errors.New("--to-release-image needs --to, and excludes --skip-release-image"))
	}
	switch f.instructions {
	case mirror.InstructionsIDMS, mirror.InstructionsICSP, mirror.InstructionsNone:
	default:
		problems = append(problems, fmt.Errorf("--print-mirror-instructions: %q is none of idms, icsp, none", f.instructions))
	}
	if f.toStream != "" && (f.fromDir != "" || f.fromArchive != "" || f.mapping) {
		problems = append(problems, errors.New("--to-image-stream takes a payload in a registry, and excludes --from-dir, --from-archive and --to-mirror"))
	}
	problems = append(problems, f.checkSize())
	if err := errors.Join(problems...); err != nil {
		return usage(err)
	}
	return nil
}

func (f *mirrorFlags) checkSize() error {
	if f.segment == "" {
		return nil
	}
	if f.toArchive == "" {
		return errors.New("--max-archive-size needs --to-archive")
	}
	q, err := resource.ParseQuantity(f.segment)
	if err != nil || q.Value() <= 0 {
		return fmt.Errorf("--max-archive-size: %q is not a size, such as 4Gi or 700M", f.segment)
	}
	f.maxArchiveSize = q.Value()
	return nil
}

// named is the payload as openPayload understands it.
func (f *mirrorFlags) named() string {
	switch {
	case f.fromDir != "":
		return strings.TrimSuffix(layoutScheme+f.fromDir+":"+f.from, ":")
	case f.fromArchive != "":
		return strings.TrimSuffix(archiveScheme+f.fromArchive+":"+f.from, ":")
	}
	return f.from
}

func runReleaseMirror(ctx context.Context, a *app, f *mirrorFlags) error {
	o := mirror.Options{
		Unverified: f.unverified, SkipRelease: f.skipRelease, Overwrite: f.overwrite, DryRun: f.dryRun || f.mapping,
		Jobs: a.registries.jobs, Progress: &mirror.Progress{},
	}
	if !f.keepList {
		platform, err := v1.ParsePlatform(a.registries.platform)
		if err != nil {
			return usage(fmt.Errorf("reading --filter-by-os: %w", err))
		}
		o.Platform = platform
	}
	named, err := f.cluster.payload(ctx, f.named())
	if err != nil {
		return err
	}
	image, err := a.findPayload(ctx, named)
	if err != nil {
		return err
	}
	source, ok := image.source.(mirror.Source)
	if !ok {
		return fmt.Errorf("reading payload %q: it cannot be copied from there", f.named())
	}
	o.Source, o.Reference = source, image.reference
	if !f.unverified {
		if o.Verify, err = f.verifier(ctx, a, image); err != nil {
			return err
		}
	}
	r, err := f.copy(ctx, a, o)
	if err != nil {
		return err
	}
	var signatures []string
	if !o.DryRun {
		if signatures, err = f.keepSignatures(ctx, a, r); err != nil {
			return err
		}
	}
	return f.print(a, r, signatures)
}

// copy copies the release, or has a cluster import it.
func (f *mirrorFlags) copy(ctx context.Context, a *app, o mirror.Options) (*mirror.Result, error) {
	if f.toStream != "" {
		config, namespace, err := f.cluster.config()
		if err != nil {
			return nil, err
		}
		stream := mirror.ImageStream{Config: config, Namespace: cmp.Or(f.namespace, namespace), Name: f.toStream}
		return a.watchMirror(o.Progress, func() (*mirror.Result, error) { return mirror.Import(ctx, o, stream) })
	}
	closeTarget, err := f.openTarget(ctx, a, &o)
	if err != nil {
		return nil, err
	}
	r, err := a.watchMirror(o.Progress, func() (*mirror.Result, error) { return mirror.Run(ctx, o) })
	if closeErr := closeTarget(); err == nil {
		err = closeErr
	}
	return r, err
}

// verifier refuses what the policy refuses.
func (f *mirrorFlags) verifier(ctx context.Context, a *app, image *payloadImage) (func(context.Context, mirror.Subject) error, error) {
	p, err := f.trust.open(ctx, a)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, s mirror.Subject) error {
		report, err := p.Verify(ctx, policy.Subject{Source: image.source, Reference: s.Reference, Version: s.Version, Architecture: s.Architecture})
		if err != nil {
			return err
		}
		if report.Verdict != policy.Accepted {
			return rejected(fmt.Errorf("mirroring payload %q: it is refused and nothing was copied: %s", s.Reference, strings.Join(report.Problems, "; ")))
		}
		return nil
	}, nil
}

// openTarget opens where it is copied to, and returns how to give it back.
func (f *mirrorFlags) openTarget(ctx context.Context, a *app, o *mirror.Options) (closeTarget func() error, err error) {
	none := func() error { return nil }
	path := f.toDir + f.toArchive
	switch {
	case f.to != "":
		registry, err := a.targetRegistry(ctx, f.to)
		if err != nil {
			return nil, err
		}
		o.To, err = mirror.ToRegistry(registry, f.to, f.toRelease)
		return none, usage(err)
	case o.DryRun:
		o.To = mirror.ToNothing()
		if _, err := os.Stat(path); err != nil {
			return none, nil
		}
		layout, err := oci.OpenLayout(path)
		if err != nil {
			return none, nil // nothing in it counts before it is whole
		}
		o.To = mirror.ToLayout(layout)
		return layout.Close, nil
	case f.toDir != "":
		layout, err := oci.CreateLayout(f.toDir)
		if err != nil {
			return nil, err
		}
		o.To = mirror.ToLayout(layout)
		return layout.Close, nil
	}
	archive, err := oci.CreateArchive(ctx, f.toArchive, f.maxArchiveSize)
	if err != nil {
		return nil, err
	}
	o.To = mirror.ToArchive(archive)
	return archive.Close, nil
}

// targetRegistry reaches the registry that is copied to. Mirrors are for reading
// only.
func (a *app) targetRegistry(ctx context.Context, to string) (*oci.Registry, error) {
	foreign, err := a.isForeign(to)
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
	host, _, _ := strings.Cut(to, "/")
	registry, err := oci.NewRegistry(host+"/mirror", "", append(opts, oci.WithMirrors(nil))...)
	return registry, usage(err)
}
