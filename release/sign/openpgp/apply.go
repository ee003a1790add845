package openpgp

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/retry"
)

// ErrNoMessages says that no store has a message about a digest.
var ErrNoMessages = errors.New("no signature store has any")

// Collect returns the messages about a digest in all stores, each once. None at all
// is an ErrNoMessages.
func Collect(ctx context.Context, digest v1.Hash, stores ...Store) ([][]byte, error) {
	var messages [][]byte
	for _, s := range stores {
		found, err := s.Messages(ctx, digest)
		if err != nil {
			return nil, fmt.Errorf("collecting signatures of %s: %w", digest, err)
		}
		for _, m := range found {
			if !slices.ContainsFunc(messages, func(known []byte) bool { return slices.Equal(known, m.Message) }) {
				messages = append(messages, m.Message)
			}
		}
	}
	if len(messages) == 0 {
		return nil, fmt.Errorf("collecting signatures of %s: %w", digest, ErrNoMessages)
	}
	return messages, nil
}

// ApplyConfigMap adds messages to a cluster's own store of them: the ConfigMap
// sha256-<hex> in the namespace openshift-config-managed. Messages that it has stay as
// they are. It returns the ConfigMap as NAMESPACE/NAME, and whether something was added.
func ApplyConfigMap(ctx context.Context, client kubernetes.Interface, digest v1.Hash, messages ...[]byte) (name string, changed bool, err error) {
	wanted := newConfigMap(digest)
	name = wanted.Metadata.Namespace + "/" + wanted.Metadata.Name
	err = retry.OnError(retry.DefaultRetry, raced, func() error {
		changed, err = applyConfigMap(ctx, client, digest, messages)
		return err
	})
	if apierrors.IsNotFound(err) {
		err = fmt.Errorf("%w: clusters that verify releases have the namespace %s", err, wanted.Metadata.Namespace)
	}
	if err != nil {
		return name, false, fmt.Errorf("applying signature ConfigMap %q to the cluster: %w", name, err)
	}
	return name, changed, nil
}

// raced says whether somebody else was first.
func raced(err error) bool { return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) }

func applyConfigMap(ctx context.Context, client kubernetes.Interface, digest v1.Hash, messages [][]byte) (changed bool, err error) {
	m := newConfigMap(digest)
	api := client.CoreV1().ConfigMaps(m.Metadata.Namespace)
	there, err := api.Get(ctx, m.Metadata.Name, metav1.GetOptions{})
	missing := apierrors.IsNotFound(err)
	if err != nil && !missing {
		return false, err
	}
	if missing {
		there = &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: m.Metadata.Name, Namespace: m.Metadata.Namespace}}
	}
	maps.Copy(m.BinaryData, there.BinaryData)
	for _, message := range messages {
		if _, err := m.add(digest, message); err != nil {
			return false, err
		}
	}
	if there.Labels == nil {
		there.Labels = map[string]string{}
	}
	_, labelled := there.Labels[configMapLabel]
	if !missing && labelled && len(m.BinaryData) == len(there.BinaryData) {
		return false, nil
	}
	there.Labels[configMapLabel] = ""
	there.BinaryData = m.BinaryData
	if missing {
		_, err = api.Create(ctx, there, metav1.CreateOptions{FieldManager: "slipway"})
	} else {
		_, err = api.Update(ctx, there, metav1.UpdateOptions{FieldManager: "slipway"})
	}
	return err == nil, err
}
