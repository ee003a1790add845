package main

import (
	"fmt"
	"sync"
	"time"

	"github.com/slipway-release/slipway/internal/progress"
)

// showAfter is how long work may take before a person is told of it.
const showAfter = 2 * time.Second

// lateStep shows progress of work that is mostly done before anybody would wonder.
type lateStep struct {
	mu    sync.Mutex
	timer *time.Timer
	item  *progress.Item // nil until it is shown
	done  int
}

func (a *app) lateStep(name string) *lateStep {
	s := &lateStep{}
	s.timer = time.AfterFunc(showAfter, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.timer != nil {
			s.item = a.newDisplay().Start(name)
		}
	})
	return s
}

// count says that one more image is done.
func (s *lateStep) count() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done++
	s.item.Update(fmt.Sprintf("%d images", s.done))
}

func (s *lateStep) finish(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.timer.Stop()
	s.timer = nil
	if s.item != nil {
		finish(s.item, err)
	}
}
