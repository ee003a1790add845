package rollout

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/rest"

	"github.com/slipway-release/slipway/internal/controlplane"
)

// The cluster's own record of what was rolled out to it: this ConfigMap, whose
// key holds an Inventory as JSON.
const (
	inventoryNamespace = metav1.NamespaceSystem
	inventoryName      = "slipway-rollout"
	inventoryKey       = "inventory.json"
)

// Inventory is a cluster's record of the payload whose manifests it has.
type Inventory struct {
	Version string `json:"version"`
	Digest  string `json:"digest"`
	// Complete is false while a rollout is under way or after it failed.
	Complete bool `json:"complete"`
	// Objects are those of the payload; while not complete, those of the one before as well.
	Objects []ObjectID `json:"objects"`
	// Before is the payload that the whole cluster was at when its last upgrade
	// began: where a rollback leads.
	Before *Point `json:"before,omitempty"`
	// Reconfiguration is what the control planes are to differ in from the payload, since
	// the last upgrade to one. Each of them tells in ReconfigurationAnnotation how far it is.
	Reconfiguration controlplane.Reconfiguration `json:"reconfiguration,omitzero"`
	// Orphans are objects of earlier payloads that no later one had.
	Orphans []ObjectID `json:"orphans,omitempty"`
}

// Recorded returns what a cluster records of the last rollout to it; an empty
// Inventory when there was none.
func Recorded(ctx context.Context, config *rest.Config) (*Inventory, error) {
	c, err := newClient(config)
	if err != nil {
		return nil, err
	}
	inv, err := c.inventory(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the record of its rollout, ConfigMap %q: %w", inventoryNamespace+"/"+inventoryName, err)
	}
	return inv, nil
}

func (c *client) inventory(ctx context.Context) (*Inventory, error) {
	cm, err := c.kube.CoreV1().ConfigMaps(inventoryNamespace).Get(ctx, inventoryName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return &Inventory{}, nil
	}
	if err != nil {
		return nil, err
	}
	return parseInventory(cm)
}

func parseInventory(cm *corev1.ConfigMap) (*Inventory, error) {
	inv := &Inventory{}
	if err := json.Unmarshal([]byte(cm.Data[inventoryKey]), inv); err != nil {
		return nil, fmt.Errorf("reading key %q of ConfigMap %q: %w", inventoryKey, cm.Namespace+"/"+cm.Name, err)
	}
	return inv, nil
}

func (c *client) writeInventory(ctx context.Context, inv *Inventory) error {
	data, err := json.Marshal(inv)
	if err != nil {
		return err
	}
	cm := applycorev1.ConfigMap(inventoryName, inventoryNamespace).WithData(map[string]string{inventoryKey: string(data)})
	_, err = c.kube.CoreV1().ConfigMaps(inventoryNamespace).Apply(ctx, cm, metav1.ApplyOptions{FieldManager: FieldManager, Force: true})
	return err
}

// beginInventory records that a rollout begins and returns the record so far.
// Old and new objects stand in it together from now on, so that a rollout that
// is cut short forgets neither.
func (r *run) beginInventory(ctx context.Context) (*Inventory, error) {
	var before *Inventory
	err := r.retry(Event{RunLevel: -1}).do(ctx, func(ctx context.Context) (err error) {
		if before, err = r.client.inventory(ctx); err != nil {
			return err
		}
		return r.client.writeInventory(ctx, &Inventory{
			Version: r.plan.Version, Digest: r.plan.Digest,
			Objects: union(before.Objects, r.plan.objects()), Orphans: before.Orphans,
			Before: before.Before, Reconfiguration: before.Reconfiguration,
		})
	})
	if err != nil {
		return nil, fmt.Errorf("recording the beginning of the rollout in ConfigMap %q: %w", inventoryNamespace+"/"+inventoryName, err)
	}
	return before, nil
}

func (r *run) finishInventory(ctx context.Context, before *Inventory) ([]ObjectID, error) {
	var orphans []ObjectID
	err := r.retry(Event{RunLevel: -1}).do(ctx, func(ctx context.Context) (err error) {
		if orphans, err = r.client.present(ctx, without(union(before.Objects, before.Orphans), r.plan.objects())); err != nil {
			return err
		}
		return r.client.writeInventory(ctx, &Inventory{
			Version: r.plan.Version, Digest: r.plan.Digest, Complete: true, Objects: r.plan.objects(), Orphans: orphans,
			Before: before.Before, Reconfiguration: before.Reconfiguration,
		})
	})
	if err != nil {
		return nil, fmt.Errorf("recording the rollout in ConfigMap %q: %w", inventoryNamespace+"/"+inventoryName, err)
	}
	return orphans, nil
}

// present returns those objects that the cluster has.
func (c *client) present(ctx context.Context, ids []ObjectID) ([]ObjectID, error) {
	var there []ObjectID
	for _, id := range ids {
		ok, err := c.exists(ctx, id.object())
		if err != nil {
			return nil, err
		}
		if ok {
			there = append(there, id)
		}
	}
	return there, nil
}

func union(a, b []ObjectID) []ObjectID {
	return sortIDs(append(without(a, b), b...))
}

// without returns the objects of a that b does not have, whatever their versions.
func without(a, b []ObjectID) []ObjectID {
	has := make(map[ObjectID]bool, len(b))
	for _, id := range b {
		has[id.identity()] = true
	}
	var rest []ObjectID
	for _, id := range a {
		if !has[id.identity()] {
			rest = append(rest, id)
		}
	}
	return rest
}

func sortIDs(ids []ObjectID) []ObjectID {
	slices.SortFunc(ids, func(a, b ObjectID) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Kind, b.Kind),
			cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return ids
}
