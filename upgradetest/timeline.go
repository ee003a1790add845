package upgradetest

import (
	"bufio"
	"bytes"
	_ "embed" // the page
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"html/template"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

//go:embed timeline.html.tmpl
var timelinePage string

var timelineTemplate = template.Must(template.New("timeline").Parse(timelinePage))

// Timeline returns a page that shows a recording and its result: one file that needs
// nothing else, with a lane for every backend, node, API server, member of etcd and
// phase.
func Timeline(samplesDir string, r Result) ([]byte, error) { return timeline("page", samplesDir, r) }

// TimelineFragment is the same as a part of another page, to stand once in it. Its
// style and script keep to themselves.
func TimelineFragment(samplesDir string, r Result) (template.HTML, error) {
	out, err := timeline("fragment", samplesDir, r)
	return template.HTML(out), err
}

func timeline(name, samplesDir string, r Result) ([]byte, error) {
	data, err := collectTimeline(samplesDir, r)
	if err != nil {
		return nil, fmt.Errorf("drawing the samples in %q: %w", samplesDir, err)
	}
	text, err := json.Marshal(data) // which escapes what would end a script
	if err != nil {
		return nil, fmt.Errorf("drawing the samples in %q: %w", samplesDir, err)
	}
	var out bytes.Buffer
	title := "Timeline"
	if r.To.Version != "" {
		title = "Upgrade to " + r.To.Version
	}
	if err := timelineTemplate.ExecuteTemplate(&out, name, struct {
		Title string
		Data  template.JS
	}{title, template.JS(text)}); err != nil {
		return nil, fmt.Errorf("drawing the samples in %q: %w", samplesDir, err)
	}
	return out.Bytes(), nil
}

// drawing is what the page's script gets. Times are milliseconds since Start.
type drawing struct {
	Start   int64        `json:"start"` // milliseconds since 1970
	End     float64      `json:"end"`
	Slow    float64      `json:"slow"`
	Classes []string     `json:"classes"`
	Tracks  []drawnTrack `json:"tracks"`
	Marks   []drawnMark  `json:"marks"`
	States  []drawnState `json:"states"`
	Names   []string     `json:"names"` // of servers and details
	Gaps    []drawnGap   `json:"gaps"`
	Finds   []Finding    `json:"findings"`
}

// drawnTrack is a backend. Samples are bytes in base64, six of each: class, server
// (its index in Names, 255 for none), latency in 0.1 ms and index of the detail in
// Names, both uint16, little endian. Class 254 is a slot without a sample.
type drawnTrack struct {
	Label    string  `json:"label"`
	Kind     string  `json:"kind"` // backend, informing, control
	Offset   float64 `json:"offset"`
	Interval float64 `json:"interval"`
	Samples  string  `json:"samples"`

	bytes []byte
}

type drawnMark struct {
	At    float64 `json:"at"`
	Label string  `json:"label"`
}

type drawnState struct {
	Lane   string  `json:"lane"`
	Object string  `json:"object"`
	State  string  `json:"state"`
	Detail string  `json:"detail,omitempty"`
	From   float64 `json:"from"`
	To     float64 `json:"to"`
}

type drawnGap struct {
	Label   string  `json:"label"`
	From    float64 `json:"from"`
	To      float64 `json:"to"`
	AtLeast float64 `json:"atLeast"`
	AtMost  float64 `json:"atMost"`
	Reason  string  `json:"reason"`
	During  string  `json:"during"`
	Cause   string  `json:"cause,omitempty"`
	Counts  bool    `json:"counts"` // not of an informing backend
}

const (
	noSample    = 254
	sampleBytes = 6
	// maxDrawn bounds the slots of a track: four hours at 50 Hz are 720,000.
	maxDrawn = 2_000_000
)

type drawer struct {
	drawing
	start time.Time
	index map[string]int
	last  time.Duration
}

func collectTimeline(samplesDir string, r Result) (*drawing, error) {
	d := &drawer{index: map[string]int{}}
	d.Classes = classNames[:]
	e := &evaluation{}
	if err := d.file(filepath.Join(samplesDir, SamplesFile), "", e); err != nil {
		return nil, err
	}
	e.arrange()
	entries, err := os.ReadDir(samplesDir)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		path := filepath.Join(samplesDir, entry.Name(), SamplesFile)
		if _, err := os.Stat(path); !entry.IsDir() || err != nil {
			continue
		}
		if err := d.file(path, entry.Name(), &evaluation{}); err != nil {
			return nil, fmt.Errorf("poller %q: %w", entry.Name(), err)
		}
	}
	d.finish(e, r)
	return &d.drawing, nil
}

