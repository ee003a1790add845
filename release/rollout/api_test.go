package rollout_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/rest"
)

type object = map[string]any

// api is an API server on loopback with just enough behind it: discovery, get,
// list with selectors, server-side apply and merge patches, delete, eviction
// and logs. Objects are kept by the path of their request.
type api struct {
	mu        sync.Mutex
	resources map[string][]metav1.APIResource // by group/version
	objects   map[string]object
	logs      map[string]string // by path of the pod
	requests  []string          // METHOD path
	// applied is called with every applied object, the lock held: the place of
	// the controllers that a real cluster has.
	applied func(path string, obj object)
	// reading is called before an object is read, the lock held.
	reading func(path string, obj object)
	// fault answers a request itself when it returns true.
	fault func(w http.ResponseWriter, r *http.Request) bool

	config *rest.Config
}

func newAPI(t *testing.T) *api {
	t.Helper()
	ns := func(plural, kind string) metav1.APIResource {
		return metav1.APIResource{Name: plural, Kind: kind, Namespaced: true, Verbs: metav1.Verbs{"get"}}
	}
	global := func(plural, kind string) metav1.APIResource {
		return metav1.APIResource{Name: plural, Kind: kind, Verbs: metav1.Verbs{"get"}}
	}
	a := &api{objects: map[string]object{}, logs: map[string]string{}, resources: map[string][]metav1.APIResource{
		"v1": {ns("pods", "Pod"), {Name: "pods/eviction", Kind: "Eviction", Group: "policy", Version: "v1", Namespaced: true, Verbs: metav1.Verbs{"create"}}, ns("configmaps", "ConfigMap"), ns("events", "Event"), ns("services", "Service"),
			ns("persistentvolumeclaims", "PersistentVolumeClaim"), global("namespaces", "Namespace"), global("nodes", "Node")},
		"apps/v1":                 {ns("deployments", "Deployment"), ns("daemonsets", "DaemonSet"), ns("statefulsets", "StatefulSet")},
		"batch/v1":                {ns("jobs", "Job")},
		"policy/v1":               {ns("poddisruptionbudgets", "PodDisruptionBudget")},
		"storage.k8s.io/v1":       {global("storageclasses", "StorageClass")},
		"coordination.k8s.io/v1":  {ns("leases", "Lease")},
		"apiextensions.k8s.io/v1": {global("customresourcedefinitions", "CustomResourceDefinition")},
	}}
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	a.config = &rest.Config{Host: server.URL}
	return a
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fault != nil && a.fault(w, r) {
		return
	}
	a.requests = append(a.requests, r.Method+" "+r.URL.Path)
	if a.discover(w, r.URL.Path) {
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		problem(w, http.StatusBadRequest, metav1.StatusReasonBadRequest, err.Error())
		return
	}
	isList := a.plural(r.URL.Path)
	switch {
	case r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/log"):
		fmt.Fprint(w, a.logs[strings.TrimSuffix(r.URL.Path, "/log")])
	case r.Method == http.MethodGet && isList:
		a.list(w, r)
	case r.Method == http.MethodGet:
		a.get(w, r.URL.Path)
	case r.Method == http.MethodPatch:
		a.patch(w, r, body)
	case r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/eviction"):
		delete(a.objects, strings.TrimSuffix(r.URL.Path, "/eviction"))
		answer(w, metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Success"})
	case r.Method == http.MethodDelete:
		if _, ok := a.objects[r.URL.Path]; !ok {
			notFound(w, r.URL.Path)
			return
		}
		delete(a.objects, r.URL.Path)
		answer(w, metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Success"})
	default:
		problem(w, http.StatusMethodNotAllowed, metav1.StatusReasonMethodNotAllowed, r.Method)
	}
}

func (a *api) discover(w http.ResponseWriter, path string) bool {
	switch path {
	case "/api":
		answer(w, metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions", APIVersion: "v1"}, Versions: []string{"v1"}})
		return true
	case "/apis":
		list := metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}}
		for _, gv := range slices.Sorted(maps.Keys(a.resources)) {
			group, version, ok := strings.Cut(gv, "/")
			if !ok {
				continue
			}
			v := metav1.GroupVersionForDiscovery{GroupVersion: gv, Version: version}
			list.Groups = append(list.Groups, metav1.APIGroup{Name: group, Versions: []metav1.GroupVersionForDiscovery{v}, PreferredVersion: v})
		}
		answer(w, list)
		return true
	}
	gv := strings.TrimPrefix(strings.TrimPrefix(path, "/apis/"), "/api/")
	resources, ok := a.resources[gv]
	if ok {
		answer(w, metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: gv, APIResources: resources})
	}
	return ok
}

