package upgradetest

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
	"io"
	"time"
)

// visitor is told what a recording holds, in the order of the file.
type visitor struct {
	session func(session) error
	sample  func(sample) error
	mark    func(markFrame) error
	host    func(hostFrame) error
	event   func(eventFrame) error
	ledger  func(Ledger) error
	end     func(endFrame) error
}

// errTorn ends the reading at a frame that was not written completely.
var errTorn = errors.New("torn")

// read goes through a recording. An incomplete frame at its end is passed over,
// as a killed monitor leaves one; damage anywhere else is ErrDamaged.
func read(in io.Reader, v visitor) error {
	r := &reader{in: bufio.NewReaderSize(in, 1<<16), visitor: v, names: []string{""}}
	line := make([]byte, len(formatLine))
	if _, err := io.ReadFull(r.in, line); err != nil || (string(line) != formatLine && string(line) != formatLine1) {
		return damaged("it does not start with %q", formatLine[:len(formatLine)-1])
	}
	for {
		kind, body, err := r.frame()
		if err == io.EOF || err == errTorn {
			break
		}
		if err == nil {
			err = r.dispatch(kind, body)
		}
		if err != nil {
			return err
		}
	}
	if r.head == nil {
		return damaged("it has no session")
	}
	return nil
}

type reader struct {
	in      *bufio.Reader
	visitor visitor
	names   []string
	head    *session
	ended   bool
}

func (r *reader) frame() (byte, []byte, error) {
	var head [frameHeader]byte
	if n, err := io.ReadFull(r.in, head[:]); err != nil {
		if n == 0 && err == io.EOF {
			return 0, nil, io.EOF
		}
		return 0, nil, tornOr(err)
	}
	if head == [frameHeader]byte{} {
		// Space that the file system gave to the file before its bytes came.
		return 0, nil, r.tail(damaged("a frame is empty"), true)
	}
	length := binary.LittleEndian.Uint32(head[:])
	if length > maxFrame {
		return 0, nil, damaged("a frame claims %d bytes", length)
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(r.in, body); err != nil {
		return 0, nil, tornOr(err)
	}
	sum := crc32.Update(crc32.Checksum(head[8:], castagnoli), castagnoli, body)
	if sum != binary.LittleEndian.Uint32(head[4:]) {
		return 0, nil, r.tail(damaged("a checksum does not match"), false)
	}
	return head[8], body, nil
}

// tail returns errTorn when nothing, or only zeros where those are allowed, follows; else err.
func (r *reader) tail(err error, zeros bool) error {
	for {
		b, readErr := r.in.ReadByte()
		if readErr == io.EOF {
			return errTorn
		}
		if readErr != nil {
			return readErr
		}
		if b != 0 || !zeros {
			return err
		}
	}
}

func tornOr(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return errTorn
	}
	return err
}

func (r *reader) dispatch(kind byte, body []byte) error {
	if (r.head == nil) != (kind == kindSession) || r.ended {
		return damaged("a frame of kind %q is out of place", kind)
	}
	switch kind {
	case kindSession:
		return r.session(body)
	case kindName:
		id, n := binary.Uvarint(body)
		if n <= 0 || id != uint64(len(r.names)) || id > maxNames {
			return damaged("a name is out of order")
		}
		r.names = append(r.names, string(body[n:]))
		return nil
	case kindBlock:
		return r.block(body)
	case kindMark:
		return decode(body, r.visitor.mark)
	case kindHost:
		return decode(body, r.visitor.host)
	case kindEvent:
		return decode(body, r.visitor.event)
	case kindLedger:
		return decode(body, r.visitor.ledger)
	case kindEnd:
		r.ended = true
		return decode(body, r.visitor.end)
	}
	return damaged("a frame has the unknown kind %q", kind)
}

func (r *reader) session(body []byte) error {
	return decode(body, func(s session) error {
		if s.Timeout <= 0 || s.Baseline < 0 || len(s.Series) == 0 || len(s.Series) > 1000 {
			return damaged("its session makes no sense")
		}
		for _, series := range s.Series {
			if series.Interval < time.Millisecond || series.Interval > 10*time.Second || series.Offset < 0 || series.Offset > series.Interval {
				return damaged("the grid of series %q makes no sense", series.Name)
			}
		}
		r.head = &s
		return r.visitor.session(s)
	})
}

// decode hands on what a frame holds. Who does not want to know gives no then.
func decode[T any](body []byte, then func(T) error) error {
	if then == nil {
		return nil
	}
	var v T
	d := json.NewDecoder(bytes.NewReader(body))
	if err := d.Decode(&v); err != nil {
		return damaged("a frame is not readable: %v", err)
	}
	return then(v)
}

// Bounds of what a sample can say; they keep arithmetic on outside data from overflowing.
const (
	maxSlot   = 1 << 32
	maxMicros = 1 << 40
)

func (r *reader) block(body []byte) error {
	in := numbers{rest: body}
	count := in.next(maxFrame)
	for range count {
		s := sample{series: int(in.next(uint64(len(r.head.Series)) - 1)), slot: int64(in.next(maxSlot)), class: Class(in.next(255))}
		flags := in.next(255)
		s.reconnected, s.leaving = flags&1 != 0, flags&2 != 0
		for _, d := range [...]*time.Duration{&s.late, &s.dns, &s.connect, &s.tls, &s.firstByte, &s.total} {
			*d = time.Duration(in.next(maxMicros)) * time.Microsecond
		}
		s.status = int(in.next(1 << 16))
		s.server = r.names[in.next(uint64(len(r.names))-1)]
		s.detail = r.names[in.next(uint64(len(r.names))-1)]
		if in.bad {
			return damaged("a block of samples is not readable")
		}
		if err := r.visitor.sample(s); err != nil {
			return err
		}
	}
	if in.bad || len(in.rest) > 0 {
		return damaged("a block of samples is not readable")
	}
	return nil
}

// numbers takes numbers off a block. After the first bad one all are 0.
type numbers struct {
	rest []byte
	bad  bool
}

func (f *numbers) next(limit uint64) uint64 {
	v, n := binary.Uvarint(f.rest)
	if f.bad || n <= 0 || v > limit {
		f.bad = true
		return 0
	}
	f.rest = f.rest[n:]
	return v
}
