package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/slipway-release/slipway/pipelines/controller"
	"github.com/slipway-release/slipway/release/streams"
)

// plannedStream is what a controller would do about a stream now.
type plannedStream struct {
	Stream string             `json:"stream"`
	Next   streams.Next       `json:"next"`
	Inputs []streams.Input    `json:"inputs"`
	Resume []string           `json:"resume,omitempty"` // versions that are unfinished
	Retain []streams.Retained `json:"retain,omitempty"`
	// Publish is what is accepted, at the places that the stream declares.
	Publish []publication `json:"publish,omitempty"`
}

// controllerPlan says what a controller would do, without taking the lease.
func (a *app) controllerPlan(ctx context.Context, o controllerOptions) error {
	w, err := a.open(ctx)
	if err != nil {
		return err
	}
	declared, err := w.chosen(o.streams)
	if err != nil {
		return err
	}
	p, err := a.payloads(w)
	if err != nil {
		return err
	}
	plan := []plannedStream{}
	var names []string
	for _, d := range declared {
		state, err := w.journal().Read(ctx, d.Name)
		if err != nil {
			return err
		}
		s := plannedStream{Stream: d.Name}
		if s.Next, s.Inputs, err = a.nextCut(ctx, w, d.Name, &state, nil); err != nil {
			return err
		}
		for _, c := range state.Cuts {
			if c.Unfinished() {
				s.Resume = append(s.Resume, c.Version.String())
			}
		}
		if s.Retain, err = controller.Plan(ctx, p, d, &state, time.Now()); err != nil {
			return err
		}
		s.Publish = a.planPublications(ctx, w, d.Name)
		plan, names = append(plan, s), append(names, d.Name)
	}
	if len(o.streams) == 0 && w.distro.StableStream() != "" {
		// Nothing is cut of it, and what people bring in is published.
		if found := a.planPublications(ctx, w, w.distro.StableStream()); len(found) > 0 {
			s := plannedStream{Stream: w.distro.StableStream(), Publish: found}
			s.Next.Reason = notCut
			plan, names = append(plan, s), append(names, s.Stream)
		}
	}
	return o.out.print(a.Out, result{value: plan, names: names, text: func(w io.Writer) { printPlans(w, plan) }})
}

func printPlans(w io.Writer, plan []plannedStream) {
	for _, s := range plan {
		for _, v := range s.Resume {
			fmt.Fprintf(w, "%s: would go on with %s\n", s.Stream, v)
		}
		verb := "would not be cut"
		if s.Next.Cut {
			verb = "would be cut"
		}
		fmt.Fprintf(w, "%s: %s: %s\n", s.Stream, verb, s.Next.Reason)
		for _, r := range s.Retain {
			if r.Delete {
				fmt.Fprintf(w, "%s: would delete %s: %s\n", s.Stream, r.Version, r.Reason)
			}
		}
		for _, p := range s.Publish {
			if p.State != publishedPresent {
				fmt.Fprintf(w, "%s: %s %s\n", s.Stream, p.Version, p)
			}
		}
	}
}
