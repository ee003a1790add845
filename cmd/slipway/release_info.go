package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/inspect"
	"github.com/slipway-release/slipway/release/inspect/forge"
	"github.com/slipway-release/slipway/release/sign"
	"github.com/slipway-release/slipway/release/sign/policy"
)

// The values of info's --verify.
const (
	verifyNothing = "false"
	verifyDigests = "digests" // no signature
	verifyAll     = "all"
	verifyLayers  = "layers" // and what is in them
)

type releaseInfoOptions struct {
	from          string
	changelog     string
	commits       bool
	commitURLs    bool
	pullSpecs     bool
	size          bool
	contents      bool
	includeImages bool
	imageFor      string
	verify        string
	trust         verification
	cluster       clusterFlags
	forges        []string
	out           output
}

func newReleaseInfo(a *app) *cobra.Command {
	o := releaseInfoOptions{out: output{more: []string{"digest", "pullspec"}}}
	cmd := &cobra.Command{
		Use:   "info [PAYLOAD...]",
		Short: "Show what payloads hold, or what differs between two",
		Long: `Show what a payload holds: its name and digest, the versions it may follow, its
component images and where they come from. A payload is named by version or digest,
by any pull spec, or as an OCI layout or archive; nothing but its manifest, its
configuration and the layer with the manifests is read. Without a name, it is the
payload that the cluster of the kubeconfig is at; with --kubeconfig or --context, a
version is looked up among those that this cluster knows.

Two payloads, or --changes-from, are compared as "slipway release diff" does, and with
--changelog as "slipway release changelog" does.

The output of -o json has the keys of "oc adm release info -o json"; versions and
versionsTags are filled, and version, pullSpec, created, platform, upgrades, next,
values, components, manifests, files, sizes and verification are there besides.

Without --verify nothing is said about trust. --verify checks the payload's signature
and that the manifest and configuration of every image, of all platforms, are in the
registry and have their digests; --verify=layers reads all layers as well;
--verify=digests leaves the signature out. See "slipway verify" for whom to trust.`,
		Example: `  slipway release info
  slipway release info 1.36.3-0.nightly-2026-11-20-101500
  slipway release info quay.io/okd/scos-release:4.19.0-okd-scos.16 --commit-urls
  slipway release info oci-archive:payload.tar --size
  slipway release info sha256:… --verify=layers
  slipway release info sha256:… --image-for etcd
  slipway release info sha256:… -o jsonpath='{.displayVersions.kubernetes.Version}'`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error { return runReleaseInfo(cmd.Context(), a, o, args) },
	}
	f := cmd.Flags()
	f.StringVar(&o.from, "changes-from", "", "show what changed since this payload")
	f.StringVar(&o.changelog, "changelog", "", "tell what came in since the other payload, from its sources' repositories in this folder; those it lacks are fetched, see slipway release changelog")
	f.BoolVar(&o.commits, "commits", false, "show repository and commit of every image")
	f.BoolVar(&o.commitURLs, "commit-urls", false, "show a link to the commit of every image")
	f.BoolVar(&o.pullSpecs, "pullspecs", false, "show the whole pull spec of every image")
	f.BoolVar(&o.size, "size", false, "show the size of every image, and of all of them with shared layers counted once")
	f.BoolVar(&o.contents, "contents", false, "print all manifests")
	f.StringVar(&o.imageFor, "image-for", "", "print the pull spec of this component")
	f.BoolVar(&o.includeImages, "include-images", false, "read manifest and configuration of every image into the output of -o json")
	f.StringVar(&o.verify, "verify", verifyNothing, "verify signature and digests: all, layers or digests")
	f.Lookup("verify").NoOptDefVal = verifyAll
	o.trust.add(cmd)
	o.cluster.add(cmd)
	addForgeFlag(cmd, &o.forges)
	_ = cmd.RegisterFlagCompletionFunc("verify", cobra.FixedCompletions([]string{verifyAll, verifyLayers, verifyDigests}, cobra.ShellCompDirectiveNoFileComp))
	o.out.addFlag(cmd)
	cmd.MarkFlagsMutuallyExclusive("commits", "commit-urls", "pullspecs", "size", "contents", "image-for", "verify")
	cmd.MarkFlagsMutuallyExclusive("output", "contents", "image-for")
	cmd.MarkFlagsMutuallyExclusive("changes-from", "image-for", "verify")
	cmd.MarkFlagsMutuallyExclusive("changelog", "commits", "commit-urls", "pullspecs", "size", "contents", "image-for", "verify")
	_ = cmd.MarkFlagDirname("changelog")
	return cmd
}

