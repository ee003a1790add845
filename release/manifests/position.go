package manifests

import (
	"bytes"
	"errors"
	"unicode"
	"unicode/utf8"

	yaml "go.yaml.in/yaml/v3"
)

// maxDepth bounds how deep values are nested; no manifest comes near it.
const maxDepth = 200

var errNotFound = errors.New("its place in the file cannot be found")

// lines gives byte offsets for the lines and columns of YAML nodes.
type lines struct {
	text   []byte
	starts []int

	// Where the last node began. The next one mostly stands behind it, perhaps on
	// one line of megabytes that must not be counted through for each of its values.
	line, column, pos int
}

func newLines(text []byte) *lines {
	l := &lines{text: text}
	pos := 0
	if bytes.HasPrefix(text, []byte("\ufeff")) { // the parser does not count a byte order mark
		pos = len("\ufeff")
	}
	for pos < len(text) {
		l.starts = append(l.starts, pos)
		pos += lineLength(text[pos:])
	}
	return l
}

// offset of a node's first byte. Columns count characters.
func (l *lines) offset(n *yaml.Node) (int, error) {
	if n.Line < 1 || n.Line > len(l.starts) {
		return 0, errNotFound
	}
	if n.Line != l.line || n.Column < l.column {
		l.line, l.column, l.pos = n.Line, 1, l.starts[n.Line-1]
	}
	for ; l.column < n.Column; l.column++ {
		if l.pos >= len(l.text) {
			return 0, errNotFound
		}
		_, size := utf8.DecodeRune(l.text[l.pos:])
		l.pos += size
	}
	return l.pos, nil
}

// scalar returns the bytes [start, end) at which a scalar stands, quotes or the
// mark of a block included, anchor and tag not. Behind the line of such a mark,
// which can bear a comment, the value itself begins at body.
func (l *lines) scalar(n *yaml.Node) (start, body, end int, err error) {
	if start, err = l.offset(n); err != nil {
		return 0, 0, 0, err
	}
	start = l.skipProperties(start)
	if start >= len(l.text) {
		return 0, 0, 0, errNotFound
	}
	body = start
	switch c := l.text[start]; {
	case c == '"':
		end = closingDouble(l.text, start)
	case c == '\'':
		end = closingSingle(l.text, start)
	case (c == '|' || c == '>') && n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		body = start + lineLength(l.text[start:])
		end = l.follow(body, n.Value)
	default:
		end = l.follow(start, n.Value)
	}
	if end <= body {
		return 0, 0, 0, errNotFound
	}
	return start, body, end, nil
}

// skipProperties steps over the anchor and the tag before a value.
func (l *lines) skipProperties(pos int) int {
	for pos < len(l.text) && (l.text[pos] == '&' || l.text[pos] == '!') {
		for pos < len(l.text) && !isSpace(l.text[pos:]) {
			pos++
		}
		for pos < len(l.text) && isSpace(l.text[pos:]) {
			_, size := utf8.DecodeRune(l.text[pos:])
			pos += size
		}
	}
	return pos
}

func isSpace(b []byte) bool {
	r, _ := utf8.DecodeRune(b)
	return unicode.IsSpace(r) || r == '\ufeff'
}

func closingDouble(text []byte, start int) int {
	for i := start + 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

func closingSingle(text []byte, start int) int {
	for i := start + 1; i < len(text); i++ {
		if text[i] != '\'' {
			continue
		}
		if i+1 < len(text) && text[i+1] == '\'' {
			i++
			continue
		}
		return i + 1
	}
	return -1
}

// follow returns the end of a value that is written as it is, plain or in a
// block. Line folding and indentation change nothing but white space, so the other
// characters of the value are found in the text in their order.
func (l *lines) follow(pos int, value string) int {
	end := -1
	for _, r := range value {
		if unicode.IsSpace(r) {
			continue
		}
		for pos < len(l.text) && isSpace(l.text[pos:]) {
			_, size := utf8.DecodeRune(l.text[pos:])
			pos += size
		}
		got, size := utf8.DecodeRune(l.text[min(pos, len(l.text)):])
		if got != r {
			return -1
		}
		pos += size
		end = pos
	}
	return end
}
