// Package controlplane holds what a payload says about how a cluster's control plane
// is run: flags and grace periods of its static pods, and how the load balancer before
// the API servers finds out which of them is ready.
//
// A payload carries these settings as ConfigMaps with the label [Label], whose value
// names the part they are for and whose key [Key] holds the settings as YAML. So they
// are part of the release: a change of them is reviewed, checked and upgraded to like
// any other.
package controlplane

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

const (
	// Label on a ConfigMap names the part of the control plane that it has the settings of.
	Label = "slipway.dev/control-plane"
	// Key is the key of such a ConfigMap's data under which the settings stand.
	Key = "settings.yaml"
)

// Parts of a control plane: the values of Label. The first four are static pods.
const (
	APIServer         = "kube-apiserver"
	ControllerManager = "kube-controller-manager"
	Scheduler         = "kube-scheduler"
	Etcd              = "etcd"
	LoadBalancer      = "load-balancer"
)

// StaticPods are the parts that run as static pods.
var StaticPods = []string{APIServer, ControllerManager, Scheduler, Etcd}

// DefaultGracePeriod is how long a kubelet waits for a static pod to end that names no
// time of its own.
const DefaultGracePeriod = 30 * time.Second

// Settings are those of a whole control plane; New makes some. Of a static pod that is
// not among Pods, kubeadm's defaults hold.
type Settings struct {
	Pods     map[string]StaticPod // by part
	Balancer Balancer
}

// StaticPod is what a payload says about one of the static pods.
type StaticPod struct {
	// Args are flags of the program, without dashes, after those that kubeadm gives it:
	// of a flag that both give, this value holds, and lists add up.
	Args map[string]string `json:"args,omitempty"`
	// Profiles add flags on clusters of one profile, such as ha.
	Profiles map[string]ProfileArgs `json:"profiles,omitempty"`
	// Resources are laid over those that kubeadm gives the container: of requests and
	// limits that both name, these hold.
	Resources corev1.ResourceRequirements `json:"resources,omitzero"`
	// TerminationGracePeriodSeconds is the pod's; nil leaves it at DefaultGracePeriod.
	TerminationGracePeriodSeconds *int64 `json:"terminationGracePeriodSeconds,omitempty"`
}

// ProfileArgs are the flags that only clusters of one profile have.
type ProfileArgs struct {
	Args map[string]string `json:"args,omitempty"`
}

// Balancer is how the load balancer treats API servers. Fields left out have the
// values that DefaultBalancer gives.
type Balancer struct {
	Check Check `json:"check"`
	// ConnectTimeout bounds one attempt to connect to an API server, after which
	// another one is tried, at most Retries times.
	ConnectTimeout metav1.Duration `json:"connectTimeout"`
	Retries        int             `json:"retries"`
	// IdleTimeout ends connections on which nothing is said.
	IdleTimeout metav1.Duration `json:"idleTimeout"`
}

// Check is the question by which the load balancer finds out whether an API server
// may get new connections. It may while the answer has status 200.
type Check struct {
	Path     string          `json:"path"`
	Interval metav1.Duration `json:"interval"`
	Timeout  metav1.Duration `json:"timeout"`
	Fall     int             `json:"fall"` // failures in a row after which it may not
	Rise     int             `json:"rise"` // successes in a row after which it may again
}

// DefaultBalancer finds a server that shuts down within a second, for /readyz fails from
// the moment in which it is told to, and keeps idle watches alive.
func DefaultBalancer() Balancer {
	d := func(v time.Duration) metav1.Duration { return metav1.Duration{Duration: v} }
	return Balancer{
		Check:          Check{Path: "/readyz", Interval: d(500 * time.Millisecond), Timeout: d(3 * time.Second), Fall: 2, Rise: 4},
		ConnectTimeout: d(2 * time.Second), Retries: 3, IdleTimeout: d(time.Hour),
	}
}

// Detection is the longest time until the balancer has seen that an API server is not ready.
func (c Check) Detection() time.Duration {
	return time.Duration(c.Fall)*c.Interval.Duration + c.Timeout.Duration
}

// New returns the settings of a control plane of which nothing is said.
func New() Settings {
	return Settings{Pods: map[string]StaticPod{}, Balancer: DefaultBalancer()}
}

// Set reads the settings of one part, the value of Label, from YAML and puts them
// into s. Unknown fields and impossible values are errors, all reported at once.
func (s *Settings) Set(part string, data []byte) error {
	if part == LoadBalancer {
		b := DefaultBalancer()
		if err := yaml.UnmarshalStrict(data, &b); err != nil {
			return fmt.Errorf("reading the settings of %q: %w", part, err)
		}
		if err := b.validate(); err != nil {
			return fmt.Errorf("reading the settings of %q: %w", part, err)
		}
		s.Balancer = b
		return nil
	}
	if !slices.Contains(StaticPods, part) {
		return fmt.Errorf("reading the settings of %q: it is no part of a control plane; known are %v and %s", part, StaticPods, LoadBalancer)
	}
	var p StaticPod
	if err := yaml.UnmarshalStrict(data, &p); err != nil {
		return fmt.Errorf("reading the settings of %q: %w", part, err)
	}
	if err := p.validate(part); err != nil {
		return fmt.Errorf("reading the settings of %q: %w", part, err)
	}
	if s.Pods == nil {
		s.Pods = map[string]StaticPod{}
	}
	s.Pods[part] = p
	return nil
}

