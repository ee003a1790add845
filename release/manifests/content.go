package manifests

import (
	"bytes"
	"regexp"
	"strconv"
	"unicode/utf8"

	yaml "go.yaml.in/yaml/v3"
	sigsyaml "sigs.k8s.io/yaml"
)

// contentOf turns a document into what a cluster would make of it. Kubernetes reads
// YAML 1.1, in which `on` is a boolean and 010 is eight; its own library decides such
// values. Documents without any, which are nearly all, are not parsed a second time.
func contentOf(d document, root *yaml.Node) (map[string]any, error) {
	if content, ok := plainObject(d, root); ok {
		return content, nil
	}
	asJSON, err := sigsyaml.YAMLToJSON(d.text)
	if err != nil {
		return nil, err
	}
	return decodeJSON(asJSON)
}

// mayTag reports whether a tag could begin anywhere in the text; that of no type at
// all leaves no trace in a node.
func mayTag(text []byte) bool {
	for i := 0; ; i++ {
		next := bytes.IndexByte(text[i:], '!')
		if next < 0 {
			return false
		}
		if i += next; i == 0 || bytes.IndexByte([]byte(" \t\r\n[{,:?-"), text[i-1]) >= 0 || text[i-1] >= utf8.RuneSelf {
			return true
		}
	}
}

func plainObject(d document, root *yaml.Node) (map[string]any, bool) {
	if mayTag(d.text) {
		return nil, false
	}
	plain, ok := plainContent(root, 0)
	content, isObject := plain.(map[string]any)
	return content, ok && isObject
}

// plainContent converts a tree of values that mean the same in every version of
// YAML. ok is false when one of them might not.
func plainContent(n *yaml.Node, depth int) (value any, ok bool) {
	if depth > maxDepth {
		return nil, false
	}
	switch n.Kind {
	case yaml.MappingNode:
		m := make(map[string]any, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			k := n.Content[i]
			key, ok := plainScalar(k)
			name, isString := key.(string)
			if !ok || !isString || k.Kind != yaml.ScalarNode {
				return nil, false
			}
			if m[name], ok = plainContent(n.Content[i+1], depth+1); !ok {
				return nil, false
			}
		}
		return m, true
	case yaml.SequenceNode:
		items := make([]any, len(n.Content))
		for i, c := range n.Content {
			if items[i], ok = plainContent(c, depth+1); !ok {
				return nil, false
			}
		}
		return items, true
	case yaml.ScalarNode:
		return plainScalar(n)
	}
	return nil, false
}

var (
	wholePattern = regexp.MustCompile(`^(?:0|-?[1-9][0-9]{0,17})$`)
	// Texts that begin with a letter or a slash, options, quantities, addresses and versions.
	stringPattern = regexp.MustCompile(`^(?:[A-Za-z/]|--|-[A-Za-z]|[0-9]+(?:\.[0-9]+)?(?:[KMGT]i|[mkMGsh%])$|[0-9]+(?:\.[0-9]+){2,}(?:/[0-9]+)?$)`)
)

// ambiguous are words that some version of YAML takes for something else than text.
var ambiguous = map[string]bool{}

func init() {
	for _, word := range []string{
		"y", "Y", "yes", "Yes", "YES", "n", "N", "no", "No", "NO", "on", "On", "ON", "off", "Off", "OFF",
		"True", "TRUE", "False", "FALSE", "Null", "NULL",
	} {
		ambiguous[word] = true
	}
}

func plainScalar(n *yaml.Node) (value any, ok bool) {
	if n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		return n.Value, true
	}
	switch v := n.Value; {
	case v == "true", v == "false":
		return v == "true", n.Tag == "!!bool"
	case v == "null", v == "":
		return nil, n.Tag == "!!null"
	case wholePattern.MatchString(v):
		whole, err := strconv.ParseInt(v, 10, 64)
		return whole, err == nil && n.Tag == "!!int"
	case stringPattern.MatchString(v):
		return v, n.Tag == "!!str" && !ambiguous[v]
	}
	return nil, false
}
