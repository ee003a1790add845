package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/channels"
	"github.com/slipway-release/slipway/release/sign"
	"github.com/slipway-release/slipway/release/streams"
)

func newChannel(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "channel", Short: "Promote payloads into channels, and say what clusters are offered"}
	cmd.AddCommand(newChannelPromote(a), newChannelList(a), newChannelShow(a), newChannelDiff(a), newChannelPlan(a), newChannelApprove(a), newChannelRemove(a),
		newChannelRollout(a), newChannelBlock(a), newChannelUnblock(a), newChannelLint(a), newChannelExport(a))
	return cmd
}

func (w *world) channels() channels.Store {
	return channels.Store{Registry: w.registry, Repository: w.distro.Repository}
}

// promotion is what `channel promote` did to one channel, or to one place outside.
type promotion struct {
	Name string `json:"name"`
	// Mirror says that it was published, and Name is that of a repository.
	Mirror  bool     `json:"mirror,omitempty"`
	Added   bool     `json:"added"`
	Changes []string `json:"changes,omitempty"`
}

func newChannelPromote(a *app) *cobra.Command {
	var stream, declaration, resultFile string
	var dryRun, apply bool
	var out output
	cmd := &cobra.Command{
		Use:   "promote [VERSION|PAYLOAD]...",
		Short: "Move releases on from channel to channel, or an accepted payload into those of its stream",
		Long: `Move the releases on that may enter the channels which theirs feed, as distro.yaml
declares it; VERSIONs restrict that to some. Nothing is done without --apply: what would
be is shown, as slipway channel plan does. A release enters all of its channels
together, or, when something breaks off, at the next call.

With --stream a payload is added to the channels of its stream, together with the
upgrades to it that were tested. Only one whose newest signed decision is Accepted is
promoted. It is then published to the places that the stream declares. That this fails
undoes nothing: the same command, or slipway stream publish, carries it on. Either way,
doing it twice changes nothing.`,
		Example: `  slipway channel promote
  slipway channel promote --apply
  slipway channel promote 1.36.4 --apply
  slipway channel promote sha256:… --stream nightly --dry-run`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			if declaration != "" && stream == "" {
				return usage(errors.New("promoting by a declaration: --stream must name its stream"))
			}
			if stream != "" && len(args) != 1 {
				return usage(fmt.Errorf("promoting into the channels of stream %q: name one payload, not %d", stream, len(args)))
			}
			w, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			if stream == "" {
				return along(cmd.Context(), a, w, args, apply && !dryRun, &out)
			}
			policy, err := w.declaredPolicy(declaration, stream)
			if err != nil {
				return err
			}
			done, err := a.promote(cmd.Context(), w, args[0], policy, dryRun)
			if err != nil {
				return err
			}
			if err := writeResults("", "", resultFile, done); err != nil {
				return err
			}
			published, failed := []promotion(nil), error(nil)
			if declaration == "" { // else the controller publishes, which does not wait for it
				published, failed = a.publishPromoted(cmd.Context(), w, args[0], stream, dryRun)
				done = append(done, published...)
			}
			r := result{value: done, text: func(w io.Writer) {
				for _, p := range done {
					fmt.Fprintf(w, "%s: %s\n", p.Name, strings.Join(orNothing(p.Changes), "; "))
				}
			}}
			for _, p := range done {
				r.names = append(r.names, p.Name)
			}
			return errors.Join(out.print(a.Out, r), failed)
		},
	}
	f := cmd.Flags()
	f.StringVar(&stream, "stream", "", "add a payload to the channels of this stream")
	f.BoolVar(&apply, "apply", false, "move the releases on that may be")
	f.StringVar(&declaration, "declaration", "", declarationHelp)
	f.StringVar(&resultFile, "result-file", "", "write what was done to this file, as JSON")
	f.BoolVar(&dryRun, "dry-run", false, "show what would change and change nothing")
	out.addFlag(cmd)
	cmd.MarkFlagsMutuallyExclusive("stream", "apply")
	return cmd
}

// along moves releases on from channel to channel, or shows what would be done.
func along(ctx context.Context, a *app, w *world, only []string, apply bool, out *output) error {
	if !apply {
		next, err := a.planPromotions(ctx, w, only, time.Now().UTC())
		if err != nil {
			return err
		}
		return printPlan(a, out, next.plan, "would enter")
	}
	done, err := a.promoteAlong(ctx, w, only)
	if err != nil {
		return err
	}
	return printPlan(a, out, done, "entered")
}

func orNothing(changes []string) []string {
	if len(changes) == 0 {
		return []string{"nothing to change"}
	}
	return changes
}

