package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/images"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/assemble"
	"github.com/slipway-release/slipway/release/assemble/deliver"
	"github.com/slipway-release/slipway/release/assemble/input"
	"github.com/slipway-release/slipway/release/lint"
)

type releaseNewOptions struct {
	inputs  newInputs
	outputs newOutputs

	stream   string
	name     string
	previous []string
	next     []string
	metadata string
	channels []string
	versions map[string]string
	display  map[string]string
	include  []string
	exclude  []string
	prune    bool
	base     string
	baseTag  string
	keepList bool
	// architectures are those of a payload of --images; none stands for one, of its images.
	architectures []string
	docker        bool

	mirror string

	allowMissing  bool
	skipManifests bool
	lint          releaseLintOptions
	dryRun        bool
	out           output

	// changed reports whether a flag was given.
	changed func(flag string) bool
}

func newReleaseNew(a *app) *cobra.Command {
	var o releaseNewOptions
	cmd := &cobra.Command{
		Use:   "new [NAME=PULLSPEC ...]",
		Short: "Assemble component images into a payload",
		Long: `Assemble component images into a payload: the manifests of all components by run
level, with every image pinned by digest, in one layer on a base image. The same
images under the same name give the same digest.

What the payload is made of comes from one of --images, --from-lock, --from-dir,
--from-image-stream-file, --from-image-stream and --from-release; mapping files and
NAME=PULLSPEC are laid over it. Components are read where they are and not copied,
except with --mirror: then the payload names the copies, and its digest is another
than that of the same components elsewhere, so that it needs signatures of its own.
To move a release as it is, see "slipway release mirror".

The payload goes to every place named by a --to flag. Without one, --images pushes it
to the distribution's release repository, and all else prints the digest that it would
have.

SOURCE_DATE_EPOCH, in seconds since 1970, sets the time of everything in the image;
the default is the second in the version's name.`,
		Example: `  slipway release new --images images.json --stream nightly
  slipway release new --from-lock distro.lock --to-layout payload
  slipway release new -f stream.json --name 4.19.0-okd-scos.17 --to-image quay.io/me/release
  slipway release new --from-release quay.io/okd/scos-release:4.19.0-okd-scos.16 cli=quay.io/me/cli:fix --to-archive payload.tar
  slipway release new --from-release PAYLOAD --name 4.19.0 --mirror quay.io/me/content --to-image quay.io/me/release
  slipway release new --from-dir components --to-image-base scratch --name 1.0.0 --to-dir out`,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.changed = cmd.Flags().Changed
			o.inputs.overrides = args
			return runReleaseNew(cmd.Context(), a, &o)
		},
	}
	f := cmd.Flags()
	o.inputs.addFlags(cmd)
	f.StringVar(&o.stream, "stream", "nightly", "stream the version is named for, with --images and --from-lock")
	f.StringVar(&o.name, "name", "", "version (default: <base>-0.<stream>-<now> of a distribution, that of --from-release, else 0.0.1-<now>)")
	f.StringSliceVar(&o.previous, "previous", nil, "versions that may upgrade to this one")
	f.StringSliceVar(&o.next, "next", nil, "versions that this one may upgrade to")
	f.StringVar(&o.metadata, "metadata", "", "JSON object to store in the release's metadata")
	f.StringSliceVar(&o.channels, "channels", nil, "update channels to name in the release's metadata")
	f.StringToStringVar(&o.versions, "component-versions", nil, "versions to announce, KEY=VERSION, in place of what images say of the same key")
	f.StringToStringVar(&o.display, "component-versions-display-names", nil, "what a version is a version of, KEY=NAME")
	f.StringSliceVar(&o.include, "include", nil, "components to keep although nothing names them")
	f.StringSliceVar(&o.exclude, "exclude", nil, "components to leave out")
	f.BoolVar(&o.prune, "prune", false, "leave out components that bring no manifests and that no manifest names (default: with --from-image-stream-file; a payload was pruned when it was made)")
	f.StringVar(&o.base, "to-image-base", "", "image that the payload is put on, or scratch")
	f.StringVar(&o.baseTag, "to-image-base-tag", "", "component that the payload is put on (default: the distribution's, that of --from-release, else cluster-version-operator)")
	f.BoolVar(&o.keepList, "keep-manifest-list", false, "make a payload for every platform of the base, and an index of them")
	f.StringSliceVar(&o.architectures, "architectures", nil, "what the payload is for, such as amd64,arm64: of several, an index with a payload for each, which every component must have an image for")
	f.StringVar(&o.mirror, "mirror", "", "copy the components to this repository, or template with ${component}, before the payload, and name them there")
	f.BoolVar(&o.docker, "docker", false, "write Docker schema 2 media types in place of OCI's")
	f.BoolVar(&o.allowMissing, "allow-missing-images", false, "leave images in manifests as they are when a component lists one that the payload lacks")
	f.BoolVar(&o.skipManifests, "skip-manifest-check", false, "warn of what is wrong with manifests, and go on")
	f.StringVar(&o.lint.failOn, "lint", "never", "judge the manifests as slipway release lint does, and refuse findings of this level or a graver one: "+strings.Join(failLevels, ", "))
	f.StringArrayVar(&o.lint.exceptions, "exceptions", nil, "file of exceptions for --lint; may be given several times")
	f.BoolVar(&o.dryRun, "dry-run", false, "assemble and check, but push and write nothing")
	o.outputs.addFlags(f)
	o.out.addFlag(cmd)
	_ = cmd.RegisterFlagCompletionFunc("lint", cobra.FixedCompletions(failLevels, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("reference-mode", cobra.FixedCompletions([]string{input.ReferencePublic, input.ReferenceSource}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func runReleaseNew(ctx context.Context, a *app, o *releaseNewOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	if len(o.architectures) == 1 {
		a.registries.platform = "linux/" + o.architectures[0]
	}
	o.keepList = o.keepList || len(o.architectures) > 1
	progress := a.slowProgress("release new")
	n, err := o.assemble(ctx, a, progress.read)
	if err == nil {
		err = o.judge(a, n)
	}
	if err == nil && !o.dryRun && !o.outputs.none() {
		err = n.mirror(ctx, progress)
	}
	if err == nil && !o.dryRun {
		progress.say("writing")
		err = o.outputs.write(ctx, a, n)
	}
	progress.done(err)
	if err != nil {
		return err
	}
	for _, w := range n.warnings {
		fmt.Fprintln(a.Err, "Warning:", w)
	}
	return o.print(a, n)
}

// check refuses flags that do not go together, before anything is read.
func (o *releaseNewOptions) check() error {
	if err := o.out.check(); err != nil {
		return err
	}
	_, lintErr := o.lint.options()
	return usage(errors.Join(o.inputs.check(), o.outputs.check(), o.checkBase(), o.checkArchitectures(), o.checkMirror(), lintErr))
}

func (o *releaseNewOptions) checkArchitectures() error {
	if len(o.architectures) == 0 {
		return nil
	}
	for _, flag := range []string{"filter-by-os", "keep-manifest-list"} {
		if o.changed(flag) {
			return fmt.Errorf("reading flags: --architectures and --%s both name platforms; give one", flag)
		}
	}
	for i, arch := range o.architectures {
		if arch == "" || strings.Contains(arch, "/") || slices.Contains(o.architectures[:i], arch) {
			return fmt.Errorf("reading --architectures: expected each architecture once, such as amd64,arm64, not %q", strings.Join(o.architectures, ","))
		}
	}
	return nil
}

func (o *releaseNewOptions) checkBase() error {
	if o.base != "" && o.baseTag != "" {
		return errors.New("reading flags: --to-image-base and --to-image-base-tag both name the base; give one")
	}
	return nil
}

// assembled is a payload with what it was assembled from.
type assembled struct {
	*deliver.Payload
	sources  *sources
	gathered *gathered
	warnings []string
	epoch    time.Time
	// components are those of the first platform, with their manifests as they came.
	components []assemble.Component
}

func (o *releaseNewOptions) assemble(ctx context.Context, a *app, progress func(read, all int)) (*assembled, error) {
	in, err := o.gather(ctx, a)
	if err != nil {
		return nil, err
	}
	opts, err := o.options(ctx, a, in)
	if err != nil {
		return nil, err
	}
	n := &assembled{sources: in.sources, gathered: in}
	for _, name := range assemble.Unknown(slices.Concat(o.include, o.exclude), in.set.Components) {
		n.warnings = append(n.warnings, fmt.Sprintf("--include or --exclude names %q, which is no component", name))
	}
	opts.Progress = progress
	if err := o.make(ctx, n, opts, in.baseIndex); err != nil {
		return nil, classifyAssembly(err)
	}
	if opts.Cache != nil {
		opts.Cache.Trim()
	}
	n.epoch = n.Parts[0].Payload.Created
	return n, nil
}

func (o *releaseNewOptions) make(ctx context.Context, n *assembled, opts assemble.Options, base v1.ImageIndex) error {
	if !o.keepList {
		made, err := assemble.Make(ctx, opts)
		if err != nil {
			return err
		}
		n.components = made.Components
		n.Payload = &deliver.Payload{Image: made.Image, Parts: []deliver.Part{{Platform: opts.Platform, Image: made.Image, Payload: made.Payload}}}
		n.take(made)
		return nil
	}
	made, err := assemble.MakeIndex(ctx, opts, base)
	if err != nil {
		return err
	}
	n.Payload = &deliver.Payload{Index: made.Index}
	n.components = made.Results[0].Components
	for i, r := range made.Results {
		n.Parts = append(n.Parts, deliver.Part{Platform: made.Platforms[i], Image: r.Image, Payload: r.Payload})
		n.take(r)
	}
	return nil
}

func (n *assembled) take(r *assemble.Result) {
	for _, w := range r.Warnings {
		if !slices.Contains(n.warnings, w) {
			n.warnings = append(n.warnings, w)
		}
	}
}

// judge runs the rules of slipway release lint over the payload, if asked to.
func (o *releaseNewOptions) judge(a *app, n *assembled) error {
	options, err := o.lint.options()
	if err != nil || o.lint.failOn == "never" {
		return err
	}
	for _, part := range n.Parts {
		report := lint.Run(part.Payload.Manifests, part.Payload.References, options)
		report.Text(a.Err)
		if report.Failed(lint.Level(o.lint.failOn)) {
			return rejected(fmt.Errorf("judging the manifests of release %q: %s", part.Payload.Version, report.Summary()))
		}
	}
	return nil
}

// options turns flags and input into what package assemble wants to know.
func (o *releaseNewOptions) options(ctx context.Context, a *app, in *gathered) (assemble.Options, error) {
	opts := assemble.Options{
		Components: in.set.Components, Source: in.sources, Repository: in.repository,
		Previous: in.set.Previous, Next: in.set.Next, Metadata: in.set.Metadata, MetadataOther: in.set.MetadataOther,
		StreamAnnotations: in.set.Annotations, ComponentVersions: o.versions, DisplayNames: o.display,
		Include: o.include, Exclude: o.exclude, Prune: o.prune, AllowMissing: o.allowMissing, SkipChecks: o.skipManifests,
		Docker: o.docker, Jobs: a.harvestJobs(o.changed("max-per-registry")),
	}
	if o.keepList {
		opts.Architectures = o.architectures
	}
	if !o.changed("prune") {
		opts.Prune = in.prunes
	}
	var err error
	if opts.Platform, err = a.platform(); err != nil {
		return opts, err
	}
	epoch, err := sourceDateEpoch(a.getenv)
	if err != nil {
		return opts, err
	}
	if opts.Version, err = o.version(ctx, in, epoch); err != nil {
		return opts, err
	}
	if err := o.relocate(ctx, a, in, &opts); err != nil {
		return opts, err
	}
	if opts.Epoch = epoch; epoch.IsZero() {
		if _, dated := opts.Version.Time(); !dated {
			opts.Epoch = in.set.Created
		}
	}
	if opts.Cache, err = a.harvestCache(o.dryRun); err != nil {
		return opts, err
	}
	if err := o.describe(&opts); err != nil {
		return opts, err
	}
	return opts, o.chooseBase(ctx, a, in, &opts)
}

// describe takes over what flags say about upgrades and metadata.
func (o *releaseNewOptions) describe(opts *assemble.Options) error {
	var problems []error
	var err error
	if o.changed("previous") {
		opts.Previous, err = parseVersions("--previous", o.previous)
		problems = append(problems, err)
	}
	if o.changed("next") {
		opts.Next, err = parseVersions("--next", o.next)
		problems = append(problems, err)
	}
	if o.metadata != "" {
		opts.Metadata, opts.MetadataOther, err = release.ParseMetadataValues([]byte(o.metadata))
		if err != nil {
			problems = append(problems, fmt.Errorf("reading --metadata: %w", err))
		}
	}
	if len(o.channels) > 0 {
		if opts.Metadata == nil {
			opts.Metadata = map[string]string{}
		}
		opts.Metadata[release.MetadataChannels] = strings.Join(o.channels, ",")
	}
	return usage(errors.Join(problems...))
}

// sourceDateEpoch is the time that reproducible builds agreed to set by this variable.
func sourceDateEpoch(getenv func(string) string) (time.Time, error) {
	value := getenv("SOURCE_DATE_EPOCH")
	if value == "" {
		return time.Time{}, nil
	}
	seconds, err := strconv.ParseInt(value, 10, 64)
	if err != nil || seconds < 0 {
		return time.Time{}, usage(fmt.Errorf("reading SOURCE_DATE_EPOCH: %q is not a number of seconds", value))
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// harvestJobs is how many components are read side by side. Their manifests are
// small, so that more of them than layers may be under way.
func (a *app) harvestJobs(chosen bool) int {
	if chosen {
		return a.registries.jobs
	}
	return 2 * a.registries.jobs
}

// harvestCache is what was read of components before.
func (a *app) harvestCache(readOnly bool) (*assemble.Cache, error) {
	if readOnly {
		root, err := a.statePath()
		if err != nil {
			return nil, err
		}
		return assemble.OpenCache(filepath.Join(root, "cache", harvestCacheName)).ReadOnly(), nil
	}
	st, err := a.state()
	if err != nil {
		return nil, err
	}
	return assemble.OpenCache(st.Cache(harvestCacheName)), nil
}

// newPayload is what `release new` prints.
type newPayload struct {
	Version   string `json:"version"`
	Digest    string `json:"digest"`
	Reference string `json:"reference"`
	PullSpec  string `json:"pullSpec"`
	Manifests int    `json:"manifests"`
	Images    int    `json:"images"`
	DryRun    bool   `json:"dryRun,omitempty"`
	// References is the ImageStream in the payload: every component by digest.
	References json.RawMessage `json:"references"`
	Outputs    []string        `json:"outputs"`
	Platforms  []string        `json:"platforms,omitempty"`
	Warnings   []string        `json:"warnings,omitempty"`
}

func (o *releaseNewOptions) print(a *app, n *assembled) error {
	digest, err := n.Digest()
	if err != nil {
		return err
	}
	p := n.Parts[0].Payload
	references, _ := p.File(release.ReferencesFile)
	value := newPayload{
		Version: p.Version.String(), Digest: digest.String(), Manifests: len(p.Manifests), Images: len(p.Components()),
		DryRun: o.dryRun || (o.outputs.none() && n.gathered.world == nil), References: references, Outputs: o.outputs.names(), Warnings: n.warnings,
	}
	if value.Reference, value.PullSpec, err = o.outputs.located(n, digest); err != nil {
		return err
	}
	if n.Index != nil {
		for _, part := range n.Parts {
			value.Platforms = append(value.Platforms, part.Platform.String())
		}
	}
	if !o.dryRun {
		if err := o.outputs.writeNames(value); err != nil {
			return err
		}
	}
	name := value.Reference
	if name == "" {
		name = value.Digest
	}
	to := a.Out
	if o.outputs.file == "-" && !o.dryRun {
		to = a.Err // standard output holds the layer
	}
	return o.out.print(to, result{value: value, names: []string{name}, text: func(out io.Writer) {
		fmt.Fprintf(out, "%s %s %s\n", value.Digest, value.Version, p.Created.UTC().Format(time.RFC3339))
	}})
}

// assemble makes a payload image of built components.
func (w *world) assemble(ctx context.Context, version release.Version, built []images.Result, previous []release.Version) (v1.Image, *release.Payload, error) {
	opts := assemble.Options{
		Version: version, Base: w.distro.PayloadBase, Repository: w.distro.Repository, Previous: previous,
		Source: w.registry, Components: builtComponents(built), Cache: assemble.OpenCache(w.state.Cache(harvestCacheName)),
	}
	img, payload, err := assemble.Assemble(ctx, opts)
	return img, payload, classifyAssembly(err)
}

func builtComponents(built []images.Result) []assemble.Component {
	components := make([]assemble.Component, len(built))
	for i, b := range built {
		components[i] = assemble.Component{Name: b.Component, Reference: b.Reference}
	}
	return components
}

func parseVersions(flag string, names []string) ([]release.Version, error) {
	var versions []release.Version
	for _, name := range names {
		if name == "" {
			continue
		}
		v, err := release.Parse(name)
		if err != nil {
			return nil, usage(fmt.Errorf("reading %s: %w", flag, err))
		}
		versions = append(versions, v)
	}
	return versions, nil
}

// version is the version asked for, or a new one for this second.
func (o *releaseNewOptions) version(ctx context.Context, in *gathered, epoch time.Time) (release.Version, error) {
	if o.name != "" {
		v, err := release.Parse(o.name)
		if err != nil {
			return v, usage(fmt.Errorf("reading --name: %w", err))
		}
		return v, nil
	}
	now := time.Now()
	if !epoch.IsZero() {
		now = epoch
	}
	if in.world != nil {
		taken, err := in.world.history().Versions(ctx, o.stream)
		if err != nil {
			return release.Version{}, err
		}
		v, err := release.New(in.world.distro.Version, o.stream, now, taken)
		return v, usage(err)
	}
	if !in.set.Version.IsZero() {
		return in.set.Version, nil
	}
	return release.Parse("0.0.1-" + now.UTC().Format(release.StampLayout))
}

// readResults reads what `slipway build` wrote.
func readResults(path string) ([]images.Result, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, usage(fmt.Errorf("reading built images: %w", err))
	}
	var built []images.Result
	if err := json.Unmarshal(data, &built); err != nil {
		return nil, usage(fmt.Errorf("reading built images %q: %w", path, err))
	}
	if len(built) == 0 {
		return nil, usage(fmt.Errorf("reading built images %q: there are none", path))
	}
	slices.SortFunc(built, func(x, y images.Result) int { return strings.Compare(x.Component, y.Component) })
	return built, nil
}