func addForgeFlag(cmd *cobra.Command, forges *[]string) {
	cmd.Flags().StringArrayVar(forges, "forge", nil, "HOST=KIND: form of the links of a git host that is not known; KIND is "+strings.Join(forge.Kinds(), ", "))
}

func runReleaseInfo(ctx context.Context, a *app, o releaseInfoOptions, args []string) error {
	if err := o.out.check(); err != nil {
		return err
	}
	switch o.verify {
	case "true":
		o.verify = verifyAll
	case verifyAll, verifyLayers, verifyDigests, verifyNothing:
	default:
		return usage(fmt.Errorf("reading --verify: %q is none of %s, %s, %s", o.verify, verifyAll, verifyLayers, verifyDigests))
	}
	if o.trust.any() && (o.verify == verifyNothing || o.verify == verifyDigests) {
		return usage(errors.New("reading payloads: flags that say whom to trust need --verify or --verify=layers"))
	}
	hosts, err := forge.ParseHosts(o.forges)
	if err != nil {
		return usage(fmt.Errorf("reading --forge: %w", err))
	}
	if args, err = o.cluster.payloads(ctx, args); err != nil {
		return err
	}
	if o.from != "" {
		if o.from, err = o.cluster.payload(ctx, o.from); err != nil {
			return err
		}
	}
	if o.from == "" && len(args) == 2 && o.verify == verifyNothing && o.imageFor == "" {
		o.from, args = args[0], args[1:]
	}
	if o.from != "" {
		if len(args) != 1 {
			return usage(errors.New("comparing payloads: --changes-from takes one payload to compare with"))
		}
		if o.changelog != "" {
			repository := repositoryFlags{local: o.changelog, jobs: repositoryJobs, timeout: fetchTimeout}
			return runReleaseChangelog(ctx, a, releaseChangelogOptions{forges: o.forges, limit: changelogLimit, repository: repository, out: output{format: o.out.format}}, o.from, args[0])
		}
		return runReleaseDiff(ctx, a, releaseDiffOptions{full: o.contents, commits: o.commits || o.commitURLs, forges: o.forges, out: output{format: o.out.format, more: diffForms}}, o.from, args[0])
	}
	if o.changelog != "" {
		return usage(errors.New("reading --changelog: it tells what came in since another payload; name that as well, first or with --changes-from"))
	}
	var failed []error
	shown := 0
	for _, named := range args {
		// One that fails does not keep the others from being shown.
		if err := a.showInfo(ctx, o, hosts, named, shown > 0); err != nil {
			failed = append(failed, err)
			continue
		}
		shown++
	}
	return errors.Join(failed...)
}

func (a *app) showInfo(ctx context.Context, o releaseInfoOptions, hosts forge.Hosts, named string, another bool) error {
	s, err := a.openSubject(ctx, named)
	if err != nil {
		return err
	}
	if o.contents {
		return inspect.WriteContents(a.Out, s.Payload)
	}
	if o.imageFor != "" {
		image, ok := s.Payload.Image(o.imageFor)
		if !ok {
			return usage(fmt.Errorf("looking for image %q: payload %q has no such component", o.imageFor, named))
		}
		_, err := fmt.Fprintln(a.Out, image)
		return err
	}
	info, err := inspect.Describe(s.Subject, hosts)
	if err != nil {
		return err
	}
	if err := a.readMore(ctx, o, s, info); err != nil {
		return err
	}
	return a.printInfo(o, info, another)
}

// subject is a payload that was opened, and what a signature of it must claim.
type subject struct {
	inspect.Subject
	source imageSource
	claim  sign.Claim
}

func (a *app) openSubject(ctx context.Context, named string) (subject, error) {
	opened, err := a.openPayload(ctx, named)
	if err != nil {
		return subject{}, err
	}
	p, claim, err := opened.identify(ctx)
	if errors.Is(err, release.ErrNoPayload) {
		return subject{}, usage(err)
	}
	if err != nil {
		return subject{}, err
	}
	var platforms []v1.Descriptor
	if opened.list != (v1.Hash{}) {
		index, err := opened.source.Index(ctx, opened.reference)
		if err == nil {
			platforms, err = oci.PlatformsOf(index)
		}
		if err != nil {
			return subject{}, err
		}
	}
	return subject{inspect.Subject{Platforms: platforms, Named: named, Reference: opened.reference, List: opened.list, Image: opened.image, Payload: p}, opened.source, claim}, nil
}

