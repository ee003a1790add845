package upgradetest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// contents is all that a recording holds, in order.
type contents struct {
	session session
	samples []sample
	others  []string
}

func load(data []byte) (contents, error) {
	var c contents
	err := read(bytes.NewReader(data), visitor{
		session: func(s session) error { c.session = s; return nil },
		sample:  func(s sample) error { c.samples = append(c.samples, s); return nil },
		mark:    func(m markFrame) error { c.others = append(c.others, fmt.Sprint("mark ", m)); return nil },
		host:    func(h hostFrame) error { c.others = append(c.others, fmt.Sprint("host ", h)); return nil },
		end:     func(e endFrame) error { c.others = append(c.others, fmt.Sprint("end ", e)); return nil },
	})
	return c, err
}

func example(t testing.TB) []byte {
	t.Helper()
	var buf bytes.Buffer
	w, err := newWriter(&buf, at20Hz(0))
	if err != nil {
		t.Fatal(err)
	}
	full := sample{slot: 3, class: HTTP5xx, reconnected: true, late: 1, dns: 2000, connect: 3 * time.Microsecond, tls: 4 * time.Millisecond,
		firstByte: 5 * time.Second, total: time.Hour, status: 503, server: "cp2", detail: "503 Service Unavailable"}
	err = errors.Join(w.samples(slots(".x.")), w.json(kindMark, markFrame{At: 7, Label: "nodes"}),
		w.samples([]sample{full}), w.json(kindHost, hostFrame{At: 9, Steal: 1, Total: 200}), w.json(kindEnd, endFrame{At: time.Second, Wall: start}))
	if err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestRecordingIsReadAsWritten(t *testing.T) {
	c, err := load(example(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.samples) != 4 || c.samples[1].class != Refused || c.samples[1].detail != "connection refused" || c.samples[0].server != "cp1" {
		t.Errorf("samples %+v", c.samples)
	}
	want := sample{slot: 3, class: HTTP5xx, reconnected: true, dns: 2 * time.Microsecond, connect: 3 * time.Microsecond, tls: 4 * time.Millisecond,
		firstByte: 5 * time.Second, total: time.Hour, status: 503, server: "cp2", detail: "503 Service Unavailable"}
	if c.samples[3] != want {
		t.Errorf("the last sample is %+v, want %+v", c.samples[3], want)
	}
	if got := strings.Join(c.others, ";"); !strings.HasPrefix(got, "mark {7ns nodes};host {9ns 1 200};end {1s 2026-11-20") {
		t.Errorf("other frames: %s", got)
	}
}

// TestTornTail cuts a recording at every byte: what was complete is read, and
// nothing else.
func TestTornTail(t *testing.T) {
	data := example(t)
	whole, err := load(data)
	if err != nil {
		t.Fatal(err)
	}
	for n := len(formatLine); n < len(data); n++ {
		for _, tail := range []string{"", strings.Repeat("\x00", 64)} {
			c, err := load(append(bytes.Clone(data[:n]), tail...))
			if err != nil && !errors.Is(err, ErrDamaged) {
				t.Fatalf("cut at %d: %v", n, err)
			}
			if err != nil && tail == "" && c.session.Series != nil {
				t.Fatalf("cut at %d behind the session: %v", n, err)
			}
			if len(c.samples) > len(whole.samples) || !slices.Equal(c.samples, whole.samples[:len(c.samples)]) {
				t.Fatalf("cut at %d: samples %+v", n, c.samples)
			}
		}
	}
}

// TestDamageIsFound changes every single byte. No recording is then taken for a
// whole one: reading fails, or stops before the end as at a torn tail.
func TestDamageIsFound(t *testing.T) {
	data := example(t)
	for i := range data {
		changed := bytes.Clone(data)
		changed[i] ^= 0x10
		c, err := load(changed)
		if err == nil && strings.Contains(strings.Join(c.others, ";"), "end") {
			t.Errorf("byte %d was changed, and nobody saw it", i)
		}
	}
}

// FuzzRead: whatever the bytes, reading ends without a panic; and what could be
// read is written and read again as the same.
func FuzzRead(f *testing.F) {
	f.Add(example(f))
	f.Add([]byte(formatLine))
	f.Add(appendFrame([]byte(formatLine), kindSession, []byte(`{"timeout":1,"series":[{"interval":1000000}]}`)))
	f.Add(appendFrame(appendFrame([]byte(formatLine), kindSession, []byte(`{"timeout":1,"series":[{"interval":1000000}]}`)), kindBlock, []byte{1, 0, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := load(data)
		if err != nil && !errors.Is(err, ErrDamaged) {
			t.Fatalf("an error of another kind: %v", err)
		}
		if c.session.Series == nil {
			return
		}
		var buf bytes.Buffer
		w, err := newWriter(&buf, c.session)
		if err != nil {
			return // a time that JSON cannot hold
		}
		for chunk := range slices.Chunk(c.samples, maxBatch) {
			if err := w.samples(chunk); err != nil {
				t.Fatal(err)
			}
		}
		again, err := load(buf.Bytes())
		if err != nil {
			t.Fatalf("what was read cannot be read again: %v", err)
		}
		if !slices.EqualFunc(c.samples, again.samples, sameSample) {
			t.Fatalf("read %+v, then %+v", c.samples, again.samples)
		}
	})
}

// sameSample allows for the bounds of the table of names.
func sameSample(a, b sample) bool {
	if len(a.server) > 200 || len(a.detail) > 200 {
		return true
	}
	if b.server == "(more)" || b.detail == "(more)" {
		a.server, a.detail = b.server, b.detail
	}
	return a == b
}
