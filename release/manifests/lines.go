package manifests

import (
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// Lines finds the lines of an object's values in its file.
type Lines struct {
	root  *yaml.Node
	shift int // added to the lines of root
	first int // of the object
}

// Lines reads the object's document once more. Objects do not keep what is
// needed for lines: it takes more memory than all else, and only problems ask for it.
func (o Object) Lines() Lines {
	l := Lines{first: o.Line, shift: o.doc.line - 1}
	if root, err := o.doc.parse(); err == nil {
		l.root = root
	}
	return l
}

// Of returns the line of a value, given by the keys (string) and indexes (int) that
// lead to it: Of("spec", "containers", 0, "image"). Where the way ends early, it is the line of the
// last value on it. Keys that a merge brings are not looked for.
func (l Lines) Of(path ...any) int {
	_, line := l.find(path)
	return line
}

// Within returns the lines of a YAML document that an object holds as a text, like a
// ConfigMap does, under path. Only a text written as a block (|) has lines of its own;
// of any other, they all are the line of the text.
func (l Lines) Within(path ...any) Lines {
	n, line := l.find(path)
	inner := Lines{first: line}
	if n == nil || !isBlock(n) {
		return inner
	}
	var document yaml.Node
	if yaml.Unmarshal([]byte(n.Value), &document) == nil && len(document.Content) > 0 {
		inner.root, inner.shift = document.Content[0], n.Line+l.shift
	}
	return inner
}

// OfText returns the line of the nth line, from 1, of a text under path. As with Within, only
// a block has lines of its own.
func (l Lines) OfText(n int, path ...any) int {
	text, line := l.find(path)
	if text == nil || !isBlock(text) || n < 1 {
		return line
	}
	return text.Line + l.shift + min(n, strings.Count(text.Value, "\n")+1)
}

func isBlock(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Style&yaml.LiteralStyle != 0
}

// find follows a path: the value at its end, nil where it ends early, and the line of
// the last key or item on it.
func (l Lines) find(path []any) (*yaml.Node, int) {
	if l.root == nil {
		return nil, l.first
	}
	n, line := l.root, l.root.Line
	for _, step := range path {
		var next *yaml.Node
		n = resolve(n)
		switch step := step.(type) {
		case string:
			for i := 0; n != nil && n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
				if n.Content[i].Value == step {
					line, next = n.Content[i].Line, n.Content[i+1]
				}
			}
		case int:
			if n != nil && n.Kind == yaml.SequenceNode && step >= 0 && step < len(n.Content) {
				next = n.Content[step]
				line = next.Line
			}
		}
		if n = next; n == nil {
			break
		}
	}
	return resolve(n), line + l.shift
}

// Containing returns the line of the first value in which a text stands, or else
// that of the object.
func (l Lines) Containing(text string) int {
	if n := findScalar(l.root, text, 0); n != nil {
		return n.Line + l.shift
	}
	return l.first
}

// resolve follows an alias to the value it stands for.
func resolve(n *yaml.Node) *yaml.Node {
	for range maxDepth {
		if n == nil || n.Kind != yaml.AliasNode {
			return n
		}
		n = n.Alias
	}
	return nil
}

func findScalar(n *yaml.Node, text string, depth int) *yaml.Node {
	if n == nil || depth > maxDepth {
		return nil
	}
	if n.Kind == yaml.ScalarNode && strings.Contains(n.Value, text) {
		return n
	}
	for _, c := range n.Content {
		if found := findScalar(c, text, depth+1); found != nil {
			return found
		}
	}
	return nil
}
