package input

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// ErrNoImageStream says that a cluster has no such ImageStream, or shows it to nobody
// like the caller.
var ErrNoImageStream = errors.New("no such ImageStream")

var imageStreams = schema.GroupVersionResource{Group: "image.openshift.io", Version: "v1", Resource: "imagestreams"}

// ReadImageStream reads an ImageStream of a cluster of OpenShift or OKD, in JSON, for
// FromImageStream.
func ReadImageStream(ctx context.Context, config *rest.Config, namespace, name string) ([]byte, error) {
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	found, err := client.Resource(imageStreams).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
		return nil, fmt.Errorf("reading ImageStream \"%s/%s\" of the cluster at %q: %w: %w", namespace, name, config.Host, ErrNoImageStream, err)
	}
	if err != nil {
		return nil, fmt.Errorf("reading ImageStream \"%s/%s\" of the cluster at %q: %w", namespace, name, config.Host, err)
	}
	return found.MarshalJSON()
}
