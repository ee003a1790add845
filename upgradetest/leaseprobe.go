package upgradetest

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// leaseProber renews a Lease, as every leader and every kubelet does.
func newLeaseProber(connection string, target HTTPTarget, name string) (Prober, error) {
	p, err := HTTP(connection, target)
	if err != nil {
		return nil, err
	}
	h := p.(*httpProber)
	collection := strings.TrimSuffix(h.url.Path, "/") + "/apis/coordination.k8s.io/v1/namespaces/" + Namespace + "/leases"
	h.talk = func(ctx context.Context, send sender, p *Probe) error {
		renewed := map[string]any{"holderIdentity": fieldManager, "leaseDurationSeconds": 15, "renewTime": time.Now().UTC().Format("2006-01-02T15:04:05.000000Z07:00")}
		patch, err := json.Marshal(map[string]any{"spec": renewed})
		if err != nil {
			return err
		}
		renew := request{method: http.MethodPatch, path: collection + "/" + name, contentType: "application/merge-patch+json", body: patch}
		if _, err = send(ctx, renew); err != nil || p.Status != http.StatusNotFound {
			return err
		}
		body, err := json.Marshal(map[string]any{
			"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": map[string]any{"name": name}, "spec": renewed,
		})
		if err != nil {
			return err
		}
		if _, err = send(ctx, request{method: http.MethodPost, path: collection, contentType: "application/json", body: body}); err != nil || p.Status != http.StatusConflict {
			return err
		}
		_, err = send(ctx, renew)
		return err
	}
	return h, nil
}
