package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/release/mirror"
	"github.com/slipway-release/slipway/release/sign/openpgp"
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
	policyFile     string
	trust          trustFlags
	claims         claimFlags
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

What is printed as text is YAML: the mirror configuration for clusters, and the summary
as comments. It can be given to --idms-file.`,
		Example: `  slipway release mirror 1.36.3-0.nightly-2026-11-20-101500 --to registry.example.com/mirror/skiff
  slipway release mirror quay.io/okd/scos-release:4.19.0-okd-scos.16 --to-dir /media/disk/okd --key okd.pub
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
	s.StringVar(&f.signaturesTo, "release-image-signature-to-dir", "", "directory for the ConfigMap with the payload's OpenPGP signatures, found as --signature-store and --signature-config-map say")
	s.StringVar(&f.policyFile, "policy", "", "file with the verification policy")
	_ = cmd.RegisterFlagCompletionFunc("print-mirror-instructions", cobra.FixedCompletions([]string{mirror.InstructionsIDMS, mirror.InstructionsICSP, mirror.InstructionsNone}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.MarkFlagDirname("to-dir")
	_ = cmd.MarkFlagDirname("from-dir")
	_ = cmd.MarkFlagDirname("release-image-signature-to-dir")
	f.trust.add(cmd)
	f.claims.add(cmd)
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
	targets := 0
	for _, t := range []string{f.to, f.toDir, f.toArchive} {
		if t != "" {
			targets++
		}
	}
	if targets != 1 {
		problems = append(problems, errors.New("say where to copy to, by one of --to, --to-dir and --to-archive"))
	}
	if f.toRelease != "" && (f.to == "" || f.skipRelease) {
		problems = append(problems, errors.New("--to-release-image needs --to, and excludes --skip-release-image"))
	}
	switch f.instructions {
	case mirror.InstructionsIDMS, mirror.InstructionsICSP, mirror.InstructionsNone:
	default:
		problems = append(problems, fmt.Errorf("--print-mirror-instructions: %q is none of idms, icsp, none", f.instructions))
	}
	if f.signaturesTo != "" && len(f.claims.stores)+len(f.claims.configMaps) == 0 {
		problems = append(problems, errors.New("--release-image-signature-to-dir needs --signature-store or --signature-config-map, where the signatures are"))
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
	image, err := a.findPayload(ctx, f.named())
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
	closeTarget, err := f.openTarget(ctx, a, &o)
	if err != nil {
		return err
	}
	r, err := a.watchMirror(ctx, o)
	if closeErr := closeTarget(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	var signatures []string
	if f.signaturesTo != "" && !o.DryRun {
		if signatures, err = f.writeSignatures(ctx, a, r.Digest); err != nil {
			return err
		}
	}
	return f.print(a, r, signatures)
}

// verifier refuses what the policy refuses.
func (f *mirrorFlags) verifier(ctx context.Context, a *app, image *payloadImage) (func(context.Context, mirror.Subject) error, error) {
	p, err := a.openPolicy(ctx, f.policyFile, &f.trust, &f.claims)
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

// watchMirror runs the copy and shows how far it is.
func (a *app) watchMirror(ctx context.Context, o mirror.Options) (*mirror.Result, error) {
	p := a.slowProgress("mirror")
	done := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		ticker := time.NewTicker(sayEvery)
		defer ticker.Stop()
		var before int64
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
			}
			now := o.Progress.Bytes.Load()
			p.say(fmt.Sprintf("%d of %d images, %s, %s/s", o.Progress.ImagesDone.Load(), o.Progress.Images.Load(), bytesOf(now), bytesOf(now-before)))
			before = now
		}
	}()
	r, err := mirror.Run(ctx, o)
	close(done)
	<-watched
	p.done(err)
	return r, err
}

// bytesOf writes a number of bytes for people.
func bytesOf(n int64) string {
	for _, unit := range []struct {
		size int64
		name string
	}{{1e9, "GB"}, {1e6, "MB"}, {1e3, "kB"}} {
		if n >= unit.size {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(unit.size), unit.name)
		}
	}
	return fmt.Sprintf("%d B", n)
}

// writeSignatures keeps the payload's OpenPGP signatures in the file that oc
// writes them to, as a ConfigMap that can be applied to a cluster.
func (f *mirrorFlags) writeSignatures(ctx context.Context, a *app, payload string) ([]string, error) {
	digest, err := v1.NewHash(payload)
	if err != nil {
		return nil, err
	}
	stores, err := f.claims.openStores(a)
	if err != nil {
		return nil, err
	}
	var messages [][]byte
	for _, s := range stores {
		found, err := s.Messages(ctx, digest)
		if err != nil {
			return nil, err
		}
		for _, m := range found {
			messages = append(messages, m.Message)
		}
	}
	if len(messages) == 0 {
		return nil, fmt.Errorf("writing signatures of payload %s: no store has any", payload)
	}
	path := filepath.Join(f.signaturesTo, "signature-sha256-"+digest.Hex[:16]+".json")
	if err := os.MkdirAll(f.signaturesTo, 0o755); err != nil {
		return nil, err
	}
	_, err = openpgp.AddToConfigMap(path, digest, messages...)
	return []string{path}, err
}

func (f *mirrorFlags) print(a *app, r *mirror.Result, signatures []string) error {
	instructions, err := mirror.Instructions(f.instructions, r.Sources)
	if err != nil {
		return usage(err)
	}
	names := []string{}
	for _, i := range r.Images {
		names = append(names, i.To)
	}
	return f.out.print(a.Out, result{value: r, names: names, text: func(w io.Writer) {
		if f.mapping {
			for _, i := range r.Images {
				fmt.Fprintf(w, "%s %s\n", i.From, i.To)
			}
			return
		}
		printMirror(w, r)
		for _, s := range signatures {
			fmt.Fprintf(w, "# Signatures are in %s\n", s)
		}
		if len(instructions) > 0 {
			fmt.Fprintln(w)
			_, _ = w.Write(instructions)
		}
	}})
}

func printMirror(w io.Writer, r *mirror.Result) {
	done, companions, fresh := "Copied", 0, 0
	if r.DryRun {
		done = "Would copy"
	}
	for _, i := range r.Images {
		if companions += i.CompanionsCopied; i.Status == mirror.StatusCopied {
			fresh++
		}
	}
	fmt.Fprintf(w, "# %s %s: %d of %d images, %d signatures and attestations, %s in %.1f s\n", done, r.Version, fresh, len(r.Images), companions, bytesOf(r.Bytes), r.Seconds)
	fmt.Fprintf(w, "# Blobs: %d copied, %d mounted, %d there before\n", r.Blobs.Copied, r.Blobs.Mounted, r.Blobs.Present)
	for _, k := range r.Kept {
		fmt.Fprintf(w, "# Left as it is, for it has what the source has not (see --overwrite): %s\n", k)
	}
	if r.Target != "" {
		fmt.Fprintf(w, "# Release image: %s\n# Digest: %s\n", r.Target, r.Digest)
	}
}
