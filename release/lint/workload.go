package lint

import (
	"encoding/json"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/slipway-release/slipway/release/manifests"
)

// The fields of Kubernetes' types that the rules read. The types themselves
// would bring all of its API machinery into every start of the program.

type podSpec struct {
	ServiceAccountName            string      `json:"serviceAccountName"`
	ServiceAccount                string      `json:"serviceAccount"` // the older name of it
	PriorityClassName             string      `json:"priorityClassName"`
	HostNetwork                   bool        `json:"hostNetwork"`
	TerminationGracePeriodSeconds *int64      `json:"terminationGracePeriodSeconds"`
	Containers                    []container `json:"containers"`
	Affinity                      struct {
		PodAntiAffinity struct {
			Required  []affinityTerm `json:"requiredDuringSchedulingIgnoredDuringExecution"`
			Preferred []any          `json:"preferredDuringSchedulingIgnoredDuringExecution"`
		} `json:"podAntiAffinity"`
	} `json:"affinity"`
	TopologySpreadConstraints []any    `json:"topologySpreadConstraints"`
	Volumes                   []volume `json:"volumes"`
}

type container struct {
	Name  string `json:"name"`
	Ports []struct {
		ContainerPort int64 `json:"containerPort"`
		HostPort      int64 `json:"hostPort"`
	} `json:"ports"`
	ReadinessProbe map[string]any `json:"readinessProbe"`
	Lifecycle      struct {
		PreStop *struct {
			Sleep struct {
				Seconds int64 `json:"seconds"`
			} `json:"sleep"`
			Exec struct {
				Command []string `json:"command"`
			} `json:"exec"`
		} `json:"preStop"`
	} `json:"lifecycle"`
}

type volume struct {
	ConfigMap struct {
		Name  string `json:"name"`
		Items []struct {
			Key  string `json:"key"`
			Path string `json:"path"`
		} `json:"items"`
	} `json:"configMap"`
}

type affinityTerm struct {
	LabelSelector *selector `json:"labelSelector"`
	TopologyKey   string    `json:"topologyKey"`
}

type podTemplate struct {
	Metadata struct {
		Labels map[string]string `json:"labels"`
	} `json:"metadata"`
	Spec podSpec `json:"spec"`
}

type workloadSpec struct {
	Replicas *int64      `json:"replicas"`
	Selector *selector   `json:"selector"`
	Template podTemplate `json:"template"`
	Strategy struct {
		Type          string        `json:"type"`
		RollingUpdate rollingUpdate `json:"rollingUpdate"`
	} `json:"strategy"`
	UpdateStrategy struct {
		Type          string        `json:"type"`
		RollingUpdate rollingUpdate `json:"rollingUpdate"`
	} `json:"updateStrategy"`
	JobTemplate struct {
		Spec struct {
			Template podTemplate `json:"template"`
		} `json:"spec"`
	} `json:"jobTemplate"`
}

type rollingUpdate struct {
	MaxUnavailable any `json:"maxUnavailable"`
	MaxSurge       any `json:"maxSurge"`
}

// selector is a label selector of Kubernetes.
type selector struct {
	MatchLabels      map[string]string `json:"matchLabels"`
	MatchExpressions []struct {
		Key      string   `json:"key"`
		Operator string   `json:"operator"`
		Values   []string `json:"values"`
	} `json:"matchExpressions"`
}

// matches reports whether the selector takes the labels. An empty one takes
// everything; none at all, nothing.
func (s *selector) matches(labels map[string]string) bool {
	if s == nil {
		return false
	}
	if !subset(s.MatchLabels, labels) {
		return false
	}
	for _, e := range s.MatchExpressions {
		has, in := false, false
		if value, ok := labels[e.Key]; ok {
			has, in = true, slices.Contains(e.Values, value)
		}
		ok := true
		switch e.Operator {
		case "In":
			ok = in
		case "NotIn":
			ok = !in
		case "Exists":
			ok = has
		case "DoesNotExist":
			ok = !has
		}
		if !ok {
			return false
		}
	}
	return true
}

func subset(wanted, labels map[string]string) bool {
	for key, value := range wanted {
		if got, ok := labels[key]; !ok || got != value {
			return false
		}
	}
	return true
}

// workload is an object that makes pods.
type workload struct {
	manifests.Object
	spec     workloadSpec
	labels   map[string]string // of its pods
	pod      podSpec
	podPath  []any // of the pod's specification
	replicas int64 // at the least; everyNode where every node runs one
	served   bool  // a service that is not for metrics alone sends requests to it
	dns      bool  // a service sends it questions of DNS
}

const everyNode = -1

func (w *workload) in(path ...any) place {
	return at(w.Object, append(slices.Clone(w.podPath), path...)...)
}

// evicted reports whether a drain takes the pods off their node and something
// makes them anew elsewhere.
func (w *workload) evicted() bool {
	return w.Kind == "Deployment" || w.Kind == "StatefulSet" || w.Kind == "ReplicaSet"
}

var podPaths = map[groupKind][]any{
	{"apps", "Deployment"}:        {"spec", "template", "spec"},
	{"apps", "StatefulSet"}:       {"spec", "template", "spec"},
	{"apps", "DaemonSet"}:         {"spec", "template", "spec"},
	{"apps", "ReplicaSet"}:        {"spec", "template", "spec"},
	{"batch", "Job"}:              {"spec", "template", "spec"},
	{"batch", "CronJob"}:          {"spec", "jobTemplate", "spec", "template", "spec"},
	{"", "Pod"}:                   {"spec"},
	{"", "ReplicationController"}: {"spec", "template", "spec"},
}

