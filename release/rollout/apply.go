package rollout

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/slipway-release/slipway/release/manifests"
	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
)

// Result is what a rollout of manifests left.
type Result struct {
	Version string `json:"version"`
	Digest  string `json:"digest"`
	Objects int    `json:"objects"` // applied or found ready
	// Orphans are objects of earlier payloads that this one lacks and that are
	// still there.
	Orphans []ObjectID `json:"orphans,omitempty"`
}

// Apply brings the cluster's objects to what the plan says: run level by run
// level, the components of a level side by side, the files of a component in
// order. It goes on when every object of a file is ready. What is there already
// is left as it is, so a rollout that was cut short is continued by calling
// Apply again. Failures of components of one level are all reported; a later
// level is not begun then.
func Apply(ctx context.Context, config *rest.Config, plan *Plan, opts Options) (*Result, error) {
	c, err := newClient(config)
	if err != nil {
		return nil, err
	}
	r := &run{client: c, plan: plan, opts: opts.withDefaults()}
	result, err := r.apply(ctx)
	if err != nil {
		return nil, fmt.Errorf("rolling out the manifests of payload %q: %w", plan.Version, err)
	}
	return result, nil
}

type run struct {
	client *client
	plan   *Plan
	opts   Options
	step   string // of the upgrade this belongs to
}

func (r *run) apply(ctx context.Context) (*Result, error) {
	before, err := r.beginInventory(ctx)
	if err != nil {
		return nil, err
	}
	result := &Result{Version: r.plan.Version, Digest: r.plan.Digest}
	for _, level := range r.plan.Levels {
		r.report(Event{RunLevel: level.Number, State: Started})
		if err := r.applyLevel(ctx, level); err != nil {
			r.report(Event{RunLevel: level.Number, State: Failed})
			return nil, err
		}
		r.report(Event{RunLevel: level.Number, State: Done})
		result.Objects += countObjects(level)
	}
	result.Orphans, err = r.finishInventory(ctx, before)
	return result, err
}

func (r *run) applyLevel(ctx context.Context, level manifests.RunLevel) error {
	var group errgroup.Group
	group.SetLimit(r.opts.Jobs)
	var mu sync.Mutex
	var failures []error
	for _, component := range level.Components {
		group.Go(func() error {
			if err := r.applyComponent(ctx, level.Number, component); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failures = append(failures, err)
			}
			return nil
		})
	}
	_ = group.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return errors.Join(failures...)
}

func (r *run) applyComponent(ctx context.Context, level int, component manifests.Component) error {
	e := Event{RunLevel: level, Component: component.Name}
	r.report(e.with(Started, ""))
	for _, f := range filesOf(component) {
		if err := r.applyFile(ctx, e, f); err != nil {
			err = fmt.Errorf("run level %02d, component %q, file %q: %w", level, component.Name, f.name, err)
			r.report(e.with(Failed, err.Error()))
			return err
		}
	}
	r.report(e.with(Done, ""))
	return nil
}

// applyFile applies all objects of a file before it waits for them, except that
// a definition or a namespace is waited for at once: what follows needs it.
func (r *run) applyFile(ctx context.Context, e Event, f file) error {
	for _, source := range f.objects {
		obj := r.stamp(source, e.Component)
		e.Object = describe(obj)
		if err := r.applyObject(ctx, e, obj); err != nil {
			return err
		}
		if isBarrier(obj) {
			if err := r.wait(ctx, e, obj); err != nil {
				return err
			}
		}
	}
	for _, source := range f.objects {
		if isBarrier(source) || source.GetAnnotations()[deleteAnnotation] == "true" {
			continue
		}
		obj := r.stamp(source, e.Component)
		e.Object = describe(obj)
		if err := r.wait(ctx, e, obj); err != nil {
			return err
		}
	}
	return nil
}

// isBarrier tells objects that have to be ready before the next is applied.
func isBarrier(obj *unstructured.Unstructured) bool {
	if obj.GetAnnotations()[deleteAnnotation] == "true" {
		return false
	}
	switch obj.GroupVersionKind().Group + "/" + obj.GetKind() {
	case "/Namespace", "apiextensions.k8s.io/CustomResourceDefinition", "apiregistration.k8s.io/APIService", "batch/Job":
		return true
	}
	return false
}

// stamp marks a copy of the object with the payload and component it comes from.
func (r *run) stamp(source *unstructured.Unstructured, component string) *unstructured.Unstructured {
	obj := source.DeepCopy()
	annotations, labels := obj.GetAnnotations(), obj.GetLabels()
	if annotations == nil {
		annotations = map[string]string{}
	}
	if labels == nil {
		labels = map[string]string{}
	}
	annotations[VersionAnnotation] = r.plan.Version
	annotations[PayloadAnnotation] = r.plan.Digest
	labels[ComponentLabel] = component
	obj.SetAnnotations(annotations)
	obj.SetLabels(labels)
	return obj
}

func (r *run) applyObject(ctx context.Context, e Event, obj *unstructured.Unstructured) error {
	switch {
	case obj.GetAnnotations()[deleteAnnotation] == "true":
		return r.deleteObject(ctx, e, obj)
	case obj.GetAnnotations()[createOnlyAnnotation] == "true":
		present := false
		err := r.retry(e).do(ctx, func(ctx context.Context) (err error) {
			present, err = r.client.exists(ctx, obj)
			return err
		})
		if err != nil {
			return fmt.Errorf("reading %q: %w", e.Object, err)
		}
		if present {
			r.report(e.with(Skipped, "it is there, and its manifest only creates it"))
			return nil
		}
	}
	err := r.retry(e).do(ctx, func(ctx context.Context) error {
		_, err := r.client.apply(ctx, obj)
		if apierrors.IsInvalid(err) && obj.GetKind() == "Job" {
			return r.replaceJob(ctx, obj, err)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("applying %q: %w", e.Object, err)
	}
	r.report(e.with(Applied, ""))
	return nil
}

// replaceJob deletes a job of another payload, whose template no request can
// change, so that the next attempt can create it anew.
func (r *run) replaceJob(ctx context.Context, obj *unstructured.Unstructured, invalid error) error {
	present, err := r.client.get(ctx, obj)
	if apierrors.IsNotFound(err) {
		return invalid
	}
	if err != nil {
		return err
	}
	if present.GetAnnotations()[PayloadAnnotation] == r.plan.Digest {
		return invalid
	}
	if err := r.client.delete(ctx, obj); err != nil {
		return err
	}
	return apierrors.NewConflict(present.GroupVersionKind().GroupVersion().WithResource("jobs").GroupResource(),
		obj.GetName(), errors.New("the job of the payload before is being deleted"))
}

func (r *run) deleteObject(ctx context.Context, e Event, obj *unstructured.Unstructured) error {
	err := r.retry(e).do(ctx, func(ctx context.Context) error { return r.client.delete(ctx, obj) })
	if err != nil {
		return fmt.Errorf("deleting %q: %w", e.Object, err)
	}
	r.report(e.with(Applied, "deleted, as its manifest asks"))
	return nil
}

func (r *run) retry(e Event) retrier {
	return retrier{timeout: r.opts.RetryTimeout, failed: func(err error) { r.report(e.with(Retrying, err.Error())) }}
}

func (r *run) report(e Event) {
	e.Step = r.step
	r.opts.Progress(e)
}

func (e Event) with(s State, message string) Event {
	e.State, e.Message = s, message
	return e
}
