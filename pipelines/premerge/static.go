package premerge

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/blang/semver/v4"

	"github.com/slipway-release/slipway/pipelines/report"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/lint"
	"github.com/slipway-release/slipway/release/streams"
)

// judge says what can be known of the change without a cluster and without its images.
// What the base has as well is not held against the change.
func (c *check) judge(ctx context.Context) (string, error) {
	began := time.Now()
	var err error
	if c.draft, err = c.assembleDraft(ctx); err != nil {
		return "", err
	}
	base := c.Base.Payload
	if c.StaticOnly {
		if err := c.dropAlike(); err != nil {
			return "", err
		}
	}
	now := c.Now()
	before := lint.Run(base.Manifests, base.References, lint.Options{Now: now})
	after := lint.Run(c.draft.payload.Manifests, c.draft.payload.References, lint.Options{Now: now, From: []*release.Payload{base}, BothWays: c.oneWay() == ""})
	fresh := newFindings(before.Findings, after.Findings)
	c.found.Static.Existing = len(after.Findings) - len(fresh)
	errors := 0
	first := ""
	for _, f := range fresh {
		c.found.Static.Findings = append(c.found.Static.Findings, c.located(f))
		if f.Level == lint.Error {
			if errors++; errors == 1 {
				first = fmt.Sprintf("%s (%s)", f.Message, f.Rule)
			}
		}
	}
	slices.SortStableFunc(c.found.Static.Findings, func(a, b report.Finding) int { return levelOrder(a.Level) - levelOrder(b.Level) })
	c.found.Static.Seconds = time.Since(began).Seconds()
	result := streams.Result{Check: stageStatic, Status: streams.Passed, Detail: "nothing that the base does not have as well"}
	switch {
	case errors == 1:
		result.Status, result.Detail = streams.Failed, first
	case errors > 1:
		result.Status, result.Detail = streams.Failed, fmt.Sprintf("%s, and %d more", first, errors-1)
	case len(fresh) > 0:
		result.Detail = count(len(fresh), "new finding") + ", and no error"
	}
	c.results = append(c.results, result)
	return result.Detail, nil
}

func levelOrder(l lint.Level) int {
	return slices.Index([]lint.Level{lint.Error, lint.Warning, lint.Note}, l)
}

// newFindings are those that another release does not have of the same rule and
// object. Where it has fewer of them, those in the same words are the old ones.
func newFindings(before, after []lint.Finding) []lint.Finding {
	type kind struct{ rule, object, file string }
	kindOf := func(f lint.Finding) kind {
		k := kind{rule: f.ID, object: f.Object}
		if f.Object == "" {
			k.file = f.File
		}
		return k
	}
	known := map[kind]int{}
	words := map[string]int{}
	for _, f := range before {
		known[kindOf(f)]++
		words[f.ID+f.Object+f.Message]++
	}
	var rest []lint.Finding
	for _, f := range after {
		if word := f.ID + f.Object + f.Message; words[word] > 0 {
			words[word]--
			known[kindOf(f)]--
			continue
		}
		rest = append(rest, f)
	}
	var fresh []lint.Finding
	for _, f := range rest {
		if known[kindOf(f)] > 0 {
			known[kindOf(f)]--
			continue
		}
		fresh = append(fresh, f)
	}
	return fresh
}

// located names the file in the sources, where a person can change it.
func (c *check) located(f lint.Finding) report.Finding {
	o := c.draft.owners[f.File]
	if o.source != "" {
		f.File = o.source
	}
	return report.Finding{Finding: f, Component: o.component}
}

// dropAlike leaves components of the checkout out that bring the same manifests as
// the base's: when nothing is built, nothing is known of their images.
func (c *check) dropAlike() error {
	if len(c.Sources) > 0 {
		return nil
	}
	d, err := c.compare()
	if err != nil {
		return err
	}
	touched := map[string]bool{}
	for _, o := range d.Manifests.Changed {
		touched[c.suspectOf(o.Object).Component] = true
	}
	for _, o := range slices.Concat(d.Manifests.Added, d.Manifests.Removed) {
		touched[c.suspectOf(o).Component] = true
	}
	for _, file := range slices.Concat(d.Manifests.FilesAdded, d.Manifests.FilesChanged, d.Manifests.FilesRemoved) {
		touched[c.fileComponent(file)] = true
	}
	c.changes = slices.DeleteFunc(c.changes, func(ch *change) bool { return !touched[ch.Component] })
	return nil
}

// oneWay says why no cluster can be brought back from the change to the base, or "":
// Kubernetes and etcd go up by a minor version and never down, which is no flaw of a change
// that brings a new one.
func (c *check) oneWay() string {
	for _, key := range []string{"kubernetes", "etcd"} {
		before, known := c.Base.Payload.ComponentVersion(key)
		after, alsoKnown := c.draft.payload.ComponentVersion(key)
		from, err := semver.ParseTolerant(before)
		to, err2 := semver.ParseTolerant(after)
		if !known || !alsoKnown || err != nil || err2 != nil {
			continue
		}
		if to.Major > from.Major || to.Major == from.Major && to.Minor > from.Minor {
			return fmt.Sprintf("%s goes from %s to %s, and a minor version never goes back", key, before, after)
		}
	}
	return ""
}
