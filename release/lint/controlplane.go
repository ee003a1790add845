package lint

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/slipway-release/slipway/internal/controlplane"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/manifests"
)

// haProfile is the profile whose clusters have several API servers behind a load balancer. On a
// cluster with one of them, nothing can answer while it is replaced.
const haProfile = "ha"

// controlPlane is what a payload says about how its control plane is run.
type controlPlane struct {
	brings   bool // the payload has an API server among its components
	settings controlplane.Settings
	of       map[string]manifests.Object // ConfigMap, by part
	unknown  map[string]bool             // parts whose settings cannot be read
	wrong    []located
}

type located struct {
	at      place
	message string
}

// readControlPlane returns nil for payloads that say nothing about a control plane
// and bring no API server of Slipway's kind.
func (p *payload) readControlPlane() *controlPlane {
	c := &controlPlane{settings: controlplane.New(), of: map[string]manifests.Object{}, unknown: map[string]bool{}}
	for _, o := range p.objects {
		if o.Kind != "ConfigMap" || o.Group() != "" {
			continue
		}
		labels, _ := value(o.Content, "metadata", "labels").(map[string]any)
		if part, ok := labels[controlplane.Label].(string); ok {
			c.read(p, part, o)
		}
	}
	_, c.brings = p.refs.Image(controlplane.APIServer)
	if !c.brings && len(c.of) == 0 && len(c.wrong) == 0 {
		return nil
	}
	return c
}

func (c *controlPlane) read(p *payload, part string, o manifests.Object) {
	label := at(o, "metadata", "labels", controlplane.Label)
	if part != controlplane.LoadBalancer && !slices.Contains(controlplane.StaticPods, part) {
		c.wrong = append(c.wrong, located{label, fmt.Sprintf("%s has settings of %q, which is no part of a control plane; known are %s and %s",
			o, part, strings.Join(controlplane.StaticPods, ", "), controlplane.LoadBalancer)})
		return
	}
	if other, twice := c.of[part]; twice { // variants for different clusters are not told apart
		c.wrong = append(c.wrong, located{label, fmt.Sprintf("%s has settings of %s, and so has %s in %s", o, part, other, p.options.Origin(other.File))})
		return
	}
	c.of[part] = o
	err := fmt.Errorf("its data has no %s", controlplane.Key)
	if data, ok := value(o.Content, "data", controlplane.Key).(string); ok {
		err = c.settings.Set(part, []byte(data))
	}
	if err != nil {
		c.unknown[part] = true
		c.wrong = append(c.wrong, located{at(o, "data", controlplane.Key), fmt.Sprintf("%s: %s", o, strings.ReplaceAll(err.Error(), "\n", "; "))})
	}
}

// has reports whether the payload says something readable about a part.
func (c *controlPlane) has(part string) bool {
	_, ok := c.of[part]
	return ok && !c.unknown[part]
}

// setting is the place of a value in the settings of a part, or else where the
// payload shows that it has one.
func (c *controlPlane) setting(part string, within ...any) place {
	o, ok := c.of[part]
	if !ok {
		return place{file: release.ReferencesFile}
	}
	where := at(o, "data", controlplane.Key)
	where.within = within
	return where
}

// argument is the place of a flag on clusters of a profile, or where it belongs when
// nobody sets it.
func (c *controlPlane) argument(part, profile, name string) place {
	pod := c.settings.Pods[part]
	_, own := pod.Profiles[profile].Args[name]
	_, shared := pod.Args[name]
	if !own && shared || profile == "" {
		return c.setting(part, "args", name)
	}
	return c.setting(part, "profiles", profile, "args", name)
}

// duration reads a flag; fallback stands for what is not set or no time.
func (c *controlPlane) duration(part, profile, name string, fallback time.Duration) time.Duration {
	if d, err := time.ParseDuration(c.settings.Args(part, profile)[name]); err == nil {
		return d
	}
	return fallback
}

// milliseconds reads one of etcd's flags.
func (c *controlPlane) milliseconds(profile, name string, fallback time.Duration) (time.Duration, error) {
	text, ok := c.settings.Args(controlplane.Etcd, profile)[name]
	if !ok {
		return fallback, nil
	}
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0, fmt.Errorf("%s is %q, not a number of milliseconds", name, text)
	}
	return time.Duration(n) * time.Millisecond, nil
}

// drain is how long an API server may take for the requests it still has once it takes no new
// ones: k8s.io/apiserver waits for ordinary ones as long as any may last, and meanwhile for
// watches as long as it is told to.
func (c *controlPlane) drain(profile string) time.Duration {
	requests := c.duration(controlplane.APIServer, profile, "request-timeout", time.Minute)
	return max(requests, c.duration(controlplane.APIServer, profile, "shutdown-watch-termination-grace-period", 0))
}
