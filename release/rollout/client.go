package rollout

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/utils/ptr"
)

// requestTimeout bounds one request, so that a connection to an API server that
// died without a word is noticed.
const requestTimeout = 30 * time.Second

type client struct {
	dynamic dynamic.Interface
	kube    kubernetes.Interface
	mapper  *restmapper.DeferredDiscoveryRESTMapper
}

func newClient(config *rest.Config) (*client, error) {
	config = rest.CopyConfig(config)
	config.UserAgent = "slipway-rollout"
	config.Timeout = requestTimeout
	config.QPS, config.Burst = 50, 100
	config.WarningHandler = rest.NoWarnings{}
	transport, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("making a client of the cluster: %w", err)
	}
	return newClientFor(config, transport)
}

func newClientFor(config *rest.Config, transport *http.Client) (*client, error) {
	dyn, err := dynamic.NewForConfigAndClient(config, transport)
	if err != nil {
		return nil, fmt.Errorf("making a client of the cluster: %w", err)
	}
	kube, err := kubernetes.NewForConfigAndClient(config, transport)
	if err != nil {
		return nil, fmt.Errorf("making a client of the cluster: %w", err)
	}
	disco, err := discovery.NewDiscoveryClientForConfigAndClient(config, transport)
	if err != nil {
		return nil, fmt.Errorf("making a client of the cluster: %w", err)
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(disco))
	return &client{dynamic: dyn, kube: kube, mapper: mapper}, nil
}

// resource finds where objects of obj's kind live. A namespaced object without a
// namespace is in "default", as for kubectl.
func (c *client) resource(obj *unstructured.Unstructured) (dynamic.ResourceInterface, error) {
	gvk := obj.GroupVersionKind()
	mapping, err := c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		if meta.IsNoMatchError(err) {
			// The kind may have come with a definition applied a moment ago.
			c.mapper.Reset()
		}
		return nil, err
	}
	if mapping.Scope.Name() != meta.RESTScopeNameNamespace {
		return c.dynamic.Resource(mapping.Resource), nil
	}
	namespace := obj.GetNamespace()
	if namespace == "" {
		namespace = metav1.NamespaceDefault
		obj.SetNamespace(namespace)
	}
	return c.dynamic.Resource(mapping.Resource).Namespace(namespace), nil
}

func (c *client) get(ctx context.Context, obj *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	r, err := c.resource(obj)
	if err != nil {
		return nil, err
	}
	return r.Get(ctx, obj.GetName(), metav1.GetOptions{})
}

// exists reports whether the object is there; a kind that the cluster does not
// know has no objects.
func (c *client) exists(ctx context.Context, obj *unstructured.Unstructured) (bool, error) {
	_, err := c.get(ctx, obj)
	if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
		return false, nil
	}
	return err == nil, err
}

func (c *client) apply(ctx context.Context, obj *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	r, err := c.resource(obj)
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(obj)
	if err != nil {
		return nil, err
	}
	return r.Patch(ctx, obj.GetName(), types.ApplyPatchType, data,
		metav1.PatchOptions{FieldManager: FieldManager, Force: ptr.To(true)})
}

func (c *client) delete(ctx context.Context, obj *unstructured.Unstructured) error {
	r, err := c.resource(obj)
	if err == nil {
		err = r.Delete(ctx, obj.GetName(), metav1.DeleteOptions{PropagationPolicy: ptr.To(metav1.DeletePropagationBackground)})
	}
	if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
		return nil
	}
	return err
}

// bindsLate reports whether volumes of a storage class ("" for the default one)
// wait for their first consumer. What cannot be found out is no.
func (c *client) bindsLate(ctx context.Context) func(class string) bool {
	return func(class string) bool {
		classes, err := c.kube.StorageV1().StorageClasses().List(ctx, metav1.ListOptions{})
		if err != nil {
			return false
		}
		for _, sc := range classes.Items {
			isDefault := sc.Annotations["storageclass.kubernetes.io/is-default-class"] == "true"
			if sc.Name == class || class == "" && isDefault {
				return sc.VolumeBindingMode != nil && *sc.VolumeBindingMode == "WaitForFirstConsumer"
			}
		}
		return false
	}
}

// describe names an object for messages: DaemonSet kube-system/kube-proxy.
func describe(obj *unstructured.Unstructured) string {
	return ObjectID{Kind: obj.GetKind(), Namespace: obj.GetNamespace(), Name: obj.GetName()}.String()
}

// ObjectID identifies an object whatever version of its API it was written in.
type ObjectID struct {
	Group     string `json:"group,omitempty"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	// Version of the API with which it was applied; not part of its identity.
	Version string `json:"version,omitempty"`
}

// String is the form in which messages name an object: Kind namespace/name.
func (o ObjectID) String() string {
	if o.Namespace == "" {
		return o.Kind + " " + o.Name
	}
	return o.Kind + " " + o.Namespace + "/" + o.Name
}

func (o ObjectID) identity() ObjectID {
	o.Version = ""
	return o
}

func (o ObjectID) object() *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(schema.GroupVersionKind{Group: o.Group, Version: o.Version, Kind: o.Kind})
	u.SetNamespace(o.Namespace)
	u.SetName(o.Name)
	return u
}

func idOf(obj *unstructured.Unstructured) ObjectID {
	gvk := obj.GroupVersionKind()
	return ObjectID{Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind, Namespace: obj.GetNamespace(), Name: obj.GetName()}
}
