package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/internal/state"
	"github.com/slipway-release/slipway/release"
)

// upgradeSource is where an upgrade test starts.
type upgradeSource struct {
	Version   string `json:"version"`
	Reference string `json:"reference"`
	// Made is true when the stream had no accepted payload and this one was
	// made of the same images.
	Made bool `json:"made"`
}

func newStreamSource(a *app) *cobra.Command {
	var stream, imagesFile, referenceFile string
	var out output
	cmd := &cobra.Command{
		Use:   "source PAYLOAD",
		Short: "Name the payload that an upgrade to PAYLOAD is tested from",
		Long: `Name the payload that an upgrade to PAYLOAD is tested from: the newest accepted one
of the stream. In a stream without any, and with --images, a predecessor is made of
the same images under an earlier date and signed, so that the first release's
upgrade is tested as well.`,
		Example: "  slipway stream source sha256:… --stream nightly\n  slipway stream source sha256:… --images images.json --reference-file from",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			src, err := a.upgradeSource(cmd.Context(), args[0], stream, imagesFile)
			if err != nil {
				return err
			}
			if referenceFile != "" {
				if err := state.WriteFile(referenceFile, []byte(src.Reference), 0o644); err != nil {
					return err
				}
			}
			return out.print(a.Out, result{value: src, names: []string{src.Reference}, text: func(w io.Writer) {
				how := "accepted before"
				if src.Made {
					how = "made of the same images, for nothing was accepted before"
				}
				fmt.Fprintf(w, "%s (%s)\n", src.Version, how)
			}})
		},
	}
	cmd.Flags().StringVar(&stream, "stream", "nightly", "stream to look in")
	cmd.Flags().StringVar(&imagesFile, "images", "", "file that slipway build wrote, to make a predecessor of in an empty stream")
	cmd.Flags().StringVar(&referenceFile, "reference-file", "", "write the reference by digest to this file")
	out.addFlag(cmd)
	return cmd
}

func (a *app) upgradeSource(ctx context.Context, reference, stream, imagesFile string) (upgradeSource, error) {
	var none upgradeSource
	w, err := a.open(ctx)
	if err != nil {
		return none, err
	}
	p, err := a.payload(ctx, w, reference)
	if err != nil {
		return none, err
	}
	h, err := a.judgedHistory(w)
	if err != nil {
		return none, err
	}
	last, ok, err := h.LastAccepted(ctx, stream, p.Version)
	if err != nil {
		return none, err
	}
	if ok {
		return upgradeSource{Version: last.Version.String(), Reference: last.Reference}, nil
	}
	if imagesFile == "" {
		return none, usage(fmt.Errorf("choosing an upgrade source in stream %q: no payload was accepted yet; give --images to make one", stream))
	}
	return a.makePredecessor(ctx, w, p, imagesFile)
}

// makePredecessor assembles and signs the images of p under a date one day
// before p's.
func (a *app) makePredecessor(ctx context.Context, w *world, p *release.Payload, imagesFile string) (upgradeSource, error) {
	var none upgradeSource
	built, err := readResults(imagesFile)
	if err != nil {
		return none, err
	}
	cut, ok := p.Version.Time()
	if !ok {
		return none, usage(fmt.Errorf("making a predecessor of %q: its name has no date", p.Version))
	}
	version, err := release.New(w.distro.Version, p.Version.Stream(), cut.Add(-24*time.Hour), nil)
	if err != nil {
		return none, usage(err)
	}
	img, _, err := w.assemble(ctx, version, built, nil)
	if err != nil {
		return none, err
	}
	digest, err := w.registry.Push(ctx, w.releases()+":"+version.Tag(), img)
	if err != nil {
		return none, err
	}
	signer, err := a.keys(w.state)
	if err != nil {
		return none, err
	}
	ref := w.releases() + "@" + digest.String()
	if err := signer.Sign(ctx, w.registry, ref, claimOf(version, w.distro.Platform)); err != nil {
		return none, err
	}
	return upgradeSource{Version: version.String(), Reference: ref, Made: true}, nil
}
