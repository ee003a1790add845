package releasetest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// Object is a Kubernetes object as JSON has it.
type Object = map[string]any

// Cluster stands for the API of a cluster, on loopback, until its test ends. It knows
// what was put into it, by the paths of requests, and lets objects be read, created and
// replaced. Answer, if not nil, is asked first about every request and says whether it
// has answered.
type Cluster struct {
	Answer func(w http.ResponseWriter, r *http.Request, body Object) bool

	url     string
	mu      sync.Mutex
	objects map[string]Object
	version int
}

// NewCluster serves the API of a cluster without any object.
func NewCluster(t testing.TB) *Cluster {
	t.Helper()
	c := &Cluster{objects: map[string]Object{}}
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	c.url = server.URL
	return c
}

// NewOKD serves the API of a cluster of OKD at a payload, on AWS, that chose nothing:
// a ClusterVersion, an Infrastructure, a FeatureGate and the cluster-version operator.
// change may change each object before it is served, and delete what is not to be there.
func NewOKD(t testing.TB, version, image string, change func(objects map[string]Object)) *Cluster {
	t.Helper()
	c := NewCluster(t)
	config := "/apis/config.openshift.io/v1/"
	objects := map[string]Object{
		config + "clusterversions/version": {"apiVersion": "config.openshift.io/v1", "kind": "ClusterVersion", "metadata": Object{"name": "version"},
			"spec": Object{}, "status": Object{
				"desired":      Object{"version": version, "image": image},
				"history":      []any{Object{"state": "Completed", "version": version, "image": image}},
				"capabilities": Object{"enabledCapabilities": []any{}, "knownCapabilities": []any{}},
			}},
		config + "infrastructures/cluster": {"apiVersion": "config.openshift.io/v1", "kind": "Infrastructure", "metadata": Object{"name": "cluster"},
			"status": Object{"platformStatus": Object{"type": "AWS"}}},
		config + "featuregates/cluster": {"apiVersion": "config.openshift.io/v1", "kind": "FeatureGate", "metadata": Object{"name": "cluster"},
			"spec": Object{}, "status": Object{}},
		"/apis/apps/v1/namespaces/openshift-cluster-version/deployments/cluster-version-operator": {"apiVersion": "apps/v1", "kind": "Deployment",
			"metadata": Object{"name": "cluster-version-operator", "namespace": "openshift-cluster-version"},
			"spec":     Object{"template": Object{"spec": Object{"containers": []any{Object{"name": "operator", "env": []any{}}}}}}},
		"/api/v1/namespaces/openshift-config-managed": {"apiVersion": "v1", "kind": "Namespace", "metadata": Object{"name": "openshift-config-managed"}},
	}
	if change != nil {
		change(objects)
	}
	for path, o := range objects {
		c.Put(path, o)
	}
	return c
}

// Put stores an object under the path of its requests.
func (c *Cluster) Put(path string, o Object) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.put(path, o)
}

func (c *Cluster) put(path string, o Object) Object {
	c.version++
	metadata, _ := o["metadata"].(Object)
	if metadata == nil {
		metadata = Object{}
		o["metadata"] = metadata
	}
	metadata["resourceVersion"] = fmt.Sprint(c.version)
	c.objects[path] = o
	return o
}

// Get returns what is under a path; nil when there is nothing.
func (c *Cluster) Get(path string) Object {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.objects[path]
}

// Config is how clients reach the cluster.
func (c *Cluster) Config() *rest.Config { return &rest.Config{Host: c.url, QPS: 1000, Burst: 1000} }

// Kubeconfig writes a kubeconfig for the cluster, with the namespace "builds", and
// returns its path.
func (c *Cluster) Kubeconfig(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	text := "apiVersion: v1\nkind: Config\ncurrent-context: c\n" +
		"clusters: [{name: c, cluster: {server: \"" + c.url + "\"}}]\n" +
		"users: [{name: c, user: {}}]\n" +
		"contexts: [{name: c, context: {cluster: c, user: c, namespace: builds}}]\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// ServeHTTP implements http.Handler.
func (c *Cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	body, err := bodyOf(r)
	if err != nil {
		failed(w, http.StatusBadRequest, "BadRequest", err.Error())
		return
	}
	if c.Answer != nil && c.Answer(w, r, body) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	path := r.URL.Path
	there := c.objects[path]
	switch r.Method {
	case http.MethodGet:
		if there == nil {
			failed(w, http.StatusNotFound, "NotFound", path+" is not there")
			return
		}
		_ = json.NewEncoder(w).Encode(there)
	case http.MethodPost:
		metadata, _ := body["metadata"].(Object)
		namespace, _, _ := strings.Cut(strings.TrimPrefix(path, "/api/v1/namespaces/"), "/")
		if path += fmt.Sprintf("/%v", metadata["name"]); c.objects[path] != nil {
			failed(w, http.StatusConflict, "AlreadyExists", path+" is there")
			return
		}
		if c.objects["/api/v1/namespaces/"+namespace] == nil {
			failed(w, http.StatusNotFound, "NotFound", "there is no namespace "+namespace)
			return
		}
		_ = json.NewEncoder(w).Encode(c.put(path, body))
	case http.MethodPut:
		now, _ := there["metadata"].(Object)
		seen, _ := body["metadata"].(Object)
		if now["resourceVersion"] != seen["resourceVersion"] {
			failed(w, http.StatusConflict, "Conflict", path+" was changed by somebody else")
			return
		}
		_ = json.NewEncoder(w).Encode(c.put(path, body))
	default:
		failed(w, http.StatusMethodNotAllowed, "MethodNotAllowed", r.Method)
	}
}

// bodyOf reads an object that was sent as JSON or, as typed clients do, as protobuf.
func bodyOf(r *http.Request) (Object, error) {
	data, err := io.ReadAll(r.Body)
	if err != nil || len(data) == 0 {
		return nil, err
	}
	var body Object
	if !strings.Contains(r.Header.Get("Content-Type"), "protobuf") {
		err := json.Unmarshal(data, &body)
		return body, err
	}
	typed, kind, err := scheme.Codecs.UniversalDeserializer().Decode(data, nil, nil)
	if err != nil {
		return nil, err
	}
	if body, err = runtime.DefaultUnstructuredConverter.ToUnstructured(typed); err != nil {
		return nil, err
	}
	body["apiVersion"], body["kind"] = kind.GroupVersion().String(), kind.Kind
	return body, nil
}

func failed(w http.ResponseWriter, code int, reason, message string) {
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(Object{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": message, "code": code})
}
