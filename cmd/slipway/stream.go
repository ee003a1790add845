package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/e2e"
	"github.com/slipway-release/slipway/internal/state"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/sign"
	"github.com/slipway-release/slipway/release/streams"
)

func newStream(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "stream", Short: "Cut payloads, decide about them and list those of a stream"}
	cmd.AddCommand(newStreamDecide(a), newStreamList(a), newStreamShow(a), newStreamWatch(a), newStreamCut(a), newStreamPrune(a), newStreamPublish(a), newStreamSource(a))
	cmd.AddCommand(newStreamVerdict(a, "accept", streams.Accepted), newStreamVerdict(a, "reject", streams.Rejected))
	cmd.AddCommand(newStreamPin(a, true), newStreamPin(a, false), newStreamFreeze(a, true), newStreamFreeze(a, false))
	return cmd
}

// history is the payloads of this distribution. Decisions that are not signed
// by one of the verifier's keys count for nothing.
func (w *world) history() streams.History {
	return streams.History{Registry: w.registry, Repository: w.releases(), Stable: w.distro.StableStream()}
}

// streamOf is the stream that a version belongs to; "" when there is none.
func (w *world) streamOf(v release.Version) string {
	return orElse(v.Stream(), w.distro.StableStream())
}

// mayCut refuses a stream of which nothing is cut.
func (w *world) mayCut(stream string) error {
	if s := w.distro.Stream(stream); s != nil && s.Stable {
		return usage(fmt.Errorf("asking for a payload of stream %q: %s", stream, notCut))
	}
	return nil
}

// notCut is why nothing is cut of a stable stream.
const notCut = "it holds the releases that people bring in"

func (a *app) judgedHistory(w *world) (streams.History, error) {
	verifier, err := a.verifier(w.state)
	if err != nil {
		return streams.History{}, err
	}
	h := w.history()
	h.Decisions = decisions{w, verifier}
	return h, nil
}

// decisions reads verdicts from evidence.
type decisions struct {
	w        *world
	verifier *sign.Verifier
}

// Decision returns the newest verdict about a payload.
func (d decisions) Decision(ctx context.Context, reference string) (streams.Outcome, error) {
	found, err := d.verifier.Evidence(ctx, d.w.registry, reference, sign.PredicateDecision)
	if err != nil || len(found.Statements) == 0 {
		return "", err
	}
	var v streams.Verdict
	if err := json.Unmarshal(found.Statements[0].Predicate, &v); err != nil {
		return "", fmt.Errorf("reading the decision about %q: %w", reference, err)
	}
	return v.Verdict, nil
}

const declarationHelp = "JSON file with the declaration of the stream that counts (default: what distro.yaml declares now)"

func newStreamDecide(a *app) *cobra.Command {
	var stream, declaration, verdictFile, resultFile string
	var dryRun bool
	var out output
	cmd := &cobra.Command{
		Use:   "decide PAYLOAD",
		Short: "Decide about a payload from the evidence attached to it",
		Long: `Decide about a payload: the stream's policy applied to the evidence attached to
the payload's digest. Evidence whose signature does not verify counts as missing.
The policy is that of distro.yaml as it is now, or of --declaration, to which the
controller hands the rules that the payload was cut under. The decision becomes evidence itself. Exit code: 0 Accepted, 1 Rejected,
4 Inconclusive.`,
		Example: "  slipway stream decide sha256:… --stream nightly",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			v, err := a.decide(cmd.Context(), args[0], stream, declaration, dryRun)
			if err != nil {
				return err
			}
			if err := writeResults(verdictFile, string(v.Verdict), resultFile, v); err != nil {
				return err
			}
			if err := out.print(a.Out, result{value: v, names: []string{string(v.Verdict)}, text: func(w io.Writer) { printVerdict(w, v) }}); err != nil {
				return err
			}
			return verdictError(v)
		},
	}
	f := cmd.Flags()
	f.StringVar(&stream, "stream", "nightly", "stream whose policy applies")
	f.StringVar(&declaration, "declaration", "", declarationHelp)
	f.StringVar(&verdictFile, "verdict-file", "", "write the verdict to this file")
	f.StringVar(&resultFile, "result-file", "", "write the verdict with its reasons to this file, as JSON")
	f.BoolVar(&dryRun, "dry-run", false, "attach nothing")
	out.addFlag(cmd)
	return cmd
}

func printVerdict(w io.Writer, v streams.Verdict) {
	fmt.Fprintln(w, v.Verdict)
	for _, r := range v.Reasons {
		kind := "informing"
		if r.Blocking {
			kind = "blocking"
		}
		fmt.Fprintf(w, "  %s (%s): %s", r.Check, kind, r.Status)
		if r.Detail != "" {
			fmt.Fprintf(w, ": %s", r.Detail)
		}
		fmt.Fprintln(w)
	}
}

func verdictError(v streams.Verdict) error {
	switch v.Verdict {
	case streams.Accepted:
		return nil
	case streams.Rejected:
		return rejected(errors.New(v.String()))
	}
	return inconclusive(errors.New(v.String()))
}