// plural reports whether the path ends in the name of a resource, not an object.
func (a *api) plural(path string) bool {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	last := parts[len(parts)-1]
	if len(parts) > 1 && parts[len(parts)-2] == "namespaces" {
		return false
	}
	for _, resources := range a.resources {
		if slices.ContainsFunc(resources, func(r metav1.APIResource) bool { return r.Name == last }) {
			return true
		}
	}
	return false
}

func (a *api) get(w http.ResponseWriter, path string) {
	obj, ok := a.objects[path]
	if !ok {
		notFound(w, path)
		return
	}
	if a.reading != nil {
		a.reading(path, obj)
	}
	answer(w, obj)
}

func (a *api) list(w http.ResponseWriter, r *http.Request) {
	byLabel, err1 := labels.Parse(r.URL.Query().Get("labelSelector"))
	byField, err2 := fields.ParseSelector(r.URL.Query().Get("fieldSelector"))
	if err1 != nil || err2 != nil {
		problem(w, http.StatusBadRequest, metav1.StatusReasonBadRequest, fmt.Sprint(err1, err2))
		return
	}
	parts := strings.Split(r.URL.Path, "/")
	name := parts[len(parts)-1]
	items := []any{}
	for _, path := range slices.Sorted(maps.Keys(a.objects)) {
		dir := path[:strings.LastIndex(path, "/")]
		everywhere := strings.HasSuffix(dir, "/"+name) && strings.HasPrefix(dir, strings.TrimSuffix(r.URL.Path, name))
		u := &unstructured.Unstructured{Object: a.objects[path]}
		if everywhere && byLabel.Matches(labels.Set(u.GetLabels())) && byField.Matches(flat(u.Object, "")) {
			items = append(items, u.Object)
		}
	}
	for gv, resources := range a.resources {
		if i := slices.IndexFunc(resources, func(res metav1.APIResource) bool { return res.Name == name }); i >= 0 {
			answer(w, object{"kind": resources[i].Kind + "List", "apiVersion": gv, "metadata": object{}, "items": items})
		}
	}
}

func flat(obj object, prefix string) fields.Set {
	set := fields.Set{}
	for k, v := range obj {
		switch v := v.(type) {
		case object:
			maps.Copy(set, flat(v, prefix+k+"."))
		case string:
			set[prefix+k] = v
		}
	}
	return set
}

func (a *api) patch(w http.ResponseWriter, r *http.Request, body []byte) {
	var change object
	if err := json.Unmarshal(body, &change); err != nil {
		problem(w, http.StatusBadRequest, metav1.StatusReasonBadRequest, err.Error())
		return
	}
	old, present := a.objects[r.URL.Path]
	if !strings.Contains(r.Header.Get("Content-Type"), "apply") {
		if !present {
			notFound(w, r.URL.Path)
			return
		}
		merge(old, change)
		answer(w, old)
		return
	}
	if r.URL.Query().Get("fieldManager") != "slipway" || r.URL.Query().Get("force") != "true" {
		problem(w, http.StatusBadRequest, metav1.StatusReasonBadRequest, "not applied by slipway with force")
		return
	}
	u := &unstructured.Unstructured{Object: change}
	u.SetGeneration(1)
	if present {
		u.SetGeneration((&unstructured.Unstructured{Object: old}).GetGeneration() + 1)
		change["status"] = old["status"]
	}
	a.objects[r.URL.Path] = change
	if a.applied != nil {
		a.applied(r.URL.Path, change)
	}
	answer(w, change)
}

func merge(into, change object) {
	for k, v := range change {
		sub, isObject := v.(object)
		switch {
		case v == nil:
			delete(into, k)
		case isObject:
			if _, ok := into[k].(object); !ok {
				into[k] = object{}
			}
			merge(into[k].(object), sub)
		default:
			into[k] = v
		}
	}
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func notFound(w http.ResponseWriter, path string) {
	problem(w, http.StatusNotFound, metav1.StatusReasonNotFound, path+" not found")
}

func problem(w http.ResponseWriter, code int, reason metav1.StatusReason, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
		Status:   "Failure", Code: int32(code), Reason: reason, Message: message,
	})
}

// put stores objects written as YAML under their paths.
func (a *api) put(path string, obj object) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.objects[path] = obj
}

func (a *api) object(path string) object {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.objects[path]
}
