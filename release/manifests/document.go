package manifests

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	yaml "go.yaml.in/yaml/v3"
)

// document is one document of a file.
type document struct {
	text   []byte
	offset int // of text in the file, in bytes
	line   int // in the file at which text begins, from 1
}

// split cuts a file at its document marks. Positions of the parts stay known.
func split(data []byte) ([]document, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("the file is not UTF-8")
	}
	if bytes.IndexByte(data, 0) >= 0 {
		return nil, errors.New("the file holds a NUL byte")
	}
	var docs []document
	current := document{line: 1}
	for pos, line := 0, 1; pos < len(data); line++ {
		end := pos + lineLength(data[pos:])
		if pos > current.offset && isDocumentMark(data[pos:end]) {
			current.text = data[current.offset:pos]
			docs = append(docs, current)
			current = document{offset: pos, line: line}
		}
		pos = end
	}
	current.text = data[current.offset:]
	return append(docs, current), nil
}

func isDocumentMark(line []byte) bool {
	if !bytes.HasPrefix(line, []byte("---")) {
		return false
	}
	return len(line) == 3 || strings.ContainsRune(" \t\r\n", rune(line[3]))
}

// leftover returns the line in the file of text that stands behind the
// document's end mark, "...", where no parser of Kubernetes reads on; 0 when there is none.
func (d document) leftover() int {
	ended := false
	for pos, line := 0, d.line; pos < len(d.text); line++ {
		length := lineLength(d.text[pos:])
		text := bytes.TrimRight(d.text[pos:pos+length], " \t\r\n")
		switch rest, found := bytes.CutPrefix(text, []byte("...")); {
		case found && (len(rest) == 0 || rest[0] == ' ' || rest[0] == '\t'):
			ended = true
		case ended && len(text) > 0 && text[0] != '#' && text[0] != '%':
			return line
		}
		pos += length
	}
	return 0
}

// lineLength returns the bytes of the first line, its end included, with the
// line ends that YAML 1.1 knows: CR, LF, both, NEL, LS and PS.
func lineLength(data []byte) int {
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		i += size
		switch r {
		case '\r':
			if i < len(data) && data[i] == '\n' {
				i++
			}
			return i
		case '\n', '\u0085', '\u2028', '\u2029':
			return i
		}
	}
	return len(data)
}

var errorLine = regexp.MustCompile(`line (\d+): `)

// locate takes the line out of a YAML error and gives it as one of the file's.
func (d document) locate(err error) (int, string) {
	msg := strings.TrimPrefix(err.Error(), "error converting YAML to JSON: ")
	msg = strings.TrimPrefix(msg, "yaml: ")
	m := errorLine.FindStringSubmatchIndex(msg)
	if m == nil {
		return d.line, msg
	}
	line, convErr := strconv.Atoi(msg[m[2]:m[3]])
	if convErr != nil {
		return d.line, msg
	}
	return d.line + line - 1, msg[:m[0]] + msg[m[1]:]
}

// parse returns the content node of the document, nil when it has none.
func (d document) parse() (*yaml.Node, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(plainTabs(d.text), &doc); err != nil {
		return nil, err
	}
	if doc.Kind == 0 || len(doc.Content) == 0 {
		return nil, nil
	}
	n := doc.Content[0]
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return nil, nil
	}
	return n, nil
}

// plainTabs replaces the tabs that indent a JSON document by blanks. JSON allows
// them there and YAML does not; inside strings JSON allows none, so positions and values stay.
func plainTabs(text []byte) []byte {
	if trimmed := bytes.TrimLeft(text, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '{' || !json.Valid(text) {
		return text
	}
	return bytes.ReplaceAll(text, []byte("\t"), []byte(" "))
}
