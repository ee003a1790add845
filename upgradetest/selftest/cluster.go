package selftest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/slipway-release/slipway/upgradetest"
	"github.com/slipway-release/slipway/upgradetest/session"
)

// Machine is a control plane on which programs can be run.
type Machine interface {
	Name() string
	Address() string
	Exec(ctx context.Context, stdin io.Reader, argv ...string) ([]byte, error)
}

// Target is a cluster in which outages are made. It should be used for nothing else.
type Target struct {
	Config *rest.Config
	Planes []Machine
	// Leader names the machine whose etcd leads.
	Leader func(ctx context.Context) (string, error)
	// Image is that of agnhost, Server that of slipway; see session.Options.
	Image, Server string
}

// upset is an outage made in a cluster.
type upset struct {
	name, what string
	// inject makes it on a control plane.
	inject func(ctx context.Context, t Target, on Machine) (truth, error)
	// backend names the one whose disruption must contain the true length; empty when
	// the length is the cluster's own, and a finding or a disruption is asked for.
	backend func(on Machine) string
	rule    string
	many    bool // it needs several control planes
}

// recovery bounds how long a cluster may take to be whole again. A kubelet waits for up to 5
// minutes before it starts what has ended several times within ten.
const recovery = 7 * time.Minute

// settling is the rest around injections in which the cluster settles.
const settling = 5 * time.Second

// upsets are made in this order. Those of one API server are looked for at its own
// address, for a good balancer hides them.
var upsets = []upset{
	{name: "nothing-cluster", what: "nothing is done for 10 s (A/A)"},
	{name: "frozen-apiserver", what: "an API server is stopped by SIGSTOP for 5 s", backend: directBackend, inject: signalFor("kube-apiserver", 5*time.Second)},
	{name: "unreachable-apiserver", what: "the port of an API server is shut for 3 s, as of a backend that a balancer has dropped", backend: directBackend, inject: shutPort},
	{name: "evicted", what: "a pod that no budget covers is evicted", rule: "evicted-without-budget", inject: evict},
	{name: "killed-apiserver", what: "an API server is ended by SIGKILL in place of SIGTERM", rule: "apiserver-ungraceful", inject: kill("kube-apiserver")},
	{name: "killed-etcd-leader", what: "the leader of etcd is ended by SIGKILL", rule: "container-killed", inject: killLeader},
}

func directBackend(on Machine) string { return upgradetest.DirectBackend(on.Address()) }

// Cluster runs the part that needs a cluster.
func Cluster(ctx context.Context, t Target, o Options) (Report, error) {
	cleanup, err := o.complete()
	if err != nil {
		return Report{}, err
	}
	defer cleanup()
	if len(t.Planes) == 0 {
		return Report{}, errors.New("testing the monitor on a cluster: it has no control plane that programs can be run on")
	}
	r := Report{Hertz: o.Hertz}
	for _, u := range upsets {
		if u.many && len(t.Planes) < 2 {
			continue
		}
		o.Progress(u.what)
		i, err := u.run(ctx, t, o)
		if err != nil {
			return r, fmt.Errorf("injecting %q: %w", u.name, err)
		}
		r.Injections = append(r.Injections, i)
	}
	return r, nil
}

func (u upset) run(ctx context.Context, t Target, o Options) (Injection, error) {
	selected := upgradetest.Selection{upgradetest.BackendAPI, upgradetest.BackendAPICache, upgradetest.BackendDirect, upgradetest.BackendWrite, upgradetest.BackendWatch}
	s, err := session.Start(ctx, t.Config, session.Options{
		Image: t.Image, Server: t.Server, Selected: selected,
		Monitor: upgradetest.Options{SamplesDir: filepath.Join(o.Dir, u.name), Hertz: o.Hertz},
	})
	if err != nil {
		return Injection{}, err
	}
	pause(ctx, settling)
	on := t.Planes[len(t.Planes)-1]
	var length truth
	var injectErr error
	if u.inject == nil {
		pause(ctx, 10*time.Second)
	} else {
		s.Mark(u.name)
		length, injectErr = u.inject(ctx, t, on)
	}
	healthy := t.await(ctx)
	pause(ctx, settling)
	res, err := s.Stop(context.WithoutCancel(ctx))
	err = errors.Join(injectErr, healthy, err)
	if err != nil {
		return Injection{}, err
	}
	return u.judge(res, length, on, o), nil
}

func (u upset) judge(r upgradetest.Result, t truth, on Machine, o Options) Injection {
	i := Injection{Name: u.name, What: u.what, TrueMs: t.bounds()}
	switch {
	case u.inject == nil:
		i.Backend = "all"
		for _, b := range r.Backends {
			if b.Failed > 0 {
				i.Problem += fmt.Sprintf("%s: %d samples failed, and nothing was done; ", b.Label(), b.Failed)
			}
		}
	case u.rule != "":
		i.Backend = "rule " + u.rule
		i.Found = slices.ContainsFunc(r.Findings, func(f upgradetest.Finding) bool { return f.Rule == u.rule })
		if !i.Found {
			i.Problem = "it was missed"
		}
	default:
		i.Backend = u.backend(on) + "/" + upgradetest.New
		for _, b := range slices.Concat(r.Backends, r.Informing) {
			if b.Label() != i.Backend || len(b.Disruptions) == 0 {
				continue
			}
			i.Found = true
			interval := time.Duration(float64(time.Second) / b.Hertz)
			// A server that goes on has much to do first, so an answer takes what it takes.
			i.MeasuredMs, i.LimitMs = measure(b.Disruptions, 0, interval, edge(r)+b.P99Ms)
		}
		i.Problem = compare(i)
	}
	if !r.TesterHealthy && i.Problem != "" {
		i.Doubt = fmt.Sprint(r.TesterReasons)
	}
	return i
}

