package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/distros"
	"github.com/slipway-release/slipway/internal/clock"
	"github.com/slipway-release/slipway/release/streams"
	"github.com/slipway-release/slipway/release/streams/journal"
)

// streamState is what `stream show` tells.
type streamState struct {
	Declaration streams.Declaration `json:"declaration"`
	// Publish are the places that accepted payloads are copied to, as is declared now.
	Publish []distros.Publication `json:"publish,omitempty"`
	Journal journal.State         `json:"journal"`
	Next    streams.Next          `json:"next"`
	Inputs  []streams.Input       `json:"inputs"`
}

func newStreamShow(a *app) *cobra.Command {
	var out output
	cmd := &cobra.Command{
		Use:     "show STREAM",
		Short:   "Show a stream's rules, its journal and what it waits for",
		Example: "  slipway stream show nightly\n  slipway stream show nightly -o jsonpath={.next.reason}",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			w, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			var s streamState
			if s.Declaration, err = w.declaration(args[0]); err != nil {
				return err
			}
			s.Publish = w.distro.Stream(args[0]).Publish
			if s.Journal, err = w.journal().Read(cmd.Context(), args[0]); err != nil {
				return err
			}
			if s.Next, s.Inputs, err = a.nextCut(cmd.Context(), w, args[0], &s.Journal, nil); err != nil {
				return err
			}
			return out.print(a.Out, result{value: s, names: []string{args[0]}, text: func(w io.Writer) { printStream(w, s) }})
		},
	}
	out.addFlag(cmd)
	return cmd
}

func printStream(w io.Writer, s streamState) {
	d := s.Declaration
	fmt.Fprintf(w, "Stream     %s, base version %s\n", d.Name, d.Base)
	if len(d.Architectures) > 0 {
		fmt.Fprintf(w, "For        %s\n", strings.Join(d.Architectures, ", "))
	}
	fmt.Fprintf(w, "Cut        %s %s\n", d.When, d.Schedule)
	fmt.Fprintf(w, "Run        pipeline %s\n", d.Run.Pipeline)
	fmt.Fprintf(w, "Blocking   %v\nInforming  %v\nChannels   %v\n", d.Policy.Blocking, d.Policy.Informing, d.Policy.Channels)
	for _, p := range s.Publish {
		fmt.Fprintf(w, "Publish    %s", p.Mirror)
		if p.Tag != "" {
			fmt.Fprintf(w, ", tag %s", p.Tag)
		}
		fmt.Fprintln(w)
	}
	next := "not now: "
	if s.Next.Cut {
		next = "now: "
	}
	fmt.Fprintf(w, "Next       %s%s\n", next, s.Next.Reason)
	for i := len(s.Journal.Cuts) - 1; i >= 0; i-- {
		c := s.Journal.Cuts[i]
		fmt.Fprintf(w, "\n%s  %s\n  cut by %s: %s\n", c.Version, c.Phase(), c.By, c.Why)
		for _, f := range c.Failures {
			fmt.Fprintf(w, "  %s failed on the host at %s: %s\n", f.Stage, f.At.Format(time.RFC3339), f.Reason)
		}
		if c.Override != nil {
			fmt.Fprintf(w, "  %s by %s: %s\n", c.Override.Verdict, c.Override.By, c.Override.Why)
		}
		if c.End != nil {
			fmt.Fprintf(w, "  ended %s: %s\n", c.End.At.Format(time.RFC3339), c.End.Reason)
		}
		if c.Pin != nil {
			fmt.Fprintf(w, "  pinned by %s: %s\n", c.Pin.By, c.Pin.Why)
		}
		for _, p := range c.Published {
			fmt.Fprintf(w, "  published to %s at %s\n", p.Mirror, p.At.Format(time.RFC3339))
		}
		if c.Deleted != nil {
			fmt.Fprintf(w, "  deleted by %s: %s\n", c.Deleted.By, c.Deleted.Why)
		}
	}
}

func newStreamWatch(a *app) *cobra.Command {
	var every time.Duration
	var out output
	cmd := &cobra.Command{
		Use:     "watch STREAM",
		Short:   "Tell of every change of a stream's payloads until interrupted",
		Example: "  slipway stream watch nightly --registry registry.example.com/skiff\n  slipway stream watch nightly -o json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			w, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			if _, err := w.policy(args[0]); err != nil {
				return err
			}
			told := map[string]string{}
			for {
				state, err := w.journal().Read(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				for _, c := range state.Cuts {
					data, err := json.Marshal(c)
					if err != nil {
						return err
					}
					if told[c.Version.String()] == string(data) {
						continue
					}
					told[c.Version.String()] = string(data)
					text := func(w io.Writer) { fmt.Fprintf(w, "%s  %-12s %s\n", c.Version, c.Phase(), endReason(&c)) }
					if err := out.print(a.Out, result{value: c, names: []string{c.Version.String()}, text: text}); err != nil {
						return err
					}
				}
				if clock.Sleep(cmd.Context(), every) != nil {
					return nil
				}
			}
		},
	}
	cmd.Flags().DurationVar(&every, "every", 2*time.Second, "how often to look")
	out.addFlag(cmd)
	return cmd
}