// Args are the flags of a static pod on a cluster of a profile.
func (s Settings) Args(part, profile string) map[string]string {
	args := map[string]string{}
	maps.Copy(args, s.Pods[part].Args)
	maps.Copy(args, s.Pods[part].Profiles[profile].Args)
	return args
}

// GracePeriod is how long the kubelet waits for a static pod to end.
func (s Settings) GracePeriod(part string) time.Duration {
	if n := s.Pods[part].TerminationGracePeriodSeconds; n != nil {
		return time.Duration(*n) * time.Second
	}
	return DefaultGracePeriod
}

// ShutdownDelay is how long an API server on a cluster of a profile serves on after it
// was told to end: 0 unless it is said.
func (s Settings) ShutdownDelay(profile string) (time.Duration, error) {
	value, ok := s.Args(APIServer, profile)["shutdown-delay-duration"]
	if !ok {
		return 0, nil
	}
	return time.ParseDuration(value)
}

// flagName is what a long flag may be called, without dashes.
var flagName = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`)

// kubeadmLists are flags of the API server that hold lists, or exclude one, and that
// kubeadm always gives. A value of ours would be added to its own, where whoever gives one
// wants it instead.
var kubeadmLists = []string{
	"authorization-config", "authorization-mode", "etcd-servers", "kubelet-preferred-address-types",
	"requestheader-allowed-names", "requestheader-extra-headers-prefix", "requestheader-group-headers", "requestheader-username-headers",
}

func checkFlag(part, name string) error {
	if !flagName.MatchString(name) {
		return fmt.Errorf("%q is no name of a flag; leave its dashes out", name)
	}
	if part == APIServer && slices.Contains(kubeadmLists, name) {
		return fmt.Errorf("%q cannot be set: kubeadm gives it a list, to which a value would be added", name)
	}
	return nil
}

func (p StaticPod) validate(part string) error {
	var errs []error
	check := func(where string, args map[string]string) {
		for _, name := range slices.Sorted(maps.Keys(args)) {
			if err := checkFlag(part, name); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", where, err))
			}
		}
	}
	check("args", p.Args)
	for _, profile := range slices.Sorted(maps.Keys(p.Profiles)) {
		check("profiles."+profile+".args", p.Profiles[profile].Args)
	}
	amounts := func(what string, list corev1.ResourceList) {
		for _, name := range slices.Sorted(maps.Keys(list)) {
			if q := list[name]; q.Sign() < 0 {
				errs = append(errs, fmt.Errorf("resources.%s.%s: %s is below 0", what, name, q.String()))
			}
		}
	}
	amounts("requests", p.Resources.Requests)
	amounts("limits", p.Resources.Limits)
	if n := p.TerminationGracePeriodSeconds; n != nil && *n < 0 {
		errs = append(errs, errors.New("terminationGracePeriodSeconds: "+strconv.FormatInt(*n, 10)+" is below 0"))
	}
	return errors.Join(errs...)
}

// checkPath is what haproxy's configuration takes without quotes.
var checkPath = regexp.MustCompile(`^/[A-Za-z0-9/._~?=&-]*$`)

func (b Balancer) validate() error {
	var errs []error
	if !checkPath.MatchString(b.Check.Path) {
		errs = append(errs, fmt.Errorf("check.path: %q is no path", b.Check.Path))
	}
	for name, d := range map[string]metav1.Duration{
		"check.interval": b.Check.Interval, "check.timeout": b.Check.Timeout, "connectTimeout": b.ConnectTimeout, "idleTimeout": b.IdleTimeout,
	} {
		if d.Duration < time.Millisecond || d.Duration > 24*time.Hour {
			errs = append(errs, fmt.Errorf("%s: %s is not between 1ms and 24h", name, d.Duration))
		}
	}
	for name, n := range map[string]int{"check.fall": b.Check.Fall, "check.rise": b.Check.Rise} {
		if n < 1 || n > 1000 {
			errs = append(errs, fmt.Errorf("%s: %d is not between 1 and 1000", name, n))
		}
	}
	if b.Retries < 0 || b.Retries > 100 {
		errs = append(errs, fmt.Errorf("retries: %d is not between 0 and 100", b.Retries))
	}
	slices.SortFunc(errs, func(a, b error) int {
		if a.Error() < b.Error() {
			return -1
		}
		return 1
	})
	return errors.Join(errs...)
}
