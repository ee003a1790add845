package premerge

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/slipway-release/slipway/images"
	"github.com/slipway-release/slipway/pipelines/report"
)

// Plan is what a check would do.
type Plan struct {
	Base    string          `json:"base"`
	Profile string          `json:"profile,omitempty"` // of the cluster; empty: there would be none
	Changes []report.Change `json:"changes"`
	// Build are the components whose images would be built, as far as none was built
	// of the same inputs before.
	Build  []string `json:"build"`
	Stages []string `json:"stages"`
}

// DryRun opens what is named and says what Run would do. It builds and judges nothing.
func DryRun(ctx context.Context, o Options) (*Plan, error) {
	c, err := newCheck(o)
	if err != nil {
		return nil, err
	}
	if _, err := c.resolve(ctx, nil); err != nil {
		return nil, err
	}
	p := &Plan{Base: c.Base.Payload.Version.String(), Changes: []report.Change{}, Build: []string{}, Stages: []string{stageChange, stageStatic}}
	var names []string
	for _, ch := range c.changes {
		if len(c.Sources) > 0 {
			p.Changes = append(p.Changes, ch.Change)
		}
		if ch.recipe != nil {
			names = append(names, ch.Component)
		}
	}
	if c.StaticOnly {
		return p, nil
	}
	for _, r := range images.WithBases(c.distribution.Components, names...) {
		p.Build = append(p.Build, r.Metadata.Name)
	}
	p.Profile = c.Profile
	p.Stages = append(p.Stages, stageBuild, stageAssemble, stageCluster, stageInto, stageOutOf)
	return p, nil
}

// Text writes the plan for people.
func (p *Plan) Text(w io.Writer) {
	fmt.Fprintf(w, "base      %s\n", p.Base)
	for i, ch := range p.Changes {
		fmt.Fprintf(w, "%-9s %s\n", once(i, "change"), describe(ch))
	}
	if len(p.Changes) == 0 {
		fmt.Fprintln(w, "change    all that differs between the checkout and the base")
	}
	if len(p.Build) > 0 {
		fmt.Fprintf(w, "build     %s, what is not there already\n", strings.Join(p.Build, ", "))
	}
	if p.Profile != "" {
		fmt.Fprintf(w, "cluster   %s, made of the base, upgraded into the change and out of it again\n", p.Profile)
	}
	fmt.Fprintf(w, "stages    %s\n", strings.Join(p.Stages, ", "))
}
