package installation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/slipway-release/slipway/release/rollout"
)

// requestTimeout bounds one request to a cluster.
const requestTimeout = 30 * time.Second

// ErrUnknown is wrapped by errors about a cluster that answered, and does not say
// what was asked.
var ErrUnknown = errors.New("it does not say")

// Cluster is a running cluster.
type Cluster struct {
	config  *rest.Config
	dynamic dynamic.Interface
}

// Connect prepares to ask a cluster.
func Connect(config *rest.Config) (*Cluster, error) {
	config = rest.CopyConfig(config)
	config.UserAgent = "slipway"
	config.Timeout = requestTimeout
	config.WarningHandler = rest.NoWarnings{}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a client of the cluster at %q: %w", config.Host, err)
	}
	return &Cluster{config: config, dynamic: client}, nil
}

// String names the cluster for messages.
func (c *Cluster) String() string { return "cluster at " + c.config.Host }

// Release is a payload as its cluster knows it.
type Release struct {
	Version string
	// Image is a pull spec; empty in clusters that Slipway made, whose payloads are
	// the distribution's.
	Image  string
	Digest string // of the payload; empty when Image bears a tag
	// Complete is false while the cluster is on its way to it.
	Complete bool
}

// Named is how commands take the payload: its pull spec, else its digest.
func (r Release) Named() string {
	if r.Image != "" {
		return r.Image
	}
	return r.Digest
}

type clusterVersion struct {
	Spec struct {
		DesiredUpdate struct {
			Image string `json:"image"`
		} `json:"desiredUpdate"`
		Overrides []struct {
			Group     string `json:"group"`
			Kind      string `json:"kind"`
			Namespace string `json:"namespace"`
			Name      string `json:"name"`
			Unmanaged bool   `json:"unmanaged"`
		} `json:"overrides"`
	} `json:"spec"`
	Status struct {
		Desired            clusterRelease   `json:"desired"`
		AvailableUpdates   []clusterRelease `json:"availableUpdates"`
		ConditionalUpdates []struct {
			Release clusterRelease `json:"release"`
		} `json:"conditionalUpdates"`
		History []struct {
			State   string `json:"state"`
			Version string `json:"version"`
			Image   string `json:"image"`
		} `json:"history"`
		Capabilities struct {
			Enabled []string `json:"enabledCapabilities"`
			Known   []string `json:"knownCapabilities"`
		} `json:"capabilities"`
	} `json:"status"`
}

type clusterRelease struct {
	Version string `json:"version"`
	Image   string `json:"image"`
}

func (r clusterRelease) release(complete bool) Release {
	_, digest, _ := strings.Cut(r.Image, "@")
	return Release{Version: r.Version, Image: r.Image, Digest: digest, Complete: complete}
}

// Release returns the payload that the cluster is at or on its way to. The error
// wraps ErrUnknown when the cluster keeps no such record.
func (c *Cluster) Release(ctx context.Context) (Release, error) {
	r, err := c.release(ctx)
	if err != nil {
		return Release{}, fmt.Errorf("asking the %s for its payload: %w", c, err)
	}
	return r, nil
}

func (c *Cluster) release(ctx context.Context) (Release, error) {
	cv, err := c.clusterVersion(ctx)
	if err != nil {
		return Release{}, err
	}
	if cv == nil {
		inventory, err := rollout.Recorded(ctx, c.config)
		if err != nil {
			return Release{}, err
		}
		if inventory.Digest == "" {
			return Release{}, fmt.Errorf("%w: it has no ClusterVersion, and nothing was rolled out to it; name the payload", ErrUnknown)
		}
		return Release{Version: inventory.Version, Digest: inventory.Digest, Complete: inventory.Complete}, nil
	}
	desired := cv.Status.Desired
	if desired.Image == "" {
		desired = clusterRelease{Image: cv.Spec.DesiredUpdate.Image}
	}
	if desired.Image == "" {
		return Release{}, fmt.Errorf("%w: its ClusterVersion names no image at this time; name the payload", ErrUnknown)
	}
	history := cv.Status.History
	return desired.release(len(history) > 0 && history[0].Image == desired.Image && history[0].State == "Completed"), nil
}

// Find returns the release of a version among those that the cluster knows: where it
// is, where it may go, and where it was.
func (c *Cluster) Find(ctx context.Context, version string) (Release, error) {
	cv, err := c.clusterVersion(ctx)
	if err != nil {
		return Release{}, fmt.Errorf("asking the %s for release %s: %w", c, version, err)
	}
	if cv == nil {
		return Release{}, fmt.Errorf("asking the %s for release %s: %w: it has no ClusterVersion", c, version, ErrUnknown)
	}
	known := append([]clusterRelease{cv.Status.Desired}, cv.Status.AvailableUpdates...)
	for _, u := range cv.Status.ConditionalUpdates {
		known = append(known, u.Release)
	}
	for _, h := range cv.Status.History {
		known = append(known, clusterRelease{h.Version, h.Image})
	}
	i := slices.IndexFunc(known, func(r clusterRelease) bool { return r.Version == version && r.Image != "" })
	if i < 0 {
		return Release{}, fmt.Errorf("asking the %s for release %s: %w: its ClusterVersion has no such version among its updates and in its history", c, version, ErrUnknown)
	}
	return known[i].release(false), nil
}

// clusterVersion returns the ClusterVersion, nil in a cluster that is none of
// OpenShift or OKD.
func (c *Cluster) clusterVersion(ctx context.Context) (*clusterVersion, error) {
	cv := &clusterVersion{}
	found, err := c.read(ctx, "clusterversions", "version", cv)
	if err != nil || !found {
		return nil, err
	}
	return cv, nil
}

// read reads an object of config.openshift.io/v1 and says whether it is there.
func (c *Cluster) read(ctx context.Context, resource, name string, into any) (bool, error) {
	kind := schema.GroupVersionResource{Group: "config.openshift.io", Version: "v1", Resource: resource}
	return c.readFrom(ctx, c.dynamic.Resource(kind), resource+"/"+name, name, into)
}

func (c *Cluster) readFrom(ctx context.Context, from dynamic.ResourceInterface, called, name string, into any) (bool, error) {
	obj, err := from.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading its %s: %w", called, err)
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(obj.Object, into); err != nil {
		return false, fmt.Errorf("reading its %s: %w", called, err)
	}
	return true, nil
}