// decide applies the stream's policy and attaches the decision.
func (a *app) decide(ctx context.Context, reference, stream, declaration string, dryRun bool) (streams.Verdict, error) {
	var none streams.Verdict
	w, err := a.open(ctx)
	if err != nil {
		return none, err
	}
	policy, err := w.declaredPolicy(declaration, stream)
	if err != nil {
		return none, err
	}
	p, err := a.payload(ctx, w, reference)
	if err != nil {
		return none, err
	}
	verifier, err := a.verifier(w.state)
	if err != nil {
		return none, err
	}
	results, err := checkResults(ctx, w, verifier, p, policy)
	if err != nil {
		return none, err
	}
	by, err := handDecision(ctx, w, verifier, p.Reference)
	if err != nil {
		return none, err
	}
	v := streams.Decide(policy, results)
	if by != nil {
		return by.Verdict, nil // what a person decided is not undone by counting
	}
	if dryRun {
		return v, nil
	}
	signer, err := a.keys(w.state)
	if err != nil {
		return none, err
	}
	_, err = signer.Attest(ctx, w.registry, p.Reference, sign.PredicateDecision, v)
	return v, err
}

// policy is what distro.yaml demands of a stream's payloads.
func (w *world) policy(stream string) (streams.Policy, error) {
	s := w.distro.Stream(stream)
	if s == nil {
		return streams.Policy{}, usage(fmt.Errorf("choosing stream %q: distribution %q has no such stream", stream, w.distro.Name))
	}
	policy := streams.Policy{Name: s.Name, Tag: s.Tag, Channels: s.Channels, Blocking: s.Checks.Blocking, Informing: s.Checks.Informing, Upgrade: map[string]streams.UpgradePolicy{}}
	for name, c := range s.Checks.Pipelines {
		if c.None == "reject" {
			policy.RejectSkipped = append(policy.RejectSkipped, name)
		}
	}
	slices.Sort(policy.RejectSkipped)
	for name, p := range s.Upgrade.Profiles {
		u := streams.UpgradePolicy{Gaps: tolerances(p.AllGaps()), Rules: tolerances(p.Findings.Rules)}
		for _, e := range p.Findings.Exceptions {
			u.Exceptions = append(u.Exceptions, streams.Exception(e))
		}
		policy.Upgrade[name] = u
	}
	return policy, nil
}

func tolerances(words map[string]string) map[string]streams.Tolerance {
	out := map[string]streams.Tolerance{}
	for name, word := range words {
		out[name] = streams.Tolerance(word)
	}
	return out
}

// checkResults turns the evidence about a payload into results of checks.
func checkResults(ctx context.Context, w *world, verifier *sign.Verifier, p *release.Payload, policy streams.Policy) ([]streams.Result, error) {
	var results []streams.Result
	tests, err := verifier.Evidence(ctx, w.registry, p.Reference, sign.PredicateTestResult)
	if err != nil {
		return nil, err
	}
	// The newest comes first: a repeated test replaces what it repeats.
	if len(tests.Statements) > 0 {
		var t sign.TestResult
		if err := json.Unmarshal(tests.Statements[0].Predicate, &t); err != nil {
			return nil, fmt.Errorf("reading a test result of %q: %w", p.Reference, err)
		}
		outcome, err := testOutcome(t)
		if err != nil {
			return nil, err
		}
		results = append(results, outcome)
	}
	upgrades, err := verifier.Evidence(ctx, w.registry, p.Reference, sign.PredicateUpgradeResult)
	if err != nil {
		return nil, err
	}
	if len(upgrades.Statements) > 0 {
		u, err := readUpgrade(upgrades.Statements[0], p)
		if err != nil {
			return nil, err
		}
		results = append(results, streams.EvaluateUpgrade("upgrade", policy.Upgrade[u.Profile], u.Upgrade))
	}
	own, err := ownResults(ctx, w, verifier, p.Reference)
	return append(results, own...), err
}

// upgradeEvidence is what a decision reads of an upgrade result's predicate.
type upgradeEvidence struct {
	Profile string `json:"profile"`
	streams.Upgrade
}

func readUpgrade(s sign.Statement, p *release.Payload) (upgradeEvidence, error) {
	var u upgradeEvidence
	if err := json.Unmarshal(s.Predicate, &u); err != nil {
		return u, fmt.Errorf("reading an upgrade result of %q: %w", p.Version, err)
	}
	return u, nil
}

// testOutcome maps an in-toto test result to the conformance check. One that
// says PASSED and does not tell that every expected spec passed is not believed.
func testOutcome(t sign.TestResult) (streams.Result, error) {
	var specs e2e.Result
	if err := json.Unmarshal(t.Conformance, &specs); err != nil {
		return streams.Result{}, fmt.Errorf("reading the specs of a test result: %w", err)
	}
	if t.Result == sign.TestPassed && specs.OK() {
		return streams.Result{Check: "conformance", Status: streams.Passed, Detail: fmt.Sprintf("%d of %d expected specs passed", specs.Passed, specs.Expected)}, nil
	}
	return streams.Result{Check: "conformance", Status: streams.Failed, Detail: shortfall(specs)}, nil
}

// writeResults writes a word and its JSON, where files for them are named.
func writeResults(wordFile, word, jsonFile string, value any) error {
	if wordFile != "" {
		if err := state.WriteFile(wordFile, []byte(word), 0o644); err != nil {
			return err
		}
	}
	if jsonFile == "" {
		return nil
	}
	data, err := marshalIndent(value)
	if err != nil {
		return err
	}
	return state.WriteFile(jsonFile, data, 0o644)
}