// await waits until every API server is ready and every node is.
func (t Target) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, recovery)
	defer cancel()
	for {
		var err error
		for _, m := range t.Planes {
			_, e := m.Exec(ctx, nil, "curl", "--silent", "--fail", "--insecure", "--max-time", "3", "--output", "/dev/null", "https://127.0.0.1:6443/readyz")
			err = errors.Join(err, e)
		}
		if err == nil || ctx.Err() != nil {
			if err != nil {
				return fmt.Errorf("waiting for the API servers to be ready again: %w", err)
			}
			return nil
		}
		pause(ctx, 500*time.Millisecond)
	}
}

// signalFor stops a program and lets it go on.
func signalFor(program string, length time.Duration) func(context.Context, Target, Machine) (truth, error) {
	return func(ctx context.Context, _ Target, on Machine) (truth, error) {
		return around(ctx, on, length, []string{"pkill", "-STOP", "-x", program}, []string{"pkill", "-CONT", "-x", program})
	}
}

// shutPort lets a control plane refuse connections to its API server, those that exist
// included.
func shutPort(ctx context.Context, _ Target, on Machine) (truth, error) {
	rule := []string{"INPUT", "-p", "tcp", "--dport", "6443", "!", "-i", "lo", "-j", "REJECT", "--reject-with", "tcp-reset"}
	return around(ctx, on, 3*time.Second, append([]string{"iptables", "-I"}, rule...), append([]string{"iptables", "-D"}, rule...))
}

// around runs a program on a machine, waits, and runs the one that undoes it, whatever
// happens.
func around(ctx context.Context, on Machine, length time.Duration, begin, end []string) (truth, error) {
	var errs []error
	run := func(argv []string) func() {
		return func() {
			_, err := on.Exec(context.WithoutCancel(ctx), nil, argv...)
			errs = append(errs, err)
		}
	}
	t := lasting(ctx, length, run(begin), run(end))
	return t, errors.Join(errs...)
}

func kill(program string) func(context.Context, Target, Machine) (truth, error) {
	return func(ctx context.Context, _ Target, on Machine) (truth, error) {
		_, err := on.Exec(ctx, nil, "pkill", "-KILL", "-x", program)
		pause(ctx, settling)
		return truth{}, err
	}
}

func killLeader(ctx context.Context, t Target, on Machine) (truth, error) {
	if t.Leader != nil {
		name, err := t.Leader(ctx)
		if err != nil {
			return truth{}, err
		}
		if i := slices.IndexFunc(t.Planes, func(m Machine) bool { return m.Name() == name }); i >= 0 {
			on = t.Planes[i]
		}
	}
	return kill("etcd")(ctx, t, on)
}

// unprotected is a workload that no budget covers.
const unprotected = "unprotected"

// evict starts a pod without a budget and evicts it.
func evict(ctx context.Context, t Target, _ Machine) (truth, error) {
	client, err := kubernetes.NewForConfig(t.Config)
	if err != nil {
		return truth{}, err
	}
	labels := map[string]string{"app.kubernetes.io/name": unprotected}
	one := int32(1)
	deployment := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: unprotected, Namespace: upgradetest.Namespace},
		Spec: appsv1.DeploymentSpec{
			Replicas: &one, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{
					Containers:  []corev1.Container{{Name: "pause", Image: t.Image, Args: []string{"pause"}, ImagePullPolicy: corev1.PullIfNotPresent}},
					Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
				},
			},
		},
	}
	deployments := client.AppsV1().Deployments(upgradetest.Namespace)
	if _, err := deployments.Create(ctx, deployment, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return truth{}, err
	}
	defer func() { _ = deployments.Delete(context.WithoutCancel(ctx), unprotected, metav1.DeleteOptions{}) }()
	pod, err := running(ctx, client)
	if err != nil {
		return truth{}, err
	}
	err = client.PolicyV1().Evictions(upgradetest.Namespace).Evict(ctx, &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: pod, Namespace: upgradetest.Namespace}})
	pause(ctx, settling)
	return truth{}, err
}

func running(ctx context.Context, client kubernetes.Interface) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, recovery)
	defer cancel()
	for {
		pods, err := client.CoreV1().Pods(upgradetest.Namespace).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=" + unprotected})
		if err == nil {
			for _, p := range pods.Items {
				if p.Status.Phase == corev1.PodRunning && p.DeletionTimestamp == nil {
					return p.Name, nil
				}
			}
			err = errors.New("no pod of it runs")
		}
		if ctx.Err() != nil {
			return "", fmt.Errorf("waiting for the pod that is to be evicted: %w", err)
		}
		pause(ctx, 200*time.Millisecond)
	}
}
