package main

import (
	"fmt"
	"sync"
	"time"

	"github.com/slipway-release/slipway/internal/progress"
)

const (
	quietFor = 2 * time.Second // before anything is shown
	sayEvery = time.Second
)

// slowProgress shows what a command does once it takes longer than a person
// waits gladly.
type slowProgress struct {
	app   *app
	name  string
	begun time.Time

	mu      sync.Mutex
	display *progress.Display
	item    *progress.Item
	said    time.Time
}

func (a *app) slowProgress(name string) *slowProgress {
	return &slowProgress{app: a, name: name, begun: time.Now()}
}

// read says how many components were read.
func (p *slowProgress) read(read, all int) {
	if time.Since(p.begun) > quietFor {
		p.say(fmt.Sprintf("%d of %d components read", read, all))
	}
}

// say shows a line, unless one was shown just now.
func (p *slowProgress) say(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.begun) < quietFor || time.Since(p.said) < sayEvery {
		return
	}
	if p.display == nil {
		p.display = p.app.newDisplay()
		p.item = p.display.Start(p.name)
	}
	p.item.Update(line)
	p.said = time.Now()
}

func (p *slowProgress) done(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.display != nil {
		finish(p.item, err)
		p.display.Close()
	}
}
