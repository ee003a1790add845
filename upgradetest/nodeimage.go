package upgradetest

import (
	"context"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// ImageOnNodes returns wanted, or else an image of the same repository that the nodes
// hold: a cluster that is to be upgraded holds what it was made of, and may have no
// registry to get anything else from. Without any, it returns wanted.
func ImageOnNodes(ctx context.Context, config *rest.Config, wanted string) (string, error) {
	if wanted == "" {
		return "", nil
	}
	client, err := clientFor(config)
	if err != nil {
		return "", err
	}
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return "", fmt.Errorf("looking for the images of the nodes: %w", err)
	}
	repository, _, _ := strings.Cut(wanted, "@")
	count := map[string]int{}
	for _, n := range nodes.Items {
		for _, image := range n.Status.Images {
			for _, name := range image.Names {
				if strings.HasPrefix(name, repository+"@") {
					count[name]++
				}
			}
		}
	}
	if count[wanted] == len(nodes.Items) {
		return wanted, nil
	}
	var everywhere []string
	for name, n := range count {
		if n == len(nodes.Items) {
			everywhere = append(everywhere, name)
		}
	}
	if len(everywhere) == 0 {
		return wanted, nil
	}
	return slices.Min(everywhere), nil
}

// FindImage returns an image that nodes hold by the last part of its repository's name.
func FindImage(ctx context.Context, config *rest.Config, component string) (string, error) {
	client, err := clientFor(config)
	if err != nil {
		return "", err
	}
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return "", fmt.Errorf("looking for the images of the nodes: %w", err)
	}
	for _, n := range nodes.Items {
		for _, image := range n.Status.Images {
			for _, name := range image.Names {
				repository, _, byDigest := strings.Cut(name, "@")
				if byDigest && strings.HasSuffix(repository, "/"+component) {
					return name, nil
				}
			}
		}
	}
	return "", fmt.Errorf("looking for the images of the nodes: none holds %q; name it by --image", component)
}
