package progress_test

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/slipway-release/slipway/internal/golden"
	"github.com/slipway-release/slipway/internal/progress"
)

// clock is moved by the test.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock {
	return &clock{now: time.Date(2026, 11, 20, 12, 3, 4, 0, time.UTC)}
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// terminal understands what the display writes and shows what a person would
// see. A line that is too long, or a sequence that it does not know, is an error.
type terminal struct {
	t             *testing.T
	columns, rows int
	screen        []string // from the first line ever written
	row           int
	col           int
}

func (s *terminal) Write(p []byte) (int, error) {
	text := string(p)
	for text != "" {
		switch {
		case strings.HasPrefix(text, "\x1b["):
			end := strings.IndexFunc(text[2:], func(r rune) bool { return r >= '@' && r <= '~' }) + 2
			s.control(text[2:end], text[end])
			text = text[end+1:]
		case text[0] == '\n':
			s.row, s.col, text = s.row+1, 0, text[1:]
		case text[0] == '\r':
			s.col, text = 0, text[1:]
		default:
			r, size := utf8.DecodeRuneInString(text)
			s.put(r)
			text = text[size:]
		}
	}
	return len(p), nil
}

func (s *terminal) control(args string, verb byte) {
	n, _ := strconv.Atoi(args)
	switch verb {
	case 'A':
		if n >= s.rows {
			s.t.Errorf("the cursor goes up %d lines on a screen of %d", n, s.rows)
		}
		s.row -= n
	case 'K':
		s.screen[s.line()] = string([]rune(s.screen[s.row])[:s.col])
	case 'J':
		s.screen = s.screen[:s.line()+1]
		s.screen[s.row] = string([]rune(s.screen[s.row])[:s.col])
	case 'm', 'h', 'l':
	default:
		s.t.Errorf("unknown sequence ESC [ %s %c", args, verb)
	}
}

func (s *terminal) line() int {
	for len(s.screen) <= s.row {
		s.screen = append(s.screen, "")
	}
	return s.row
}

func (s *terminal) put(r rune) {
	line := []rune(s.screen[s.line()])
	for len(line) <= s.col {
		line = append(line, ' ')
	}
	line[s.col] = r
	s.col++
	s.screen[s.row] = string(line)
	if s.col >= s.columns {
		s.t.Errorf("line %q is as wide as the terminal or wider", string(line))
	}
}

func (s *terminal) String() string {
	return strings.TrimRight(strings.Join(s.screen, "\n"), "\n") + "\n"
}

// story is the same work for every way of showing it. It calls look at moments
// worth looking at.
func story(d *progress.Display, c *clock, look func(string)) {
	lock, build, test, promote := d.Add("lock"), d.Add("build"), d.Add("conformance"), d.Add("promote")
	lock.Begin()
	c.add(1500 * time.Millisecond)
	lock.Done(progress.Succeeded, "412 inputs")
	build.Begin()
	etcd := build.Start("etcd")
	dns := build.Start("coredns")
	etcd.Update("compiling ./server\nlinking")
	dns.Update("\x1b[32mfetching\x1b[0m 10%\rfetching 90%\t\x07")
	c.add(72 * time.Second)
	look("running")
	etcd.Done(progress.Succeeded, "")
	dns.Done(progress.Failed, "main.go:7: undefined: x\nand more")
	build.Update("build: 1 of 2 failed")
	build.Update("build/coredns: main.go:7")
	c.add(time.Second)
	build.Done(progress.Failed, "component \"coredns\" does not compile")
	d.Print("a message\nof two lines")
	test.Begin()
	test.Update("世界世界世界世界世界世界世界世界世界世界世界世界世界世界世界世界世界世界世界世界世界世界")
	c.add(3*time.Hour + 7*time.Minute)
	look("later")
	test.Done(progress.Cancelled, "")
	promote.Done(progress.Skipped, "another task failed")
}

func TestTree(t *testing.T) {
	for _, tc := range []struct {
		name          string
		columns, rows int
		ascii, color  bool
	}{
		{name: "wide", columns: 80, rows: 24},
		{name: "narrow", columns: 28, rows: 24, ascii: true},
		{name: "low", columns: 60, rows: 4, color: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			screen := &terminal{t: t, columns: tc.columns, rows: tc.rows}
			c := newClock()
			d := progress.New(screen, progress.Options{
				Terminal: true, Size: func() (int, int) { return tc.columns, tc.rows }, ASCII: tc.ascii, Color: tc.color, Now: c.Now, Interval: -1,
			})
			var out strings.Builder
			look := func(what string) {
				d.Redraw()
				fmt.Fprintf(&out, "== %s\n%s", what, screen)
			}
			story(d, c, look)
			d.Close()
			d.Close()
			fmt.Fprintf(&out, "== in the end\n%s", screen)
			golden.Check(t, "testdata/tree-"+tc.name+".txt", out.String())
		})
	}
}

func TestPlain(t *testing.T) {
	for _, bare := range []bool{false, true} {
		var out bytes.Buffer
		c := newClock()
		d := progress.New(&out, progress.Options{Bare: bare, Now: c.Now})
		story(d, c, func(string) {})
		d.Close()
		golden.Check(t, fmt.Sprintf("testdata/plain-bare-%v.txt", bare), out.String())
	}
}

func TestNilShowsNothing(t *testing.T) {
	var d *progress.Display
	i := d.Start("x")
	i.Start("y").Update("z")
	i.Done(progress.Failed, "")
	d.Print("x")
	d.Redraw()
	d.Close()
}

func TestThirdLevelBecomesALine(t *testing.T) {
	var out bytes.Buffer
	d := progress.New(&out, progress.Options{Bare: true})
	d.Start("a").Start("b").Start("c")
	d.Close()
	if want := "a: started\na/b: started\na/b: c\n"; out.String() != want {
		t.Errorf("output is %q, want %q", out.String(), want)
	}
}

// TestManyAtOnce is for the race detector, with the display redrawing by itself.
func TestManyAtOnce(t *testing.T) {
	screen := &terminal{t: t, columns: 80, rows: 24}
	d := progress.New(screen, progress.Options{Terminal: true, Interval: time.Millisecond})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			item := d.Start(fmt.Sprintf("item-%d", i))
			for k := range 50 {
				child := item.Start(strconv.Itoa(k))
				child.Update("working")
				child.Done(progress.Succeeded, "")
			}
			item.Done(progress.Succeeded, "done")
		})
	}
	wg.Wait()
	var closers sync.WaitGroup
	for range 3 {
		closers.Go(d.Close)
	}
	closers.Wait()
	if got := strings.Count(screen.String(), "✓ item-"); got != 8 {
		t.Errorf("the last tree has %d items, want 8:\n%s", got, screen)
	}
}

func FuzzUpdate(f *testing.F) {
	f.Add("plain")
	f.Add("\x1b[31mred\x1b[0m\r\x1b]0;title\x07x\x1b")
	f.Add("\xff\xfe\u0301世")
	f.Fuzz(func(t *testing.T, line string) {
		var out bytes.Buffer
		d := progress.New(&out, progress.Options{Bare: true})
		d.Start("a").Update(line)
		d.Close()
		for _, r := range strings.ReplaceAll(out.String(), "\n", "") {
			if r < 0x20 || (r >= 0x7f && r < 0xa0) {
				t.Fatalf("control character %q reaches the output %q", r, out.String())
			}
		}
	})
}
