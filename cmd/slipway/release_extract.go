package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/inspect/extract"
)

type releaseExtractOptions struct {
	from      string
	to        string
	file      string
	overwrite bool

	includes includedFlags
	cluster  clusterFlags
	trust    verification
	verify   bool

	credentials bool
	cloud       string

	git        string
	repository repositoryFlags

	tools toolFlags
	out   output
}

func newReleaseExtract(a *app) *cobra.Command {
	o := releaseExtractOptions{out: output{more: []string{"commit"}}}
	cmd := &cobra.Command{
		Use:   "extract [PAYLOAD]",
		Short: "Take manifests, client tools or sources out of a payload",
		Long: `Take the files of a payload out of it, byte for byte, or one of them with --file to
standard output. A payload is named by version or digest, by any pull spec, or as an
OCI layout or archive; without a name, it is the one that the cluster of the kubeconfig
is at. What is there already with other content is not overwritten.

--verify checks the payload's signature first, and nothing is extracted from one that
is refused: see "slipway verify" for whom to trust.

--included leaves out what a cluster would not apply and says why, as the
cluster-version operator does. Profile, feature set and gates, capabilities and
overrides are those of the cluster of the kubeconfig, or of --install-config for one
that is to be made; on the way to another payload, a cluster keeps what it has. Where
--profile, --capabilities, --feature-set or --feature-gates are given, they count, and
no cluster is asked unless --kubeconfig or --context names one.

--credentials-requests takes what components need credentials for, on the cluster's
cloud where that is known.

--tools writes archives of the client tools for all platforms, their checksums
(sha256sum.txt) and a description of the release (release.txt); --command writes one
program for --command-os. The table of tools is that of --tools-file; else tools of
distro.yaml, for the distribution's own payloads; else the built-in one for OKD.
--signing-key signs the checksums with an OpenPGP key (sha256sum.txt.asc), --sign with
the key pair of the state directory (sha256sum.txt.sigstore.json, see cosign
verify-blob).

--git checks out every source repository at its commit, as DIR/HOST/PATH.`,
		Example: `  slipway release extract 1.36.3-0.nightly-2026-11-20-101500 --to manifests
  slipway release extract --from quay.io/okd/scos-release:4.19.0-okd-scos.16 --file image-references
  slipway release extract PAYLOAD --verify --key release.pub --to dir
  slipway release extract PAYLOAD --to dir --included --kubeconfig admin.conf
  slipway release extract PAYLOAD --to dir --credentials-requests --install-config install-config.yaml
  slipway release extract PAYLOAD --to dir --included --profile self-managed-high-availability --feature-set Default
  slipway release extract PAYLOAD --tools --to tools --signing-key key.asc
  slipway release extract PAYLOAD --command kubectl --command-os linux/amd64
  slipway release extract PAYLOAD --git src -o commit`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runReleaseExtract(cmd, a, &o, args) },
	}
	f := cmd.Flags()
	f.StringVar(&o.from, "from", "", "the payload, in place of the argument")
	f.StringVar(&o.to, "to", ".", "folder to write to")
	f.StringVar(&o.file, "file", "", "write this file of the payload to standard output")
	f.BoolVar(&o.overwrite, "overwrite", false, "overwrite files that are there with other content")
	f.BoolVar(&o.verify, "verify", false, "verify the payload's signature first, and extract nothing when it is refused")
	o.includes.add(cmd)
	o.cluster.add(cmd)
	o.trust.add(cmd)
	f.BoolVar(&o.credentials, "credentials-requests", false, "only the CredentialsRequests")
	f.StringVar(&o.cloud, "cloud", "", "only CredentialsRequests for this cloud: "+strings.Join(extract.Clouds(), ", "))
	f.StringVar(&o.git, "git", "", "check out the source repositories below this folder")
	o.tools.add(cmd)
	o.repository.add(cmd)
	o.out.addFlag(cmd)
	cmd.MarkFlagsMutuallyExclusive("file", "tools", "command", "git", "credentials-requests")
	for _, one := range []string{"file", "tools", "command", "git"} {
		cmd.MarkFlagsMutuallyExclusive("included", one)
		cmd.MarkFlagsMutuallyExclusive("install-config", one)
	}
	_ = cmd.RegisterFlagCompletionFunc("cloud", cobra.FixedCompletions(extract.Clouds(), cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.MarkFlagDirname("to")
	_ = cmd.MarkFlagDirname("git")
	return cmd
}

func runReleaseExtract(cmd *cobra.Command, a *app, o *releaseExtractOptions, args []string) error {
	ctx := cmd.Context()
	if err := o.check(cmd, args); err != nil {
		return err
	}
	named, err := o.cluster.payload(ctx, o.from)
	if err != nil {
		return err
	}
	s, err := a.openSubject(ctx, named)
	if err != nil {
		return err
	}
	if o.verify {
		if _, err := o.trust.require(ctx, a, s.judged(), "extracting from payload"); err != nil {
			return err
		}
	}
	switch {
	case o.file != "":
		return a.extractFile(s.Payload, o.file)
	case o.git != "":
		return a.extractSources(ctx, o, s.Payload)
	case o.tools.all || o.tools.command != "":
		return a.extractTools(ctx, o, s)
	}
	return a.extractManifests(ctx, o, s.Payload)
}

// check completes the options.
func (o *releaseExtractOptions) check(cmd *cobra.Command, args []string) error {
	if err := o.out.check(); err != nil {
		return err
	}
	if o.out.format == "commit" && o.git == "" {
		return usage(errors.New("reading --output: commit is a format of --git"))
	}
	if len(args) == 1 {
		if o.from != "" {
			return usage(errors.New("extracting from a payload: it is named twice, as argument and by --from"))
		}
		o.from = args[0]
	}
	if o.trust.any() && !o.verify {
		return usage(errors.New("extracting from a payload: flags that say whom to trust need --verify"))
	}
	if o.cloud != "" && !o.credentials {
		return usage(errors.New("reading --cloud: it chooses among what --credentials-requests finds"))
	}
	o.includes.complete(cmd)
	return o.tools.check()
}

func (a *app) extractFile(p *release.Payload, name string) error {
	data, ok := p.File(name)
	if !ok {
		return usage(fmt.Errorf("extracting file %q: payload %s has no such file; \"release extract\" without --file writes all there are", name, p.Version))
	}
	_, err := a.Out.Write(data)
	return err
}

// extractedManifests is what `release extract` prints.
type extractedManifests struct {
	Version  string            `json:"version"`
	Digest   string            `json:"digest"`
	Dir      string            `json:"dir"`
	For      string            `json:"for,omitempty"` // whose kind of cluster was chosen for
	Files    []string          `json:"files"`
	LeftOut  []extract.LeftOut `json:"leftOut,omitempty"`
	Unjudged []string          `json:"unjudged,omitempty"`
}

func (a *app) extractManifests(ctx context.Context, o *releaseExtractOptions, p *release.Payload) error {
	kind, err := o.includes.kind(ctx, &o.cluster)
	if err != nil {
		return err
	}
	chosen := extract.Selected{Files: extract.Files(p)}
	if o.includes.included {
		selection, err := o.includes.selection(p, kind)
		if err != nil {
			return err
		}
		if err := a.enableImplicit(ctx, kind, p, &selection); err != nil {
			return err
		}
		chosen = extract.Included(p, selection)
	}
	if o.credentials {
		cloud, err := o.forCloud(kind)
		if err != nil {
			return err
		}
		requests, err := extract.CredentialsRequests(chosen.Files, cloud)
		if err != nil {
			return usage(err)
		}
		requests.LeftOut = append(chosen.LeftOut, requests.LeftOut...)
		chosen = requests
	}
	for _, name := range chosen.Unjudged {
		fmt.Fprintf(a.Err, "Warning: %s holds what is no readable manifest; see \"slipway release lint\".\n", name)
	}
	if err := extract.Write(o.to, chosen.Files, o.overwrite); err != nil {
		return err
	}
	done := extractedManifests{Version: p.Version.String(), Digest: p.Digest.String(), Dir: o.to, Files: []string{}, LeftOut: chosen.LeftOut, Unjudged: chosen.Unjudged}
	if kind != nil {
		done.For = kind.From
	}
	for _, f := range chosen.Files {
		done.Files = append(done.Files, f.Name)
	}
	return o.out.print(a.Out, result{value: done, names: done.Files, text: func(w io.Writer) {
		fmt.Fprintf(w, "Extracted %d files of %s (%s) to %s\n", len(done.Files), done.Version, done.Digest, done.Dir)
		if done.For != "" {
			fmt.Fprintf(w, "Chosen for: %s\n", done.For)
		}
		if len(done.LeftOut) > 0 {
			fmt.Fprintf(w, "\nLeft out (%d):\n", len(done.LeftOut))
		}
		for _, l := range done.LeftOut {
			fmt.Fprintf(w, "  %s:%d: %s: %s\n", l.File, l.Line, l.Object, l.Reason)
		}
	}})
}

// extractedSources is what `release extract --git` prints.
type extractedSources struct {
	Sources []extract.Checkout `json:"sources"`
	// Silent are components that do not say what they were built from.
	Silent []string `json:"silent,omitempty"`
}

func (a *app) extractSources(ctx context.Context, o *releaseExtractOptions, p *release.Payload) error {
	repositories, err := a.repositories(o.repository)
	if err != nil {
		return err
	}
	steps := a.lateSteps()
	var done extractedSources
	var failed error
	done.Sources, done.Silent, failed = extract.Sources(ctx, p, extract.SourcesOptions{Dir: o.git, Repositories: repositories, Jobs: o.repository.jobs, Watch: steps.start})
	steps.close()
	if len(done.Silent) > 0 {
		fmt.Fprintf(a.Err, "Warning: these components do not say what they were built from: %s.\n", strings.Join(done.Silent, ", "))
	}
	r := result{value: done}
	lines := func(w io.Writer) error {
		for _, c := range done.Sources {
			fmt.Fprintf(w, "%s %s\n", c.Path, c.Commit)
		}
		return nil
	}
	for _, c := range done.Sources {
		r.names = append(r.names, c.Path)
	}
	r.forms = map[string]func(io.Writer) error{"commit": lines}
	r.text = func(w io.Writer) { _ = lines(w) }
	return errors.Join(failed, o.out.print(a.Out, r))
}
