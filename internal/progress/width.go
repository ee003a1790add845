package progress

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

// runeWidth is the number of columns a character takes on a terminal.
func runeWidth(r rune) int {
	if unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

func displayWidth(s string) int {
	n := 0
	for _, r := range s {
		n += runeWidth(r)
	}
	return n
}

// truncate cuts s to at most columns, the last of which is then an ellipsis.
func truncate(s string, columns int) string {
	if displayWidth(s) <= columns {
		return s
	}
	var b strings.Builder
	used := 0
	for _, r := range s {
		w := runeWidth(r)
		if used+w > columns-1 {
			break
		}
		b.WriteRune(r)
		used += w
	}
	if columns > 0 {
		b.WriteRune('…')
	}
	return b.String()
}

// clean makes a line of another program harmless on a terminal: it drops
// escape sequences and control characters, and of text overwritten by carriage
// returns keeps the last.
func clean(s string) string {
	s = strings.TrimRight(s, "\r\n \t")
	if k := strings.LastIndexByte(s, '\r'); k >= 0 {
		s = s[k+1:]
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		if s[i] == 0x1b {
			i += escapeLength(s[i:])
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		i += size
		switch {
		case r == '\t':
			b.WriteByte(' ')
		case !unicode.IsControl(r):
			b.WriteRune(r)
		}
	}
	return strings.TrimSpace(b.String())
}

// escapeLength is the length of the escape sequence that s begins with:
// control sequences (ESC [ … letter), operating system commands (ESC ] … BEL)
// and the two-character ones.
func escapeLength(s string) int {
	if len(s) < 2 {
		return len(s)
	}
	switch s[1] {
	case '[':
		for i := 2; i < len(s); i++ {
			if s[i] >= 0x40 && s[i] <= 0x7e {
				return i + 1
			}
		}
		return len(s)
	case ']':
		for i := 2; i < len(s); i++ {
			if s[i] == 0x07 {
				return i + 1
			}
			if s[i] == 0x1b && i+1 < len(s) && s[i+1] == '\\' {
				return i + 2
			}
		}
		return len(s)
	}
	return 2
}
