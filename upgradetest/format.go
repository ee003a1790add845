package upgradetest

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"
)

// SamplesFile is the name of the recording in its folder.
//
// It starts with the line "slipway-samples 2". Frames follow, only ever added to:
//
//	length of the body   4 bytes, little endian, at most 1 MiB
//	CRC-32C              4 bytes, little endian, over kind and body
//	kind                 1 byte
//	body
//
// Kinds, in the order in which they first appear:
//
//	S  session (JSON), once: start, limits, series with interval and offset of their grid
//	N  name: uvarint id, text; ids count from 1; 0 is the empty text
//	B  block of samples: uvarint count, then per sample, all uvarint: series; slot on the
//	   grid; class; flags (1 = reconnected, 2 = the server was shutting down); late, dns, connect, tls, first byte and
//	   total in microseconds; status; id of the server; id of the detail
//	M  mark (JSON): label, nanoseconds since the start
//	H  host (JSON): jiffies stolen and passed since the last one
//	V  event (JSON): what was seen in the cluster, see Event; version 2
//	L  ledger (JSON): what became of writes, see Ledger; version 2
//	E  end (JSON), once: nanoseconds since the start, wall clock
//
// Late and total count from the intended start, the phases from the actual one.
// A file without E was cut off; a torn frame at its end is ignored. Files of version 1
// are read as well. The recordings of pollers inside the cluster lie in folders beside
// the file, each under the poller's name.
const SamplesFile = "samples.slipway"

const (
	formatLine  = "slipway-samples 2\n"
	formatLine1 = "slipway-samples 1\n"
	maxFrame    = 1 << 20
	frameHeader = 9

	kindSession = 'S'
	kindName    = 'N'
	kindBlock   = 'B'
	kindMark    = 'M'
	kindHost    = 'H'
	kindEvent   = 'V'
	kindLedger  = 'L'
	kindEnd     = 'E'
)

// ErrDamaged says that a recording holds bytes that were not written by a monitor.
var ErrDamaged = errors.New("the recording is damaged")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// session is the head of a recording.
type session struct {
	Start    time.Time     `json:"start"`
	Timeout  time.Duration `json:"timeout"`
	Slow     time.Duration `json:"slow"`
	Baseline time.Duration `json:"baseline"`
	Limits   Limits        `json:"limits"`
	Series   []series      `json:"series"`
}

// series is one backend on its grid: slot k starts Offset + k × Interval after
// the start of the session.
type series struct {
	Name       string        `json:"name"`
	Connection string        `json:"connection"`
	Hertz      float64       `json:"hertz"`
	Interval   time.Duration `json:"interval"`
	Offset     time.Duration `json:"offset"`
	Control    bool          `json:"control,omitempty"`
	Informing  bool          `json:"informing,omitempty"`
}

func (s series) due(slot int64) time.Duration {
	return s.Offset + time.Duration(slot)*s.Interval
}

// slots counts the starts of s up to and including at.
func (s series) slots(at time.Duration) int64 {
	if at < s.Offset {
		return 0
	}
	return int64((at-s.Offset)/s.Interval) + 1
}

// sample is one entry of a recording. Durations are whole microseconds.
type sample struct {
	series                                    int
	slot                                      int64
	class                                     Class
	reconnected, leaving                      bool
	late, dns, connect, tls, firstByte, total time.Duration
	status                                    int
	server, detail                            string
}

type markFrame struct {
	At    time.Duration `json:"at"`
	Label string        `json:"label"`
}

type eventFrame struct {
	At     time.Duration     `json:"at"`
	Lane   string            `json:"lane"`
	Object string            `json:"object"`
	State  string            `json:"state"`
	Detail string            `json:"detail,omitempty"`
	Facts  map[string]string `json:"facts,omitempty"`
}

type hostFrame struct {
	At    time.Duration `json:"at"`
	Steal uint64        `json:"steal"`
	Total uint64        `json:"total"`
}

type endFrame struct {
	At   time.Duration `json:"at"`
	Wall time.Time     `json:"wall"`
}

// writer appends frames. It is not safe for concurrent use.
type writer struct {
	w     io.Writer
	names map[string]uint64
}

// maxNames bounds the table of names; what comes after it is recorded as "(more)".
const maxNames = 4096

func newWriter(w io.Writer, s session) (*writer, error) {
	wr := &writer{w: w, names: map[string]uint64{"": 0}}
	body, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	_, err = w.Write(appendFrame([]byte(formatLine), kindSession, body))
	return wr, err
}

// samples appends batch in one write, names first.
func (w *writer) samples(batch []sample) error {
	if len(batch) == 0 {
		return nil
	}
	var out []byte
	body := binary.AppendUvarint(nil, uint64(len(batch)))
	for _, s := range batch {
		out, s.server = w.name(out, s.server)
		out, s.detail = w.name(out, s.detail)
		body = w.appendSample(body, s)
	}
	_, err := w.w.Write(appendFrame(out, kindBlock, body))
	return err
}

func (w *writer) name(out []byte, name string) ([]byte, string) {
	if len(name) > 200 {
		name = name[:200]
	}
	if _, known := w.names[name]; known {
		return out, name
	}
	if len(w.names) >= maxNames {
		name = "(more)"
		if _, known := w.names[name]; known {
			return out, name
		}
	}
	id := uint64(len(w.names))
	w.names[name] = id
	return appendFrame(out, kindName, append(binary.AppendUvarint(nil, id), name...)), name
}

func (w *writer) appendSample(body []byte, s sample) []byte {
	var flags uint64
	if s.reconnected {
		flags = 1
	}
	if s.leaving {
		flags |= 2
	}
	for _, v := range [...]uint64{
		uint64(s.series), uint64(s.slot), uint64(s.class), flags,
		micros(s.late), micros(s.dns), micros(s.connect), micros(s.tls), micros(s.firstByte), micros(s.total),
		uint64(s.status), w.names[s.server], w.names[s.detail],
	} {
		body = binary.AppendUvarint(body, v)
	}
	return body
}

func (w *writer) json(kind byte, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.w.Write(appendFrame(nil, kind, body))
	return err
}

func appendFrame(out []byte, kind byte, body []byte) []byte {
	sum := crc32.Update(crc32.Checksum([]byte{kind}, castagnoli), castagnoli, body)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(body)))
	out = binary.LittleEndian.AppendUint32(out, sum)
	out = append(out, kind)
	return append(out, body...)
}

func micros(d time.Duration) uint64 {
	if d < 0 {
		return 0
	}
	return uint64(d / time.Microsecond)
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, args...))
}
