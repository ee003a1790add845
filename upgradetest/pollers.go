package upgradetest

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// addPollers adds the recordings of pollers inside the cluster, each in a folder of
// the poller's name, to what the monitor itself has measured.
func (e *evaluation) addPollers(r *Result, dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		p, err := e.poller(filepath.Join(dir, entry.Name(), SamplesFile))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("poller %q: %w", entry.Name(), err)
		}
		p.join(r, entry.Name())
	}
	return nil
}

// poller reads one recording and puts what the monitor saw beside it.
func (e *evaluation) poller(path string) (*evaluation, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	p := &evaluation{}
	if err := read(bufio.NewReader(file), p.visitor()); err != nil {
		return nil, err
	}
	// Marks and events are on the monitor's clock.
	p.session.Start = p.session.Start.Add(-e.offset(filepath.Base(filepath.Dir(path))))
	shift := e.session.Start.Sub(p.session.Start)
	for _, m := range e.marks {
		m.At += shift
		p.marks = append(p.marks, m)
	}
	for _, v := range e.events {
		v.At += shift
		p.events = append(p.events, v)
	}
	p.arrange()
	return p, nil
}

// offset is how far a poller's clock goes before the monitor's. What is less than a
// request takes cannot be told from the way there and back.
func (e *evaluation) offset(poller string) time.Duration {
	for _, v := range e.events {
		if v.Lane != LanePoller || v.Object != poller || v.State != "started" {
			continue
		}
		offset, err1 := time.ParseDuration(v.Facts["clockOffsetMs"] + "ms")
		trip, err2 := time.ParseDuration(v.Facts["roundTripMs"] + "ms")
		if err1 == nil && err2 == nil && offset.Abs() > trip {
			return offset
		}
	}
	return 0
}

// join adds the poller's backends, and why it may have been ill.
func (e *evaluation) join(r *Result, name string) {
	own := Result{}
	for _, t := range e.tracks {
		b := t.upgrade.result(e, e.last)
		b.From = name
		switch {
		case t.series.Control:
			own.Tester.Control = append(own.Tester.Control, b)
		case t.series.Informing:
			r.Informing = append(r.Informing, b)
		default:
			r.Backends = append(r.Backends, b)
		}
	}
	e.judgeTester(&own)
	for _, reason := range own.TesterReasons {
		r.TesterReasons = append(r.TesterReasons, "poller "+name+": "+reason)
	}
	r.Tester.Missed += own.Tester.Missed
	r.Tester.Control = slices.Concat(r.Tester.Control, own.Tester.Control)
}
