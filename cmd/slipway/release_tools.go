package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/inspect"
	"github.com/slipway-release/slipway/release/inspect/extract"
	"github.com/slipway-release/slipway/release/sign/openpgp"
)

// toolFlags are the flags of `release extract` that are about client tools.
type toolFlags struct {
	all        bool
	command    string
	commandOS  string
	table      string
	sign       bool
	signingKey string
}

func (t *toolFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&t.all, "tools", false, "write archives of all client tools")
	f.StringVar(&t.command, "command", "", "write this client tool")
	f.StringVar(&t.commandOS, "command-os", "", "platform of the tools: OS, OS/ARCH, or * for archives of all (default: this host's for --command, all for --tools)")
	f.StringVar(&t.table, "tools-file", "", "file with a table of tools, like tools in distro.yaml")
	f.BoolVar(&t.sign, "sign", false, "sign the checksums with the key pair of the state directory")
	f.StringVar(&t.signingKey, "signing-key", "", "file with the OpenPGP key that signs the checksums; "+openpgp.PassphraseVariable+" opens it")
	_ = cmd.RegisterFlagCompletionFunc("command-os", cobra.FixedCompletions([]string{"linux", "linux/amd64", "linux/arm64", "mac", "mac/amd64", "mac/arm64", "windows", "*"}, cobra.ShellCompDirectiveNoFileComp))
}

func (t *toolFlags) check() error {
	if !t.all && t.command == "" {
		for name, given := range map[string]bool{"command-os": t.commandOS != "", "tools-file": t.table != "", "sign": t.sign, "signing-key": t.signingKey != ""} {
			if given {
				return usage(fmt.Errorf("reading --%s: it belongs to --tools or --command", name))
			}
		}
	}
	if !t.archives() && (t.sign || t.signingKey != "") {
		return usage(errors.New("signing checksums: one program has no list of checksums; archives have: --tools, or --command-os '*'"))
	}
	return nil
}

// archives tells whether archives are written, and not a program itself.
func (t *toolFlags) archives() bool { return t.all || t.commandOS == "*" }

// choice says which tools are wanted. One program is for one platform, this host's
// where nothing else was said.
func (t *toolFlags) choice() (extract.Choice, error) {
	c, err := extract.ParsePlatform(t.commandOS)
	if err != nil {
		return c, usage(fmt.Errorf("reading --command-os: %w", err))
	}
	c.Name = t.command
	if !t.archives() {
		if c.OS == "" {
			c.OS = runtime.GOOS
		}
		if c.Arch == "" {
			c.Arch = runtime.GOARCH
		}
	}
	return c, nil
}

func (a *app) extractTools(ctx context.Context, o *releaseExtractOptions, s subject) error {
	opts, err := a.toolsOptions(o, s)
	if err != nil {
		return err
	}
	steps := a.lateSteps()
	opts.Watch = steps.start
	done, err := extract.Tools(ctx, s.source, s.Payload, opts)
	steps.close()
	if errors.Is(err, extract.ErrNoTool) {
		return usage(err)
	}
	if err != nil {
		return err
	}
	for _, m := range done.Missing {
		fmt.Fprintf(a.Err, "Warning: left out %s.\n", m)
	}
	r := result{value: done, text: func(w io.Writer) {
		for _, f := range done.Files {
			fmt.Fprintf(w, "%s  %s\n", f.SHA256, f.Name)
		}
	}}
	for _, f := range done.Files {
		r.names = append(r.names, f.Name)
	}
	return o.out.print(a.Out, r)
}

func (a *app) toolsOptions(o *releaseExtractOptions, s subject) (extract.ToolsOptions, error) {
	opts := extract.ToolsOptions{
		Dir: o.to, Overwrite: o.overwrite, Programs: !o.tools.archives(),
		Reference: s.Reference, Multi: s.List.Hex != "", Jobs: a.registries.jobs,
	}
	config, err := s.Image.ConfigFile()
	if err != nil {
		return opts, fmt.Errorf("reading payload %q: %w", s.Named, err)
	}
	opts.Arch = config.Architecture
	if opts.Choice, err = o.tools.choice(); err != nil {
		return opts, err
	}
	if opts.Tools, err = a.toolsTable(o.tools.table, s); err != nil {
		return opts, err
	}
	if opts.Programs {
		return opts, nil
	}
	if opts.Release, err = describeRelease(s); err != nil {
		return opts, err
	}
	opts.Signatures, err = a.checksumSignatures(o.tools)
	return opts, err
}

// describeRelease is the text of release.txt, the same at any time.
func describeRelease(s subject) ([]byte, error) {
	info, err := inspect.Describe(s.Subject, nil)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	err = info.WriteText(&text, inspect.ColumnPullSpec, s.Payload.Created)
	return text.Bytes(), err
}

// toolsTable is the table that was given; else the distribution's own, for its
// payloads; else the one for OKD.
func (a *app) toolsTable(file string, s subject) ([]extract.Tool, error) {
	if file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, usage(fmt.Errorf("reading --tools-file: %w", err))
		}
		tools, err := extract.ParseTools(data)
		if err != nil {
			return nil, usage(fmt.Errorf("reading --tools-file %q: %w", file, err))
		}
		return tools, nil
	}
	d, err := a.distribution()
	if err != nil {
		return nil, err
	}
	if own := ofDistribution(s.Payload, d.Repository); own && len(d.Tools) > 0 {
		tools := make([]extract.Tool, len(d.Tools))
		for i, t := range d.Tools {
			tools[i] = extract.Tool(t)
		}
		return tools, usage(extract.CheckTools(tools))
	}
	return extract.OKD(), nil
}

// ofDistribution tells whether a payload's images bear the distribution's name,
// wherever they are stored.
func ofDistribution(p *release.Payload, repository string) bool {
	for _, t := range p.References.Tags {
		if !strings.HasPrefix(t.Image, repository+"/") {
			return false
		}
	}
	return true
}

func (a *app) checksumSignatures(t toolFlags) ([]extract.Signature, error) {
	var signatures []extract.Signature
	if t.signingKey != "" {
		signatures = append(signatures, extract.Signature{File: "sha256sum.txt.asc", Sign: func(_ context.Context, sums []byte) ([]byte, error) {
			signature, err := openpgp.Detach(t.signingKey, a.getenv(openpgp.PassphraseVariable), sums)
			return signature, usage(err)
		}})
	}
	if t.sign {
		st, err := a.state()
		if err != nil {
			return nil, err
		}
		signer, err := a.keys(st)
		if err != nil {
			return nil, err
		}
		signatures = append(signatures, extract.Signature{File: "sha256sum.txt.sigstore.json", Sign: signer.SignBlob})
	}
	return signatures, nil
}
