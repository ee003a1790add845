// Package progress shows a person what a long piece of work is doing: a live
// tree on a terminal, plain lines anywhere else. It knows nothing of what the
// work is.
//
// Work is a list of named items, each of which may have items of its own, one
// level deep. A nil *Display and a nil *Item are valid and show nothing, so
// that callers need not ask whether anybody is watching.
package progress

import (
	"io"
	"strings"
	"sync"
	"time"
)

// Status is how an item stands.
type Status int

// The states of an item. Waiting and Running are followed by one of the others.
const (
	Waiting Status = iota
	Running
	Succeeded
	Failed
	Skipped
	Cancelled
)

// String is the word that plain output prints.
func (s Status) String() string {
	return [...]string{"waiting", "started", "succeeded", "failed", "skipped", "cancelled"}[s]
}

// Options says where and how to show.
type Options struct {
	// Terminal asks for the live tree; w must then be a terminal that knows
	// the common ANSI sequences.
	Terminal bool
	// Size gives the terminal's columns and rows; nil or zero values mean 80
	// by 24. It is asked before each redraw, so that resizing is followed.
	Size func() (columns, rows int)
	// ASCII keeps to characters that every terminal can show.
	ASCII bool
	// Color marks how items ended.
	Color bool
	// Bare leaves the time of day out of plain lines: for a process whose
	// parent shows its lines with times of its own.
	Bare bool
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Interval is the time between redraws: 125 ms when zero. Negative means
	// that only Redraw and Close draw.
	Interval time.Duration
}

// Display shows items. Its methods may be called from many goroutines.
type Display struct {
	w    io.Writer
	opts Options

	mu     sync.Mutex
	items  []*Item
	width  int // of the name column, plain output
	drawn  int // lines of the tree on the screen
	frame  int
	closed bool
	end    sync.Once
	stop   chan struct{}
	done   chan struct{}
}

// Item is a piece of work.
type Item struct {
	d        *Display
	parent   *Item
	name     string
	status   Status
	line     string
	note     string
	started  time.Time
	finished time.Time
	children []*Item
}

// New returns a display that writes to w. Close must be called.
func New(w io.Writer, opts Options) *Display {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Interval == 0 {
		opts.Interval = 125 * time.Millisecond
	}
	d := &Display{w: w, opts: opts, width: 10, stop: make(chan struct{}), done: make(chan struct{})}
	if opts.Terminal && opts.Interval > 0 {
		go d.redrawEvery(opts.Interval)
	} else {
		close(d.done)
	}
	return d
}

// Add lists an item that has not begun. In the tree it stands there from the
// beginning; plain output says nothing of it until it starts.
func (d *Display) Add(name string) *Item {
	if d == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.add(nil, name)
}

// Start lists an item and starts it.
func (d *Display) Start(name string) *Item {
	i := d.Add(name)
	i.Begin()
	return i
}

// Start lists an item below i and starts it. Below the second level the line
// of the item is updated instead, for the tree has two.
func (i *Item) Start(name string) *Item {
	if i == nil {
		return nil
	}
	if i.parent != nil {
		i.Update(name)
		return i
	}
	i.d.mu.Lock()
	child := i.d.add(i, name)
	i.d.mu.Unlock()
	child.Begin()
	return child
}

func (d *Display) add(parent *Item, name string) *Item {
	i := &Item{d: d, parent: parent, name: clean(name)}
	if parent == nil {
		d.items = append(d.items, i)
	} else {
		parent.children = append(parent.children, i)
	}
	d.width = max(d.width, displayWidth(i.path()))
	return i
}

// Begin starts an added item, or starts one that has ended once more.
func (i *Item) Begin() {
	if i == nil {
		return
	}
	i.d.mu.Lock()
	defer i.d.mu.Unlock()
	i.status, i.started = Running, i.d.opts.Now()
	i.line, i.note = "", ""
	i.d.plain(i, Running.String())
}

// Update says what the item is doing now. Control characters are dropped, and
// of several lines the last one counts in the tree. The item's own name before a
// line is left out: a program that reports on its work gives it too.
func (i *Item) Update(line string) {
	if i == nil {
		return
	}
	i.d.mu.Lock()
	defer i.d.mu.Unlock()
	for l := range strings.Lines(line) {
		if l = i.withoutName(clean(l)); l != "" && l != i.line {
			i.line = l
			i.d.plain(i, l)
		}
	}
}

func (i *Item) withoutName(line string) string {
	if rest, ok := strings.CutPrefix(line, i.name); ok && (strings.HasPrefix(rest, ": ") || strings.HasPrefix(rest, "/")) {
		return strings.TrimLeft(rest[1:], " ")
	}
	return line
}

// Done ends the item. The note, one line, tells the reader what to know.
func (i *Item) Done(s Status, note string) {
	if i == nil {
		return
	}
	i.d.mu.Lock()
	defer i.d.mu.Unlock()
	i.status, i.note, i.finished = s, clean(firstLine(note)), i.d.opts.Now()
	i.d.plain(i, i.outcome())
}

// Print writes text between the lines of the display: above the tree, or as it
// is in plain output.
func (d *Display) Print(text string) {
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	text = strings.TrimRight(text, "\n") + "\n"
	if d.opts.Terminal && !d.closed {
		d.draw(text)
		return
	}
	_, _ = io.WriteString(d.w, text)
}

// Redraw draws the tree now.
func (d *Display) Redraw() {
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.opts.Terminal && !d.closed {
		d.draw("")
	}
}

// Close draws the tree for the last time and leaves it standing. Later calls
// and updates do nothing.
func (d *Display) Close() {
	if d == nil {
		return
	}
	d.end.Do(func() { close(d.stop) })
	<-d.done
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return
	}
	if d.opts.Terminal {
		d.drawFinal()
	}
	d.closed = true
}

func (d *Display) redrawEvery(interval time.Duration) {
	defer close(d.done)
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-d.stop:
			return
		case <-tick.C:
			d.Redraw()
		}
	}
}

func (i *Item) path() string {
	if i.parent != nil {
		return i.parent.name + "/" + i.name
	}
	return i.name
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	return s
}
