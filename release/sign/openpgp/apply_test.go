package openpgp_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/kubernetes"

	"github.com/slipway-release/slipway/release/releasetest"
	"github.com/slipway-release/slipway/release/sign/openpgp"
)

func readJSON(t *testing.T, path string, into any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestApplyConfigMap(t *testing.T) {
	cluster := releasetest.NewOKD(t, "4.19.0", "", nil)
	client, err := kubernetes.NewForConfig(cluster.Config())
	if err != nil {
		t.Fatal(err)
	}
	path := "/api/v1/namespaces/openshift-config-managed/configmaps/sha256-" + digest.Hex
	for _, step := range []struct {
		messages []string
		changed  bool
		there    int
	}{
		{[]string{"one"}, true, 1},
		{[]string{"one"}, false, 1},
		{[]string{"two", "one"}, true, 2},
		{[]string{"one", "two"}, false, 2},
	} {
		var messages [][]byte
		for _, m := range step.messages {
			messages = append(messages, []byte(m))
		}
		name, changed, err := openpgp.ApplyConfigMap(t.Context(), client, digest, messages...)
		if err != nil || changed != step.changed || name != "openshift-config-managed/sha256-"+digest.Hex {
			t.Errorf("%v: %s, changed is %v, %v", step.messages, name, changed, err)
		}
		there := cluster.Get(path)
		data, _ := there["binaryData"].(releasetest.Object)
		labels, _ := there["metadata"].(releasetest.Object)["labels"].(releasetest.Object)
		if _, ok := labels["release.openshift.io/verification-signatures"]; len(data) != step.there || !ok {
			t.Errorf("%v: the cluster has %v", step.messages, there)
		}
	}
}

// TestApplyConfigMapTogether has several apply at once; nothing may be lost.
func TestApplyConfigMapTogether(t *testing.T) {
	cluster := releasetest.NewOKD(t, "4.19.0", "", nil)
	client, err := kubernetes.NewForConfig(cluster.Config())
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for n := range 3 {
		all.Go(func() {
			if _, _, err := openpgp.ApplyConfigMap(t.Context(), client, digest, fmt.Append(nil, n)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	data := cluster.Get("/api/v1/namespaces/openshift-config-managed/configmaps/sha256-" + digest.Hex)["binaryData"].(releasetest.Object)
	if len(data) != 3 {
		t.Errorf("the cluster has %v", data)
	}
}

func TestApplyConfigMapFails(t *testing.T) {
	closed := releasetest.NewCluster(t)
	closed.Answer = func(w http.ResponseWriter, _ *http.Request, _ releasetest.Object) bool {
		w.WriteHeader(http.StatusForbidden)
		_ = json.NewEncoder(w).Encode(releasetest.Object{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "message": "forbidden", "code": 403})
		return true
	}
	for says, cluster := range map[string]*releasetest.Cluster{
		"have the namespace openshift-config-managed": releasetest.NewCluster(t),
		"forbidden": closed,
	} {
		client, err := kubernetes.NewForConfig(cluster.Config())
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := openpgp.ApplyConfigMap(t.Context(), client, digest, []byte("one")); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("want %q, got %v", says, err)
		}
	}
}
