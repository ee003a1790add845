package main

import (
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/release/streams"
)

func newStreamPublish(a *app) *cobra.Command {
	var b byHand
	cmd := &cobra.Command{
		Use:   "publish STREAM [VERSION]...",
		Short: "Copy a stream's accepted payloads to the places that it declares",
		Long: `Copy the accepted payloads of a stream to the mirrors that its field publish declares,
with their components and all signatures, attestations and bills of materials; VERSIONs
restrict that to some. The controller does the same for what it has accepted.

What a mirror has already is not copied again, so that what failed or was broken off is
carried on by the same command. Credentials are those that every command uses.`,
		Example: "  slipway stream publish nightly --dry-run\n  slipway stream publish stable 1.36.4",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			w, mark, err := b.begin(cmd.Context(), a, args[0])
			if err != nil {
				return err
			}
			s := w.distro.Stream(args[0])
			if len(s.Publish) == 0 {
				return usage(fmt.Errorf("publishing what stream %q has accepted: it declares no place; see publish in distro.yaml", s.Name))
			}
			p, err := a.publisher(cmd.Context(), w, mark, b.dryRun)
			if err != nil {
				return err
			}
			accepted, err := p.accepted(cmd.Context(), s.Name)
			if err != nil {
				return err
			}
			if accepted, err = someOf(accepted, s.Name, args[1:]); err != nil {
				return err
			}
			done, err := p.stream(cmd.Context(), s, accepted)
			if printed := b.out.print(a.Out, publishedResult(done)); err == nil {
				err = printed
			}
			return err
		},
	}
	b.addFlags(cmd, false)
	return cmd
}

// someOf are the releases of some versions, or all.
func someOf(accepted []streams.Release, stream string, versions []string) ([]streams.Release, error) {
	if len(versions) == 0 {
		return accepted, nil
	}
	var some []streams.Release
	for _, v := range versions {
		at := slices.IndexFunc(accepted, func(r streams.Release) bool { return r.Version.String() == v })
		if at < 0 {
			return nil, usage(fmt.Errorf("publishing %q: stream %q has accepted no such payload", v, stream))
		}
		some = append(some, accepted[at])
	}
	return some, nil
}

func publishedResult(all []publication) result {
	r := result{value: all, text: func(w io.Writer) {
		for _, p := range all {
			fmt.Fprintf(w, "%s %s\n", p.Version, p)
		}
		if len(all) == 0 {
			fmt.Fprintln(w, "nothing is accepted that could be published")
		}
	}}
	for _, p := range all {
		r.names = append(r.names, p.Version.String())
	}
	return r
}