func (a *app) promote(ctx context.Context, w *world, reference string, policy streams.Policy, dryRun bool) ([]promotion, error) {
	p, err := a.payload(ctx, w, reference)
	if err != nil {
		return nil, err
	}
	verifier, err := a.verifier(w.state)
	if err != nil {
		return nil, err
	}
	verdict, err := decisions{w, verifier}.Decision(ctx, p.Reference)
	if err != nil {
		return nil, err
	}
	if verdict != streams.Accepted {
		return nil, rejected(fmt.Errorf("promoting %q: its decision is %q, not %q; run slipway stream decide", p.Version, verdict, streams.Accepted))
	}
	edges, err := triedEdges(ctx, w, verifier, p, policy)
	if err != nil {
		return nil, err
	}
	archs, err := w.architectures(ctx, p.Reference)
	if err != nil {
		return nil, err
	}
	addition := channels.Addition{Architectures: archs, Version: p.Version, PullSpec: p.Reference, Metadata: p.Metadata.Values, Edges: edges, Previous: p.Metadata.Previous}
	var done []promotion
	for _, name := range policy.Channels {
		plan, err := w.promoteInto(ctx, name, addition, dryRun)
		if err != nil {
			return nil, err
		}
		done = append(done, promotion{Name: name, Added: !plan.Empty(), Changes: plan.Changes})
	}
	if policy.Tag != "" && !dryRun {
		r, err := released(p)
		if err != nil {
			return nil, err
		}
		if err := moveTag(ctx, w.registry, w.releases(), policy.Tag, r); err != nil {
			return nil, err
		}
	}
	return done, nil
}

// moveTag has a tag of a repository name a payload there, unless it names a newer one:
// payloads may be accepted in another order than they were cut in.
func moveTag(ctx context.Context, registry *oci.Registry, repository, tag string, p streams.Release) error {
	fail := func(err error) error {
		return fmt.Errorf("moving tag %q of %s to %q: %w", tag, repository, p.Version, err)
	}
	now, err := registry.Resolve(ctx, repository+":"+tag)
	if err == nil && now == p.Digest {
		return nil
	}
	if err == nil {
		img, err := oci.AnyImage(ctx, registry, repository+"@"+now.String(), hostPlatform())
		if err != nil {
			return fail(err)
		}
		named, err := release.Load(ctx, img)
		if err != nil {
			return fail(err)
		}
		if streams.Older(p.Version, named.Version) {
			return nil
		}
	} else if !errors.Is(err, oci.ErrNotFound) {
		return fail(err)
	}
	if err := registry.Tag(ctx, repository+"@"+p.Digest.String(), tag); err != nil {
		return fail(err)
	}
	return nil
}

func (w *world) promoteInto(ctx context.Context, channel string, add channels.Addition, dryRun bool) (channels.Plan, error) {
	store := w.channels()
	if !dryRun {
		return store.Promote(ctx, channel, add, time.Now())
	}
	stored, err := store.Read(ctx, channel)
	if err != nil {
		return channels.Plan{}, err
	}
	return channels.NewPlan(stored, add, time.Now())
}

// triedEdges are the upgrades to p that were tested, by signed evidence. One that passed
// is proven, by as many trials as the distribution demands; one that only failed is not
// offered. A result that was attached again, under another signature, is the same trial.
func triedEdges(ctx context.Context, w *world, verifier *sign.Verifier, p *release.Payload, policy streams.Policy) ([]channels.Source, error) {
	found, err := verifier.Evidence(ctx, w.registry, p.Reference, sign.PredicateUpgradeResult)
	if err != nil {
		return nil, err
	}
	var edges []channels.Source
	type trial struct {
		from   release.Version
		result [sha256.Size]byte
	}
	seen := map[trial]bool{}
	for _, s := range found.Statements {
		u, err := readUpgrade(s, p)
		if err != nil {
			return nil, err
		}
		from, err := release.Parse(u.From.Version)
		status := streams.EvaluateUpgrade("upgrade", policy.Upgrade[u.Profile], u.Upgrade).Status
		if err != nil || status != streams.Passed && status != streams.Failed {
			continue
		}
		var result bytes.Buffer
		if err := json.Compact(&result, s.Predicate); err != nil {
			return nil, fmt.Errorf("reading an upgrade result of %q: %w", p.Version, err)
		}
		if t := (trial{from, sha256.Sum256(result.Bytes())}); seen[t] {
			continue
		} else {
			seen[t] = true
		}
		edge := channels.Source{From: from, Evidence: s.Digest.String(), Failed: status == streams.Failed}
		at := slices.IndexFunc(edges, func(e channels.Source) bool { return e.From == from })
		switch {
		case at < 0:
			edges = append(edges, edge)
		case edges[at].Failed && !edge.Failed:
			edges[at] = edge
		case !edge.Failed && 1+len(edges[at].More) < w.distro.Graph.PassesNeeded():
			edges[at].More = append(edges[at].More, edge.Evidence)
		}
	}
	return edges, nil
}

func newChannelList(a *app) *cobra.Command {
	var out output
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the channels and the versions in them",
		Example: "  slipway channel list -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			w, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			stored, err := w.channels().List(cmd.Context())
			if err != nil {
				return err
			}
			all := []channels.State{}
			r := result{}
			for _, s := range stored {
				all = append(all, s.State)
				r.names = append(r.names, s.State.Name)
			}
			r.value = all
			r.text = func(w io.Writer) {
				for _, c := range all {
					fmt.Fprintf(w, "%s (%d versions, %d edges)\n", c.Name, len(c.Versions), len(c.Edges))
					for _, v := range c.Versions {
						fmt.Fprintf(w, "  %s\n", v.Version)
					}
				}
			}
			return out.print(a.Out, r)
		},
	}
	out.addFlag(cmd)
	return cmd
}
