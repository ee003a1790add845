package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/release"
)

func newReleaseInfo(a *app) *cobra.Command {
	var out output
	cmd := &cobra.Command{
		Use:     "info PAYLOAD",
		Short:   "Show what a payload holds, after its signature was verified",
		Example: "  slipway release info 1.36.3-0.nightly-2026-11-20-101500\n  slipway release info sha256:… -o json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			w, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			p, err := a.payload(cmd.Context(), w, args[0])
			if err != nil {
				return err
			}
			return out.print(a.Out, result{value: infoOf(p), names: []string{p.Reference}, text: func(w io.Writer) { printInfo(w, p) }})
		},
	}
	out.addFlag(cmd)
	return cmd
}

type payloadInfo struct {
	Image      string            `json:"image"`
	Digest     string            `json:"digest"`
	Version    string            `json:"version"`
	Created    time.Time         `json:"created"`
	Previous   []release.Version `json:"previous"`
	Images     map[string]string `json:"images"`
	Manifests  []string          `json:"manifests"`
	Kubernetes string            `json:"kubernetes,omitempty"`
}

func infoOf(p *release.Payload) payloadInfo {
	info := payloadInfo{Image: p.Reference, Digest: p.Digest.String(), Version: p.Version.String(), Created: p.Created,
		Previous: p.Metadata.Previous, Images: map[string]string{}}
	for _, name := range p.Components() {
		info.Images[name], _ = p.Image(name)
	}
	for _, f := range p.Manifests {
		info.Manifests = append(info.Manifests, f.Name)
	}
	info.Kubernetes, _ = p.ComponentVersion("kubernetes")
	return info
}

func printInfo(w io.Writer, p *release.Payload) {
	fmt.Fprintf(w, "Name:       %s\nDigest:     %s\nCreated:    %s\nManifests:  %d\nPull From:  %s\n", p.Version, p.Digest, p.Created.UTC().Format(time.RFC3339), len(p.Manifests), p.Reference)
	if k, ok := p.ComponentVersion("kubernetes"); ok {
		fmt.Fprintf(w, "Kubernetes: %s\n", k)
	}
	fmt.Fprintln(w, "\nImages:")
	for _, name := range p.Components() {
		ref, _ := p.Image(name)
		fmt.Fprintf(w, "  %-26s %s\n", name, ref)
	}
}