type service struct {
	manifests.Object
	selector map[string]string
	metrics  bool // it, or each of its ports, says that it is for metrics
	dns      bool // one of its ports is that of DNS
	selects  []*workload
}

type budget struct {
	manifests.Object
	spec struct {
		MinAvailable   any       `json:"minAvailable"`
		MaxUnavailable any       `json:"maxUnavailable"`
		Selector       *selector `json:"selector"`
		Unhealthy      string    `json:"unhealthyPodEvictionPolicy"`
	}
	selects []*workload
}

// decode reads a part of an object into one of the types above. What has another
// type than Kubernetes gives it is left out; the API server reports it.
func decode(v any, into any) {
	data, err := json.Marshal(v)
	if err != nil {
		return
	}
	_ = json.Unmarshal(data, into)
}

func (p *payload) readWorkloads() {
	for _, o := range p.applied {
		switch path := podPaths[groupKind{o.Group(), o.Kind}]; {
		case path != nil:
			p.workloads = append(p.workloads, newWorkload(o, path))
		case o.Group() == "" && o.Kind == "Service":
			p.services = append(p.services, newService(o))
		case o.Group() == "policy" && o.Kind == "PodDisruptionBudget":
			b := &budget{Object: o}
			decode(o.Content["spec"], &b.spec)
			p.budgets = append(p.budgets, b)
		}
	}
	p.readScales()
	for _, w := range p.workloads {
		for _, s := range p.services {
			if len(s.selector) > 0 && s.Namespace == w.Namespace && subset(s.selector, w.labels) && !manifests.Exclusive(s.Object, w.Object) {
				s.selects = append(s.selects, w)
				w.served = w.served || !s.metrics
				w.dns = w.dns || s.dns
			}
		}
		for _, b := range p.budgets {
			if b.Namespace == w.Namespace && b.spec.Selector.matches(w.labels) && !manifests.Exclusive(b.Object, w.Object) {
				b.selects = append(b.selects, w)
			}
		}
	}
}

func newWorkload(o manifests.Object, path []any) *workload {
	w := &workload{Object: o, podPath: path, replicas: 1}
	switch o.Kind {
	case "Pod":
		decode(o.Content["spec"], &w.pod)
		decode(value(o.Content, "metadata", "labels"), &w.labels)
		return w
	default:
		decode(o.Content["spec"], &w.spec)
	}
	template := w.spec.Template
	if o.Kind == "CronJob" {
		template = w.spec.JobTemplate.Spec.Template
	}
	w.labels, w.pod = template.Metadata.Labels, template.Spec
	switch {
	case o.Kind == "DaemonSet":
		w.replicas = everyNode
	case w.spec.Replicas != nil && w.evicted():
		w.replicas = *w.spec.Replicas
	}
	return w
}

// readScales takes the number of replicas from the autoscaler, where one sets it.
func (p *payload) readScales() {
	for _, scaler := range p.byKind[groupKind{"autoscaling", "HorizontalPodAutoscaler"}] {
		for _, w := range p.workloads {
			if w.evicted() && scaler.Namespace == w.Namespace && text(scaler.Content, "spec", "scaleTargetRef", "kind") == w.Kind &&
				text(scaler.Content, "spec", "scaleTargetRef", "name") == w.Name {
				w.replicas = 1
				if least, ok := value(scaler.Content, "spec", "minReplicas").(int64); ok {
					w.replicas = least
				}
			}
		}
	}
}

func newService(o manifests.Object) *service {
	s := &service{Object: o}
	if text(o.Content, "spec", "type") != "ExternalName" {
		decode(value(o.Content, "spec", "selector"), &s.selector)
	}
	ports := list(o.Content, "spec", "ports")
	s.metrics = strings.Contains(o.Name, "metrics") || len(ports) > 0 && !slices.ContainsFunc(ports, func(item any) bool {
		port, _ := item.(map[string]any)
		return !strings.Contains(text(port, "name"), "metrics")
	})
	s.dns = slices.ContainsFunc(ports, func(item any) bool {
		port, _ := item.(map[string]any)
		return port["port"] == int64(53)
	})
	return s
}

// grace is how long the workload's pods have to end, in seconds.
func (w *workload) grace() int64 {
	if n := w.pod.TerminationGracePeriodSeconds; n != nil {
		return *n
	}
	return 30
}

// scaled resolves a number or a percentage of a total, as Kubernetes does
// (intstr.GetScaledValueFromIntOrPercent). ok is false for anything else.
func scaled(v any, total int64, up bool) (n int64, ok bool) {
	switch v := v.(type) {
	case float64: // of JSON
		return int64(v), v == math.Trunc(v)
	case string:
		digits, isPercent := strings.CutSuffix(v, "%")
		percent, err := strconv.ParseInt(digits, 10, 32)
		if !isPercent || err != nil || percent < 0 {
			return 0, false
		}
		if up {
			return (percent*total + 99) / 100, true
		}
		return percent * total / 100, true
	}
	return 0, false
}

var sleepPattern = regexp.MustCompile(`(?:^|[\s;&|/'"])sleep\s+(\d+(?:\.\d+)?)([smh]?)(?:$|[\s;&|'"])`)

// sleeps returns how long the container's preStop hook sleeps, in seconds.
func (c container) sleeps() float64 {
	hook := c.Lifecycle.PreStop
	if hook == nil {
		return 0
	}
	total := float64(hook.Sleep.Seconds)
	for _, m := range sleepPattern.FindAllStringSubmatch(strings.Join(hook.Exec.Command, " "), -1) {
		seconds, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			continue
		}
		total += seconds * map[string]float64{"": 1, "s": 1, "m": 60, "h": 3600}[m[2]]
	}
	return total
}
