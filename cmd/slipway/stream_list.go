package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/streams"
	"github.com/slipway-release/slipway/release/streams/journal"
)

// streamSummary is one line of `stream list`.
type streamSummary struct {
	Name     string `json:"name"`
	When     string `json:"when"`
	Cuts     int    `json:"cuts"`
	Newest   string `json:"newest,omitempty"`
	Accepted string `json:"accepted,omitempty"`
	// Frozen says why nothing is cut.
	Frozen string       `json:"frozen,omitempty"`
	Next   streams.Next `json:"next"`
}

// streamRelease is one line of `stream list STREAM`.
type streamRelease struct {
	Version   string          `json:"version"`
	Reference string          `json:"reference,omitempty"`
	Verdict   streams.Outcome `json:"verdict,omitempty"`
	Phase     streams.Phase   `json:"phase,omitempty"`
	Reason    string          `json:"reason,omitempty"`
	Pinned    bool            `json:"pinned,omitempty"`
	Deleted   bool            `json:"deleted,omitempty"`
}

func newStreamList(a *app) *cobra.Command {
	var out output
	cmd := &cobra.Command{
		Use:   "list [STREAM]",
		Short: "List streams, or the payloads of a stream with their verdicts, newest first",
		Long: `List the streams with what each waits for, or the payloads of one stream, newest
first. A verdict is the newest signed decision beside the payload; the phase is what the
journal of the stream says of payloads that a controller has cut.`,
		Example: "  slipway stream list\n  slipway stream list nightly -o json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			w, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			if len(args) == 0 {
				list, err := a.streamSummaries(cmd.Context(), w)
				if err != nil {
					return err
				}
				return out.print(a.Out, summaryResult(list))
			}
			list, err := a.streamReleases(cmd.Context(), w, args[0])
			if err != nil {
				return err
			}
			return out.print(a.Out, releasesResult(list))
		},
	}
	out.addFlag(cmd)
	return cmd
}

func summaryResult(list []streamSummary) result {
	r := result{value: list, text: func(out io.Writer) {
		for _, s := range list {
			fmt.Fprintf(out, "%-20s %-9s %3d cuts  accepted: %s\n", s.Name, s.When, s.Cuts, orElse(s.Accepted, "none"))
			next := s.Next.Reason
			if s.Next.Cut {
				next = "would be cut now: " + next
			}
			fmt.Fprintf(out, "%-20s %s\n", "", next)
		}
	}}
	for _, s := range list {
		r.names = append(r.names, s.Name)
	}
	return r
}

func releasesResult(list []streamRelease) result {
	r := result{value: list, text: func(out io.Writer) {
		for _, l := range list {
			mark := ""
			if l.Pinned {
				mark = " pinned"
			}
			if l.Deleted {
				mark = " deleted"
			}
			state := string(l.Verdict)
			if l.Verdict == "" || l.Phase == streams.PhaseReady {
				state = string(l.Phase)
			}
			fmt.Fprintf(out, "%-48s %-13s %s%s\n", l.Version, state, l.Reference, mark)
		}
	}}
	for _, l := range list {
		r.names = append(r.names, l.Version)
	}
	return r
}

func (a *app) streamSummaries(ctx context.Context, w *world) ([]streamSummary, error) {
	list := []streamSummary{}
	for _, s := range w.distro.Streams {
		state, err := w.journal().Read(ctx, s.Name)
		if err != nil {
			return nil, err
		}
		next, _, err := a.nextCut(ctx, w, s.Name, &state, nil)
		if err != nil {
			return nil, err
		}
		sum := streamSummary{Name: s.Name, When: orElse(s.Cut.When, "manual"), Cuts: len(state.Cuts), Frozen: frozen(&state), Next: next}
		for _, c := range state.Cuts {
			sum.Newest = c.Version.String()
			if c.Phase() == streams.PhaseAccepted {
				sum.Accepted = c.Version.String()
			}
		}
		list = append(list, sum)
	}
	return list, nil
}

// nextCut says whether a stream would be cut now, by a request if there is one.
func (a *app) nextCut(ctx context.Context, w *world, stream string, state *journal.State, request *streams.Request) (streams.Next, []streams.Input, error) {
	d, err := w.declaration(stream)
	if err != nil {
		return streams.Next{}, nil, err
	}
	inputs, err := a.inputs(ctx, w, stream)
	if err != nil {
		return streams.Next{}, nil, err
	}
	if request == nil {
		request = state.NextRequest()
	}
	next, err := streams.NextCut(time.Now(), d, streams.Situation{Inputs: inputs, Past: state.Past(), Frozen: frozen(state), Request: request})
	return next, inputs, err
}

func frozen(state *journal.State) string {
	if state.Frozen == nil {
		return ""
	}
	return fmt.Sprintf("by %s: %s", state.Frozen.By, state.Frozen.Why)
}

func (a *app) streamReleases(ctx context.Context, w *world, stream string) ([]streamRelease, error) {
	h, err := a.judgedHistory(w)
	if err != nil {
		return nil, err
	}
	versions, err := h.Versions(ctx, stream)
	if err != nil {
		return nil, err
	}
	state, err := w.journal().Read(ctx, stream)
	if err != nil {
		return nil, err
	}
	list := []streamRelease{}
	there := map[release.Version]bool{}
	for _, v := range versions {
		digest, err := w.registry.Resolve(ctx, w.releases()+":"+v.Tag())
		if err != nil {
			return nil, err
		}
		there[v] = true
		l := streamRelease{Version: v.String(), Reference: w.releases() + "@" + digest.String()}
		if l.Verdict, err = h.Decisions.Decision(ctx, l.Reference); err != nil {
			return nil, err
		}
		if c := state.Find(v); c != nil {
			l.Phase, l.Pinned, l.Reason = c.Phase(), c.Pin != nil, endReason(c)
		}
		list = append(list, l)
	}
	for i := len(state.Cuts) - 1; i >= 0; i-- {
		c := state.Cuts[i]
		if !there[c.Version] {
			list = append(list, streamRelease{Version: c.Version.String(), Phase: c.Phase(), Reason: endReason(&c), Deleted: c.Deleted != nil})
		}
	}
	return list, nil
}

func endReason(c *journal.Cut) string {
	if c.End == nil {
		return ""
	}
	return c.End.Reason
}
