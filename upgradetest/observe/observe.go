package observe

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/slipway-release/slipway/upgradetest"
)

// Sink takes what is seen.
type Sink interface {
	Event(e upgradetest.Event)
	Skip(what ...string)
}

// Observer watches until it is stopped.
type Observer struct {
	sink   Sink
	client kubernetes.Interface
	cancel context.CancelFunc
	users  sync.WaitGroup

	budgets budgets
	start   time.Time
}

// syncWithin bounds the first look at the cluster.
const syncWithin = 20 * time.Second

// Start begins to watch the cluster of config. What cannot be watched is told to sink;
// it is an error only when the cluster does not answer at all.
func Start(ctx context.Context, config *rest.Config, sink Sink) (*Observer, error) {
	config = rest.CopyConfig(config)
	config.UserAgent = "slipway-upgradetest-observer"
	config.QPS, config.Burst = -1, 0
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("watching the cluster: %w", err)
	}
	o := &Observer{sink: sink, client: client, start: time.Now()}
	servers, err := upgradetest.APIServers(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("watching the cluster: %w", err)
	}
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	o.cancel = cancel
	if err := o.inform(life, config); err != nil {
		cancel()
		return nil, err
	}
	o.apiServers(life, config, servers)
	o.etcd(life)
	return o, nil
}

// Stop ends the watching.
func (o *Observer) Stop() {
	o.cancel()
	o.users.Wait()
}

// followed is a kind of objects that is watched.
type followed struct {
	name     string
	informer cache.SharedIndexInformer
	handle   func(before, after any) // nil when they are only looked up
}

// inform follows objects of the API. An informer goes on after the API was away, and
// then shows what has changed meanwhile.
func (o *Observer) inform(ctx context.Context, config *rest.Config) error {
	factory := informers.NewSharedInformerFactory(o.client, 0)
	o.budgets.lister = factory.Policy().V1().PodDisruptionBudgets().Lister()
	wanted := []followed{
		{"budgets", factory.Policy().V1().PodDisruptionBudgets().Informer(), nil},
		{"nodes", factory.Core().V1().Nodes().Informer(), o.node},
		{"pods", factory.Core().V1().Pods().Informer(), o.pod},
		{"deployments", factory.Apps().V1().Deployments().Informer(), o.deployment},
		{"daemonsets", factory.Apps().V1().DaemonSets().Informer(), o.daemonSet},
		{"statefulsets", factory.Apps().V1().StatefulSets().Informer(), o.statefulSet},
		{"events", factory.Core().V1().Events().Informer(), o.event},
		{"leases", factory.Coordination().V1().Leases().Informer(), o.lease},
	}
	start := []func(<-chan struct{}){factory.Start}
	context.AfterFunc(ctx, factory.Shutdown)
	if more, err := o.operators(config); err != nil {
		o.sink.Skip("cluster operators: " + err.Error())
	} else if more != nil {
		operators := more.ForResource(clusterOperators).Informer()
		wanted = append(wanted, followed{"cluster operators", operators, o.operator})
		start = append(start, more.Start)
		context.AfterFunc(ctx, more.Shutdown)
	}
	for _, w := range wanted {
		if err := w.follow(); err != nil {
			return fmt.Errorf("watching %s: %w", w.name, err)
		}
	}
	for _, begin := range start {
		begin(ctx.Done())
	}
	wait, cancel := context.WithTimeout(ctx, syncWithin)
	defer cancel()
	for _, w := range wanted {
		if !cache.WaitForCacheSync(wait.Done(), w.informer.HasSynced) {
			o.sink.Skip(w.name + ": they could not be listed, which may not be allowed")
		}
	}
	return nil
}

func (f followed) follow() error {
	// Until an API server is whole again it refuses much, and is asked again.
	_ = f.informer.SetWatchErrorHandlerWithContext(func(context.Context, *cache.Reflector, error) {})
	_ = f.informer.SetTransform(func(obj any) (any, error) { return trim(obj), nil })
	if f.handle == nil {
		return nil
	}
	_, err := f.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(after any) { f.handle(nil, after) },
		UpdateFunc: func(before, after any) { f.handle(before, after) },
		DeleteFunc: func(before any) {
			if gone, ok := before.(cache.DeletedFinalStateUnknown); ok {
				before = gone.Obj
			}
			f.handle(before, nil)
		},
	})
	return err
}

func (o *Observer) see(lane, object, state, detail string, facts map[string]string) {
	o.sink.Event(upgradetest.Event{Lane: lane, Object: object, State: state, Detail: detail, Facts: facts})
}
