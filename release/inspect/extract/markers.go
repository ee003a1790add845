package extract

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// span is a range of a file's bytes.
type span struct{ from, to int64 }

// minRoom is how many X a marker has at least. A program may hold the marker's
// name in other places too, to find it by.
const minRoom = 16

// maxRoom bounds how far a marker is followed.
const maxRoom = 4096

// mark fills a marker of a program: the first one that has room. A marker that is
// missing is an error, for the program would not know what it belongs to.
func mark(f *os.File, marker, value string) (span, error) {
	pattern := []byte("\x00" + marker + "\x00X")
	var tooShort error
	for from := int64(0); ; {
		at, err := index(f, pattern, from)
		if err != nil {
			return span{}, err
		}
		if at < 0 {
			break
		}
		room, err := roomAt(f, at, len(pattern)-1)
		if err != nil {
			return span{}, err
		}
		if room >= len(pattern)-1+minRoom {
			if len(value) <= room {
				_, err := f.WriteAt(append([]byte(value), 0), at)
				return span{at, at + int64(len(value)) + 1}, err
			}
			tooShort = fmt.Errorf("marker %s has room for %d bytes, and %q has %d", marker, room, value, len(value))
		}
		from = at + 1
	}
	if tooShort != nil {
		return span{}, tooShort
	}
	return span{}, fmt.Errorf("the program has no marker %s", marker)
}

// roomAt counts the bytes of the marker at a place up to the NUL that ends it; 0
// when nothing ends it.
func roomAt(f *os.File, at int64, head int) (int, error) {
	buf := make([]byte, head+maxRoom)
	n, err := f.ReadAt(buf, at)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	for i := head; i < n; i++ {
		switch buf[i] {
		case 'X':
		case 0:
			return i, nil
		default:
			return 0, nil
		}
	}
	return 0, nil
}

// index finds the first place of a pattern at or behind a position, -1 when there
// is none. It holds a bounded part of the file.
func index(f *os.File, pattern []byte, from int64) (int64, error) {
	const chunk = 1 << 20
	buf := make([]byte, chunk+len(pattern)-1)
	for {
		n, err := f.ReadAt(buf, from)
		if i := bytes.Index(buf[:n], pattern); i >= 0 {
			return from + int64(i), nil
		}
		if errors.Is(err, io.EOF) {
			return -1, nil
		}
		if err != nil {
			return 0, err
		}
		from += chunk
	}
}
