package e2e

import (
	"context"
	"sync"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"
)

// ahead is how many specs are prepared while one runs: enough for pods to be up
// when their spec comes, few enough for two cores.
const ahead = 5

// stage makes namespaces and objects of specs before their time.
type stage struct {
	cluster *cluster
	options Options
	specs   []spec

	mu   sync.Mutex
	sets map[int]*set // by spec, of its first attempt
}

// set is what was prepared for a spec.
type set struct {
	env  *env
	err  error
	done chan struct{}
}

func newStage(cluster *cluster, options Options, specs []spec) *stage {
	return &stage{cluster: cluster, options: options, specs: specs, sets: map[int]*set{}}
}

// perform runs a spec. A second attempt starts from nothing. What is prepared for
// later specs ends with suite, not with ctx.
func (s *stage) perform(ctx, suite context.Context, index, attempt int) {
	spec := s.specs[index]
	var prepared *set
	if attempt > 1 {
		prepared = s.prepare(ctx, spec)
	} else {
		prepared = s.prepared(suite, index)
	}
	select {
	case <-prepared.done:
	case <-ctx.Done():
		ginkgo.Fail("preparing the spec took too long: " + context.Cause(ctx).Error())
	}
	if prepared.env != nil {
		ginkgo.DeferCleanup(func(ctx ginkgo.SpecContext) { prepared.env.finish(ctx, ginkgo.CurrentSpecReport()) }, ginkgo.NodeTimeout(s.options.SpecTimeout))
	}
	gomega.Expect(prepared.err).NotTo(gomega.HaveOccurred(), "preparing the spec")
	spec.run(ctx, prepared.env)
}

// prepared returns the set of a spec and sees to it that those to come are being made.
func (s *stage) prepared(suite context.Context, index int) *set {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := index; i < len(s.specs) && i <= index+ahead; i++ {
		if s.sets[i] == nil && s.specs[i].expectedOn(s.options.Profile) {
			s.sets[i] = s.prepare(suite, s.specs[i])
		}
	}
	return s.sets[index]
}

func (s *stage) prepare(ctx context.Context, spec spec) *set {
	p := &set{done: make(chan struct{})}
	go func() {
		defer close(p.done)
		ctx, cancel := context.WithTimeout(ctx, s.options.SpecTimeout)
		defer cancel()
		p.env, p.err = s.cluster.newEnv(ctx, s.options, spec)
	}()
	return p
}

// clear deletes all namespaces and does not wait for their end.
func (s *stage) clear(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.sets {
		select {
		case <-p.done:
		case <-ctx.Done():
		}
	}
	s.cluster.deleteNamespaces(ctx, s.cluster.run)
}
