package pipelines

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// document is one YAML document of a file.
type document struct {
	file  string
	first int // the line of the file that the document's text begins at
	text  []byte
	root  *yamlv3.Node // for line numbers; nil when it did not parse
}

// split cuts a file at its `---` lines. Documents without content are left out.
func split(file string, data []byte) []*document {
	var docs []*document
	start, first, line := 0, 1, 1
	emit := func(end int) {
		if text := data[start:end]; hasContent(text) {
			docs = append(docs, &document{file: file, first: first, text: text})
		}
	}
	for pos := 0; pos < len(data); line++ {
		next := len(data)
		if k := bytes.IndexByte(data[pos:], '\n'); k >= 0 {
			next = pos + k + 1
		}
		if l := bytes.TrimRight(data[pos:next], "\r\n"); bytes.Equal(l, []byte("---")) || bytes.HasPrefix(l, []byte("--- ")) {
			emit(pos)
			start, first = next, line+1
			if rest := bytes.TrimSpace(l[3:]); len(rest) > 0 && rest[0] != '#' {
				start, first = pos+3, line // content on the separator's own line
			}
		}
		pos = next
	}
	emit(len(data))
	return docs
}

func hasContent(text []byte) bool {
	for l := range bytes.Lines(text) {
		if l = bytes.TrimSpace(l); len(l) > 0 && l[0] != '#' && !bytes.Equal(l, []byte("...")) {
			return true
		}
	}
	return false
}

var yamlLine = regexp.MustCompile(`line (\d+): (.*)`)

// toJSON converts the text, refusing duplicate keys.
func (d *document) toJSON() ([]byte, Problems) {
	var root yamlv3.Node
	if err := yamlv3.Unmarshal(d.text, &root); err == nil && len(root.Content) == 1 {
		d.root = root.Content[0]
	}
	data, err := yaml.YAMLToJSONStrict(d.text)
	if err == nil {
		return data, nil
	}
	var ps Problems
	last := bytes.Count(bytes.TrimSuffix(d.text, []byte("\n")), []byte("\n")) + bytes.Count(d.text, []byte("\r")) + 1
	for _, m := range yamlLine.FindAllStringSubmatch(err.Error(), -1) {
		n, _ := strconv.Atoi(m[1])
		n = max(1, min(n, last)) // the parser may name the line behind the end
		ps = append(ps, Problem{File: d.file, Line: d.first + n - 1, Message: m[2]})
	}
	if len(ps) == 0 {
		ps = Problems{{File: d.file, Line: d.first, Message: strings.TrimPrefix(err.Error(), "yaml: ")}}
	}
	return nil, ps
}

// decode reads JSON made by toJSON into a value and reports every unknown
// field, or the first field of a wrong type.
func (d *document) decode(data []byte, into any) Problems {
	strict, err := kjson.UnmarshalStrict(data, into)
	var ps Problems
	for _, e := range strict {
		var f kjson.FieldError
		if errors.As(e, &f) {
			ps = append(ps, d.problem(f.FieldPath(), "unknown field"))
			continue
		}
		ps = append(ps, d.problem("", e.Error()))
	}
	if err == nil {
		return ps
	}
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return append(ps, d.problem(pathAt(data, wrong.Offset), fmt.Sprintf("cannot be %s, must be %s", wrong.Value, kindName(wrong.Type.Kind().String()))))
	}
	return append(ps, d.problem("", strings.TrimPrefix(err.Error(), "json: ")))
}

// kindName is the word for a Go kind that a writer of YAML knows.
func kindName(kind string) string {
	switch {
	case kind == "struct" || kind == "map" || kind == "ptr":
		return "a mapping"
	case kind == "slice" || kind == "array":
		return "a list"
	case kind == "bool":
		return "true or false"
	case strings.HasPrefix(kind, "int") || strings.HasPrefix(kind, "uint"):
		return "a whole number"
	case strings.HasPrefix(kind, "float"):
		return "a number"
	}
	return "a " + kind
}

// problem is a Problem of this document, its line that of the field.
func (d *document) problem(field, message string) Problem {
	return Problem{File: d.file, Line: d.line(field), Field: field, Message: message}
}

// line finds the line of a field path; of a path that leads nowhere, the line
// of the deepest part that exists.
func (d *document) line(field string) int {
	if d.root == nil {
		return d.first
	}
	node, line := d.root, d.root.Line
	for _, part := range splitPath(field) {
		next, at := step(node, part)
		if next == nil {
			// Tekton leaves taskSpec out of some of its paths.
			if inner, _ := step(node, "taskSpec"); inner != nil {
				next, at = step(inner, part)
			}
		}
		if next == nil {
			break
		}
		node, line = next, at
	}
	return d.first + line - 1
}

// step goes from a node to its part and says in which line the part is named.
// A part of a list is an index, or the value of the key "name" of an item.
func step(node *yamlv3.Node, part string) (*yamlv3.Node, int) {
	switch node.Kind {
	case yamlv3.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == part {
				return node.Content[i+1], node.Content[i].Line
			}
		}
	case yamlv3.SequenceNode:
		if n, err := strconv.Atoi(part); err == nil && n >= 0 && n < len(node.Content) {
			return node.Content[n], node.Content[n].Line
		}
		for _, item := range node.Content {
			if nameOf(item) == part {
				return item, item.Line
			}
		}
	}
	return nil, 0
}

func nameOf(node *yamlv3.Node) string {
	if node.Kind != yamlv3.MappingNode {
		return ""
	}
	if v, _ := step(node, "name"); v != nil {
		return v.Value
	}
	return ""
}

// splitPath takes a.b[2].c[name] apart.
func splitPath(field string) []string {
	return strings.FieldsFunc(field, func(r rune) bool { return r == '.' || r == '[' || r == ']' })
}

// level is one nesting of a JSON text that is being walked.
type level struct {
	array bool
	index int
	key   string
	isKey bool // the next token of an object is a key
}

func (l *level) advance() {
	if l.array {
		l.index++
		return
	}
	l.isKey = true
}

// pathAt finds the path of the value that ends at, or holds, an offset of a
// JSON text.
func pathAt(data []byte, offset int64) string {
	var stack []level
	dec := json.NewDecoder(bytes.NewReader(data))
	for {
		token, err := dec.Token()
		if err != nil {
			return ""
		}
		top := len(stack) - 1
		if delim, ok := token.(json.Delim); ok && (delim == '}' || delim == ']') {
			if dec.InputOffset() >= offset {
				stack = stack[:top]
				return pathOf(stack)
			}
			stack = stack[:top]
			if top--; top >= 0 {
				stack[top].advance()
			}
			continue
		}
		if top >= 0 && !stack[top].array && stack[top].isKey {
			stack[top].key, stack[top].isKey = token.(string), false
			continue
		}
		if dec.InputOffset() >= offset {
			return pathOf(stack)
		}
		switch token {
		case json.Delim('{'):
			stack = append(stack, level{isKey: true})
		case json.Delim('['):
			stack = append(stack, level{array: true})
		default:
			if top >= 0 {
				stack[top].advance()
			}
		}
	}
}

func pathOf(stack []level) string {
	var b strings.Builder
	for _, l := range stack {
		switch {
		case l.array:
			fmt.Fprintf(&b, "[%d]", l.index)
		case l.key != "":
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			b.WriteString(l.key)
		}
	}
	return b.String()
}
