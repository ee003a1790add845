package mirror

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/slipway-release/slipway/internal/clock"
)

// ImageStream is where a cluster of OpenShift or OKD imports a release to.
type ImageStream struct {
	Config    *rest.Config
	Namespace string
	Name      string
	// Pause is the time before images that failed are asked for again, which doubles;
	// 1 second when zero.
	Pause time.Duration
}

// StatusImported is that of an image which a cluster has in an image stream.
const StatusImported = "imported"

const (
	importBatch  = 12 // images of one request: a cluster reads them while it lasts
	importRounds = 4  // attempts at an image
	importLimit  = 3 * time.Minute
)

var imageStreamImports = schema.GroupVersionResource{Group: "image.openshift.io", Version: "v1", Resource: "imagestreamimports"}

// Import has a cluster import a release into an image stream (image.openshift.io/v1),
// one tag for each component and "release" for the payload. Nothing is copied here: the
// cluster reads the images where the payload names them, with its own credentials and
// mirrors, so o.Source must be a registry that it reaches as well. The payload is
// verified first. Digests stay, those of multi-platform images included. A dry run
// has the cluster look at the images and keep none.
func Import(ctx context.Context, o Options, to ImageStream) (*Result, error) {
	begun := time.Now()
	if inFiles(o.Reference) {
		return nil, fmt.Errorf("importing payload %q: a cluster imports from registries, not from files", o.Reference)
	}
	if o.Progress == nil {
		o.Progress = &Progress{}
	}
	o.To = &streamTags{name: to.Namespace + "/" + to.Name}
	p, err := newPlan(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := verify(ctx, o, p); err != nil {
		return nil, err
	}
	items := slices.Clone(p.components)
	if !o.SkipRelease {
		items = append(items, p.payload)
	}
	o.Progress.Images.Store(int64(len(items)))
	if err := to.importAll(ctx, o, items); err != nil {
		return nil, fmt.Errorf("importing payload %q into image stream %s/%s: %w", p.reference, to.Namespace, to.Name, err)
	}
	result := &Result{Version: p.version, Digest: p.root.Digest.String(), Architecture: p.arch, Source: p.reference, DryRun: o.DryRun, Payload: p.payloads[0]}
	for _, i := range items {
		result.Images = append(result.Images, Image{Component: i.component, From: i.pullspec, To: i.repository + ":" + i.tag, Digest: i.digest.String(), Status: StatusImported})
	}
	result.Seconds = elapsed(begun)
	return result, nil
}

// streamTags names the tags of an image stream. The payload comes first and says
// whether there are several architectures, whose images need names of their own.
type streamTags struct {
	Destination
	name  string
	multi bool
}

func (s *streamTags) place(_, arch, component string) (repository, tag string, err error) {
	if component == releaseComponent {
		s.multi = arch == multiArch
		return s.name, component, nil
	}
	if s.multi && arch != multiArch {
		component += "-" + arch
	}
	return s.name, component, checkTag(component)
}

// importAll imports in batches, and again what failed.
func (to ImageStream) importAll(ctx context.Context, o Options, items []*item) error {
	config := rest.CopyConfig(to.Config)
	config.Timeout = importLimit
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	pause := cmp.Or(to.Pause, time.Second)
	for round := 1; ; round++ {
		var left []*item
		var problems []error
		for batch := range slices.Chunk(items, importBatch) {
			failed, err := to.importSome(ctx, client, o, batch)
			if err != nil {
				return err
			}
			for _, i := range batch {
				if reason, ok := failed[i.tag]; ok {
					left, problems = append(left, i), append(problems, fmt.Errorf("component %s: %w", i.component, reason))
				}
			}
			o.Progress.ImagesDone.Add(int64(len(batch) - len(failed)))
		}
		if len(left) == 0 {
			return nil
		}
		if round == importRounds {
			return several(problems)
		}
		if err := clock.Sleep(ctx, pause); err != nil {
			return err
		}
		items, pause = left, 2*pause
	}
}

// imports is what is used of an answered ImageStreamImport.
type imports struct {
	Status struct {
		Images []struct {
			Status metav1.Status `json:"status"`
		} `json:"images"`
	} `json:"status"`
}

// importSome sends one batch and returns why images of it failed, by tag. The error is
// about the cluster, which would give the same answer again.
func (to ImageStream) importSome(ctx context.Context, client dynamic.Interface, o Options, batch []*item) (map[string]error, error) {
	images := make([]any, len(batch))
	for n, i := range batch {
		images[n] = map[string]any{
			"from":            map[string]any{"kind": "DockerImage", "name": i.pullspec},
			"to":              map[string]any{"name": i.tag},
			"importPolicy":    map[string]any{"importMode": "PreserveOriginal"},
			"referencePolicy": map[string]any{"type": "Source"},
		}
	}
	request := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "image.openshift.io/v1", "kind": "ImageStreamImport",
		"metadata": map[string]any{"name": to.Name, "namespace": to.Namespace},
		"spec":     map[string]any{"import": !o.DryRun, "images": images},
	}}
	answer, err := client.Resource(imageStreamImports).Namespace(to.Namespace).Create(ctx, request, metav1.CreateOptions{})
	failed := map[string]error{}
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("the cluster at %q has no API for image streams, or no namespace %q: %w", to.Config.Host, to.Namespace, err)
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err), apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return nil, err
	case err != nil:
		for _, i := range batch {
			failed[i.tag] = err
		}
		return failed, nil
	}
	var said imports
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(answer.Object, &said); err != nil {
		return nil, fmt.Errorf("reading the cluster's answer: %w", err)
	}
	for n, i := range batch {
		switch {
		case n >= len(said.Status.Images):
			failed[i.tag] = errors.New("the cluster says nothing about it")
		case said.Status.Images[n].Status.Status != metav1.StatusSuccess:
			failed[i.tag] = errors.New(said.Status.Images[n].Status.Message)
		}
	}
	return failed, nil
}
