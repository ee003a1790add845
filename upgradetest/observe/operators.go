package observe

import (
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/rest"

	"github.com/slipway-release/slipway/upgradetest"
)

// clusterOperators are what clusters of OpenShift and OKD are made of. Each says in
// conditions how it is (github.com/openshift/api, config/v1/types_cluster_operator.go).
var clusterOperators = schema.GroupVersionResource{Group: "config.openshift.io", Version: "v1", Resource: "clusteroperators"}

// operators returns what watches the operators of a cluster, or nil of one that has
// none of that kind.
func (o *Observer) operators(config *rest.Config) (dynamicinformer.DynamicSharedInformerFactory, error) {
	list, err := o.client.Discovery().ServerResourcesForGroupVersion(clusterOperators.GroupVersion().String())
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, r := range list.APIResources {
		if r.Name != clusterOperators.Resource {
			continue
		}
		client, err := dynamic.NewForConfig(config)
		if err != nil {
			return nil, err
		}
		return dynamicinformer.NewDynamicSharedInformerFactory(client, 0), nil
	}
	return nil, nil
}

func (o *Observer) operator(before, after any) {
	now, _ := after.(*unstructured.Unstructured)
	old, _ := before.(*unstructured.Unstructured)
	switch {
	case now == nil && old != nil:
		o.see(upgradetest.LaneOperator, old.GetName(), "gone", "", nil)
	case now == nil:
	default:
		state, why := operatorState(now)
		if last, _ := operatorState(old); old == nil || last != state {
			o.see(upgradetest.LaneOperator, now.GetName(), state, why, nil)
		}
	}
}

// operatorState is the worst of what an operator says about itself, and why.
func operatorState(obj *unstructured.Unstructured) (state, why string) {
	if obj == nil {
		return "", ""
	}
	var operator struct {
		Status struct {
			Conditions []metav1.Condition `json:"conditions"`
		} `json:"status"`
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(obj.Object, &operator); err != nil {
		return "unavailable", "its conditions cannot be read: " + err.Error()
	}
	said := map[string]metav1.Condition{}
	for _, c := range operator.Status.Conditions {
		said[c.Type] = c
	}
	because := func(kind string) string { return said[kind].Reason + ": " + said[kind].Message }
	switch {
	case said["Available"].Status != metav1.ConditionTrue:
		return "unavailable", because("Available")
	case said["Degraded"].Status == metav1.ConditionTrue:
		return "degraded", because("Degraded")
	case said["Progressing"].Status == metav1.ConditionTrue:
		return "progressing", because("Progressing")
	}
	return "available", ""
}