// readMore reads the component images where that was asked for.
func (a *app) readMore(ctx context.Context, o releaseInfoOptions, s subject, info *inspect.Info) error {
	if !o.size && !o.includeImages && o.verify == verifyNothing {
		return nil
	}
	step := a.lateStep("reading " + s.Named)
	err := a.readImages(ctx, o, s, info, step.count)
	step.finish(err)
	return err
}

func (a *app) readImages(ctx context.Context, o releaseInfoOptions, s subject, info *inspect.Info, count func()) error {
	if o.verify != verifyNothing {
		found, err := a.verifySubject(ctx, o, s, count)
		info.Verification = found
		return err
	}
	if err := inspect.ReadImages(ctx, s.source, info, a.registries.jobs, count); err != nil {
		return err
	}
	if o.size {
		info.AddSizes()
	}
	return nil
}

// verifySubject checks the signature first: bytes that nobody vouches for need not
// be read.
func (a *app) verifySubject(ctx context.Context, o releaseInfoOptions, s subject, count func()) (*inspect.Verified, error) {
	var signatures *policy.Report
	if o.verify != verifyDigests {
		var err error
		if signatures, err = o.trust.require(ctx, a, s.judged(), "verifying payload"); err != nil {
			return nil, err
		}
	}
	found, err := inspect.Verify(ctx, s.source, s.Subject, inspect.VerifyOptions{Layers: o.verify == verifyLayers, Jobs: a.registries.jobs, Done: count})
	if errors.Is(err, inspect.ErrDamaged) {
		return nil, rejected(err)
	}
	if err != nil {
		return nil, err
	}
	if signatures != nil {
		found.Signature = signatures
	}
	return &found, nil
}

func (a *app) printInfo(o releaseInfoOptions, info *inspect.Info, another bool) error {
	r := result{value: info, forms: map[string]func(io.Writer) error{}}
	for _, c := range info.Components {
		r.names = append(r.names, c.Name)
	}
	r.forms["digest"] = eachComponent(info, func(c inspect.Component) string { return c.Digest })
	r.forms["pullspec"] = eachComponent(info, func(c inspect.Component) string { return c.PullSpec })
	var failed error
	r.text = func(w io.Writer) {
		if info.Verification != nil {
			_, failed = fmt.Fprintln(w, verifiedLine(info))
			return
		}
		if another {
			fmt.Fprintln(w)
		}
		failed = info.WriteText(w, o.column(), time.Now())
	}
	if another && o.out.format == "yaml" {
		fmt.Fprintln(a.Out, "---")
	}
	return errors.Join(o.out.print(a.Out, r), failed)
}

// verifiedLine begins with the three words that oc prints.
func verifiedLine(info *inspect.Info) string {
	v := info.Verification
	said := "signature good"
	if v.Signature == nil {
		said = "signature NOT checked"
	}
	if v.Layers > 0 {
		return fmt.Sprintf("%s %s %s  %s; %d images and all their %d layers good", info.Identity(), info.Created.Format(time.RFC3339), info.Version, said, v.Images, v.Layers)
	}
	return fmt.Sprintf("%s %s %s  %s; manifests and configurations of %d images good, layers not read", info.Identity(), info.Created.Format(time.RFC3339), info.Version, said, v.Images)
}

func eachComponent(info *inspect.Info, of func(inspect.Component) string) func(io.Writer) error {
	return func(w io.Writer) error {
		for _, c := range info.Components {
			if _, err := fmt.Fprintln(w, of(c)); err != nil {
				return err
			}
		}
		return nil
	}
}

func (o releaseInfoOptions) column() inspect.Column {
	switch {
	case o.commits:
		return inspect.ColumnCommit
	case o.commitURLs:
		return inspect.ColumnCommitURL
	case o.pullSpecs:
		return inspect.ColumnPullSpec
	case o.size:
		return inspect.ColumnSize
	}
	return inspect.ColumnDigest
}