// file draws the samples of one recording. The first one is the monitor's, whose clock
// the drawing has.
func (d *drawer) file(path, poller string, e *evaluation) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	var shift time.Duration
	first := len(d.Tracks)
	v := visitor{
		session: func(s session) error {
			if d.start.IsZero() {
				d.start, d.Start, d.Slow = s.Start, s.Start.UnixMilli(), milliseconds(s.Slow)
			}
			e.session = s
			shift = s.Start.Sub(d.start)
			for _, series := range s.Series {
				d.Tracks = append(d.Tracks, newTrack(series, poller, shift))
			}
			return nil
		},
		sample: func(s sample) error {
			d.draw(&d.Tracks[first+s.series], s)
			d.last = max(d.last, shift+e.session.Series[s.series].due(s.slot)+s.total)
			return nil
		},
		mark:  e.mark,
		event: e.event,
	}
	return read(bufio.NewReader(file), v)
}

func newTrack(s series, poller string, shift time.Duration) drawnTrack {
	t := drawnTrack{Label: BackendResult{Name: s.Name, Connection: s.Connection, From: poller}.Label(), Kind: "backend",
		Offset: milliseconds(s.Offset + shift), Interval: milliseconds(s.Interval)}
	switch {
	case s.Control:
		t.Kind = "control"
	case s.Informing:
		t.Kind = "informing"
	}
	return t
}

func (d *drawer) draw(t *drawnTrack, s sample) {
	if s.slot >= maxDrawn {
		return
	}
	at := int(s.slot) * sampleBytes
	for len(t.bytes) < at+sampleBytes {
		t.bytes = append(t.bytes, noSample, 255, 0, 0, 0, 0)
	}
	t.bytes[at] = byte(s.class)
	t.bytes[at+1] = byte(d.name(s.server, 255))
	binary.LittleEndian.PutUint16(t.bytes[at+2:], uint16(min(s.total/(100*time.Microsecond), 65535)))
	binary.LittleEndian.PutUint16(t.bytes[at+4:], uint16(d.name(s.detail, 65535)))
}

// name is the index of a name, from 1 as 0 is none, or none when limit are known.
func (d *drawer) name(text string, limit int) int {
	if text == "" {
		return limit % 65535 // 255 for servers, 0 for details
	}
	if i, known := d.index[text]; known && i < limit {
		return i
	}
	if len(d.Names) == 0 {
		d.Names = append(d.Names, "")
	}
	if len(d.Names) >= limit {
		return limit % 65535
	}
	d.index[text] = len(d.Names)
	d.Names = append(d.Names, text)
	return len(d.Names) - 1
}

func (d *drawer) finish(e *evaluation, r Result) {
	for i := range d.Tracks {
		d.Tracks[i].Samples = base64.StdEncoding.EncodeToString(d.Tracks[i].bytes)
	}
	slices.SortStableFunc(d.Tracks, func(a, b drawnTrack) int { return kindOrder(a.Kind) - kindOrder(b.Kind) })
	e.last = max(e.last, d.last)
	d.End = milliseconds(e.last)
	for _, m := range e.marks {
		d.Marks = append(d.Marks, drawnMark{milliseconds(m.At), m.Label})
	}
	for _, lane := range []string{LaneAPIServer, LaneEtcd, LaneNode, LaneOperator, LaneWorkload} {
		for _, p := range e.states(lane, func(period) bool { return true }) {
			if lane == LaneWorkload && (p.State == "available" || strings.HasSuffix(p.Object, " (spec)")) {
				continue
			}
			d.States = append(d.States, drawnState{lane, p.Object, p.State, p.Detail, milliseconds(p.At), milliseconds(p.until)})
		}
	}
	for _, v := range e.events {
		moment := v.Lane == LanePod || v.Lane == LaneEvent || v.Lane == LanePoller || strings.HasSuffix(v.Object, " (spec)")
		if moment && len(d.States) < MaxEvents {
			at := milliseconds(v.At)
			d.States = append(d.States, drawnState{v.Lane, v.Object, v.State, v.Detail, at, at})
		}
	}
	since := func(t time.Time) float64 { return milliseconds(t.Sub(d.start)) }
	for _, list := range [][]BackendResult{r.Backends, r.Informing} {
		for _, b := range list {
			for _, g := range b.Disruptions {
				d.Gaps = append(d.Gaps, drawnGap{b.Label(), since(g.From), since(g.To), g.AtLeastMs, g.AtMostMs, g.Reason, g.During, g.Cause, !slices.ContainsFunc(r.Informing, func(i BackendResult) bool { return i.Label() == b.Label() })})
			}
		}
	}
	slices.SortStableFunc(d.Gaps, func(a, b drawnGap) int { return int(a.From - b.From) })
	d.Finds = r.Findings
}

func kindOrder(kind string) int {
	return slices.Index([]string{"backend", "informing", "control"}, kind)
}
