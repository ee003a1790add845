package e2e

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
)

const (
	namespacePrefix = "slipway-e2e-"
	// runLabel is on every namespace of a suite; its value names the run.
	runLabel = "slipway.dev/e2e-run"
	// requestTimeout bounds one API request that is not a stream.
	requestTimeout = 30 * time.Second
	userAgent      = "slipway-e2e"
)

// cluster is the access to the cluster under test.
type cluster struct {
	config  *rest.Config
	client  *kubernetes.Clientset
	dynamic dynamic.Interface
	mapper  *restmapper.DeferredDiscoveryRESTMapper
	run     string
}

// connect makes the clients and asks the API server for its version.
func connect(ctx context.Context, options Options) (*cluster, error) {
	config := rest.CopyConfig(options.RestConfig)
	config.UserAgent = userAgent
	config.QPS, config.Burst = 100, 200 // Eventually polls; the server has its own limits
	c := &cluster{config: config, run: rand.String(6)}
	var err error
	if c.client, err = kubernetes.NewForConfig(config); err != nil {
		return nil, err
	}
	if c.dynamic, err = dynamic.NewForConfig(config); err != nil {
		return nil, err
	}
	c.mapper = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(c.client.Discovery()))
	return c, retry(ctx, func(ctx context.Context) error {
		_, err := c.client.CoreV1().Namespaces().Get(ctx, metav1.NamespaceDefault, metav1.GetOptions{})
		return err
	})
}

// retry repeats f for up to half a minute after errors that may pass by
// themselves. The client itself honours Retry-After.
func retry(ctx context.Context, f func(context.Context) error) error {
	deadline := time.Now().Add(30 * time.Second)
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		attempt, cancel := context.WithTimeout(ctx, requestTimeout)
		err := f(attempt)
		cancel()
		if err == nil || ctx.Err() != nil || !passing(err) || time.Now().After(deadline) {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
		if ctx.Err() != nil { // another attempt would only say so, and not what is wrong
			return err
		}
	}
}

func passing(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return true // the network
	}
	return apierrors.IsServerTimeout(err) || apierrors.IsTimeout(err) || apierrors.IsTooManyRequests(err) ||
		apierrors.IsInternalError(err) || apierrors.IsServiceUnavailable(err)
}

// newEnv makes a namespace and the objects of spec in it. On an error the env is
// returned as well, when there is a namespace to look into.
func (c *cluster) newEnv(ctx context.Context, options Options, spec spec) (*env, error) {
	var namespace *corev1.Namespace
	err := retry(ctx, func(ctx context.Context) (err error) {
		namespace, err = c.client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
			GenerateName: namespacePrefix, Labels: map[string]string{runLabel: c.run},
		}}, metav1.CreateOptions{})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("creating a namespace: %w", err)
	}
	e := &env{cluster: c, options: options, namespace: namespace.Name}
	if spec.objects == nil {
		return e, nil
	}
	if err := c.awaitServiceAccount(ctx, e.namespace); err != nil {
		return e, err
	}
	for _, o := range spec.objects(e) {
		if err := e.createNow(ctx, o); err != nil {
			return e, err
		}
	}
	return e, nil
}

// awaitServiceAccount waits for what a controller puts into each new namespace;
// pods cannot be created before.
func (c *cluster) awaitServiceAccount(ctx context.Context, namespace string) error {
	err := retry(ctx, func(ctx context.Context) error {
		_, err := c.client.CoreV1().ServiceAccounts(namespace).Get(ctx, "default", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return errors.New("no controller has made it")
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("waiting for service account \"default\" in namespace %q: %w", namespace, err)
	}
	return nil
}

// create makes an object of any kind that the scheme of client-go knows, or an
// unstructured one.
func (c *cluster) create(ctx context.Context, namespace string, object runtime.Object) (*unstructured.Unstructured, error) {
	u, err := toUnstructured(object)
	if err != nil {
		return nil, err
	}
	var made *unstructured.Unstructured
	err = retry(ctx, func(ctx context.Context) error {
		resource, err := c.resource(u.GroupVersionKind(), namespace)
		if err == nil {
			made, err = resource.Create(ctx, u, metav1.CreateOptions{FieldManager: userAgent})
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("creating %s %q: %w", u.GetKind(), u.GetName(), err)
	}
	return made, nil
}

func (c *cluster) resource(kind schema.GroupVersionKind, namespace string) (dynamic.ResourceInterface, error) {
	mapping, err := c.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return nil, err
	}
	if mapping.Scope.Name() == "namespace" {
		return c.dynamic.Resource(mapping.Resource).Namespace(namespace), nil
	}
	return c.dynamic.Resource(mapping.Resource), nil
}

func toUnstructured(object runtime.Object) (*unstructured.Unstructured, error) {
	if u, ok := object.(*unstructured.Unstructured); ok {
		return u, nil
	}
	kinds, _, err := scheme.Scheme.ObjectKinds(object)
	if err != nil {
		return nil, err
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil, err
	}
	u := &unstructured.Unstructured{Object: content}
	u.SetGroupVersionKind(kinds[0])
	return u, nil
}

// deleteLeftovers removes the namespaces of runs that were killed.
func (c *cluster) deleteLeftovers(ctx context.Context) { c.deleteNamespaces(ctx, "") }

// deleteNamespaces deletes those of a run, or of all runs, without waiting for
// their end. What could not be deleted is found by the next run.
func (c *cluster) deleteNamespaces(ctx context.Context, run string) {
	selector := runLabel
	if run != "" {
		selector += "=" + run
	}
	_ = retry(ctx, func(ctx context.Context) error {
		list, err := c.client.CoreV1().Namespaces().List(ctx, metav1.ListOptions{LabelSelector: selector})
		if err != nil {
			return err
		}
		var failed []error
		for _, n := range list.Items {
			if n.DeletionTimestamp == nil {
				failed = append(failed, c.client.CoreV1().Namespaces().Delete(ctx, n.Name, metav1.DeleteOptions{}))
			}
		}
		return errors.Join(failed...)
	})
}
