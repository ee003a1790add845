package manifests

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// Substitute puts images and versions in place in every string value of a
// manifest file: keys, comments and all other bytes stay as they are. The result is parsed again and
// compared value by value with what it should be before it is returned. The
// error is of type Problems.
func Substitute(file string, data []byte, s Substitution) ([]byte, error) {
	var problems Problems
	docs, err := split(data)
	if err != nil {
		problems.flaw(Unreadable, file, 0, "%v", err)
		return nil, problems.Err()
	}
	var out bytes.Buffer
	for _, d := range docs {
		out.Write(s.document(d, file, &problems))
	}
	if err := problems.Err(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// edit is a new value for one scalar.
type edit struct {
	node  *yaml.Node
	value string
	quote bool // write the value anew, in double quotes
}

func (s *Substitution) document(d document, file string, problems *Problems) []byte {
	root, err := d.parse()
	if err != nil {
		line, msg := d.locate(err)
		problems.flaw(Unreadable, file, line, "reading YAML: %s", msg)
		return nil
	}
	if root == nil {
		return d.text
	}
	var edits []*edit
	before := len(*problems)
	s.collect(root, 0, func(n *yaml.Node, value string) {
		edits = append(edits, &edit{node: n, value: value})
	}, func(n *yaml.Node, msg string) {
		problems.add(file, n.Line+d.line-1, "%s", msg)
	})
	if len(edits) == 0 || len(*problems) > before {
		return d.text
	}
	// A value written with escapes, or one that would turn from a string into a
	// number, does not come out right at first and is then written anew.
	for range 2 {
		text, failed := s.splice(d, root, edits)
		if len(failed) == 0 {
			return text
		}
		for _, e := range failed {
			e.quote = true
		}
	}
	for _, e := range edits {
		if e.quote {
			problems.add(file, e.node.Line+d.line-1, "replacing %q: the value is written in a way that cannot be changed safely", e.node.Value)
		}
	}
	return nil
}

// collect finds the string values that change. Anchored values are visited where they stand.
func (s *Substitution) collect(n *yaml.Node, depth int, change func(*yaml.Node, string), problem func(*yaml.Node, string)) {
	if depth > maxDepth {
		problem(n, "values are nested too deeply")
		return
	}
	switch n.Kind {
	case yaml.MappingNode:
		for i := 1; i < len(n.Content); i += 2 {
			s.collect(n.Content[i], depth+1, change, problem)
		}
	case yaml.SequenceNode:
		for _, c := range n.Content {
			s.collect(c, depth+1, change, problem)
		}
	case yaml.ScalarNode:
		if n.ShortTag() != "!!str" {
			return
		}
		value, msgs := s.rewrite(n.Value)
		for _, msg := range msgs {
			problem(n, msg)
		}
		if value != n.Value {
			change(n, value)
		}
	}
}

// splice writes the edits into the document's bytes and returns those that did
// not come out as they should; all of them when the document's shape changed.
func (s *Substitution) splice(d document, root *yaml.Node, edits []*edit) ([]byte, []*edit) {
	var failed []*edit
	pieces := make([]piece, 0, len(edits))
	at := newLines(d.text)
	for _, e := range edits {
		start, body, end, err := at.scalar(e.node)
		switch {
		case err != nil:
			failed = append(failed, e)
		case e.quote:
			pieces = append(pieces, piece{start, end, quoted(e.value)})
		default:
			text, _ := s.rewrite(string(d.text[body:end]))
			pieces = append(pieces, piece{body, end, text})
		}
	}
	if len(failed) > 0 {
		return nil, failed
	}
	result := document{text: replace(d.text, pieces), line: d.line}
	parsed, err := result.parse()
	if err != nil || parsed == nil {
		return nil, edits
	}
	wanted := make(map[*yaml.Node]*edit, len(edits))
	for _, e := range edits {
		wanted[e.node] = e
	}
	failed, same := compare(root, parsed, wanted)
	if !same {
		return nil, edits
	}
	return result.text, failed
}

// piece is new text for the bytes [start, end).
type piece struct {
	start, end int
	text       string
}

func replace(text []byte, pieces []piece) []byte {
	slices.SortFunc(pieces, func(a, b piece) int { return cmp.Compare(a.start, b.start) })
	var out bytes.Buffer
	pos := 0
	for _, p := range pieces {
		out.Write(text[pos:max(pos, p.start)])
		out.WriteString(p.text)
		pos = max(pos, p.end)
	}
	out.Write(text[pos:])
	return out.Bytes()
}

// compare walks two trees side by side. It returns the edits whose node did not
// get its value, and whether everything else is the same.
func compare(was, is *yaml.Node, wanted map[*yaml.Node]*edit) (failed []*edit, same bool) {
	e := wanted[was]
	value := was.Value
	if e != nil {
		value = e.value
	}
	if was.Kind != is.Kind || len(was.Content) != len(is.Content) || was.Anchor != is.Anchor {
		return nil, false
	}
	if is.Value != value || was.ShortTag() != is.ShortTag() {
		if e == nil {
			return nil, false
		}
		return []*edit{e}, true
	}
	for i := range was.Content {
		f, ok := compare(was.Content[i], is.Content[i], wanted)
		if !ok {
			return nil, false
		}
		failed = append(failed, f...)
	}
	return failed, true
}

// quoted writes a value as a JSON string, which every YAML parser reads.
func quoted(value string) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		return `""` // a string always encodes
	}
	return strings.TrimSuffix(b.String(), "\n")
}
