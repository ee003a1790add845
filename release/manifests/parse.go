package manifests

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"path"
	"strconv"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// Object is one Kubernetes object of a manifest file.
type Object struct {
	File       string
	Line       int // of the document's first line that is content
	APIVersion string
	Kind       string
	Namespace  string
	Name       string
	// Content is the object as JSON knows it: map[string]any, []any, string, bool, int64, float64, nil.
	Content map[string]any

	doc document
}

// Group is the API group, "" for the core one.
func (o Object) Group() string {
	group, _, found := strings.Cut(o.APIVersion, "/")
	if !found {
		return ""
	}
	return group
}

// String names the object for messages: "Deployment kube-system/coredns".
func (o Object) String() string {
	if o.Namespace == "" {
		return o.Kind + " " + o.Name
	}
	return o.Kind + " " + o.Namespace + "/" + o.Name
}

// Document returns the bytes of the file that the object stands in, the mark
// before it included: documents one behind the other are a file again.
func (o Object) Document() []byte { return o.doc.text }

// Annotations returns the object's annotations; other values than strings are left out.
func (o Object) Annotations() map[string]string {
	meta, _ := o.Content["metadata"].(map[string]any)
	raw, _ := meta["annotations"].(map[string]any)
	annotations := make(map[string]string, len(raw))
	for k, v := range raw {
		if s, ok := v.(string); ok {
			annotations[k] = s
		}
	}
	return annotations
}

// Key says which object it is, whatever version of its API is spoken.
func (o Object) Key() string {
	return o.Group() + "\x00" + o.Kind + "\x00" + o.Namespace + "\x00" + o.Name
}

// IsManifest reports whether a payload's file is read as a manifest at all.
func IsManifest(file string) bool {
	switch path.Ext(file) {
	case ".yaml", ".yml", ".json":
		return true
	}
	return false
}

// Parse reads every document of a YAML or JSON file. Documents without content
// are skipped. Each must have apiVersion, kind and metadata.name, and
// metadata.namespace where the kind lives in one. The error is of type Problems and
// holds all that is wrong; the objects that are well are returned with it.
func Parse(data []byte, file string) ([]Object, error) {
	var problems Problems
	var objects []Object
	docs, err := split(data)
	if err != nil {
		problems.flaw(Unreadable, file, 0, "%v", err)
		return nil, problems.Err()
	}
	for _, d := range docs {
		if o, ok := parseDocument(d, file, &problems); ok {
			objects = append(objects, o)
		}
	}
	return objects, problems.Err()
}

func parseDocument(d document, file string, problems *Problems) (Object, bool) {
	if line := d.leftover(); line > 0 {
		problems.flaw(Unreadable, file, line, "behind the end of a document (...) stands text that nobody reads; begin a new document with ---")
		return Object{}, false
	}
	node, err := d.parse()
	if err != nil {
		line, msg := d.locate(err)
		problems.flaw(Unreadable, file, line, "reading YAML: %s", msg)
		return Object{}, false
	}
	if node == nil {
		return Object{}, false
	}
	o := Object{File: file, Line: node.Line + d.line - 1, doc: d}
	if node.Kind != yaml.MappingNode {
		problems.flaw(Unreadable, file, o.Line, "the document is no object")
		return Object{}, false
	}
	if line, key := duplicateKey(node, 0); key != "" {
		problems.flaw(Unreadable, file, line+d.line-1, "key %q stands twice in one mapping", key)
		return Object{}, false
	}
	if o.Content, err = contentOf(d, node); err != nil {
		line, msg := d.locate(err)
		problems.flaw(Unreadable, file, line, "reading YAML: %s", msg)
		return Object{}, false
	}
	return o, o.identify(problems)
}

// identify fills what names the object and reports what is missing.
func (o *Object) identify(problems *Problems) bool {
	before := len(*problems)
	meta, _ := o.Content["metadata"].(map[string]any)
	fields := []struct {
		path     string
		from     map[string]any
		to       *string
		required bool
	}{
		{"apiVersion", o.Content, &o.APIVersion, true},
		{"kind", o.Content, &o.Kind, true},
		{"metadata.name", meta, &o.Name, true},
		{"metadata.namespace", meta, &o.Namespace, false},
	}
	for _, f := range fields {
		value, found := f.from[path.Ext("." + f.path)[1:]]
		s, isString := value.(string)
		switch {
		case found && value != nil && !isString:
			problems.flaw(MissingField, o.File, o.Line, "%s is not a string", f.path)
		case f.required && s == "":
			problems.flaw(MissingField, o.File, o.Line, "%s is missing", f.path)
		}
		*f.to = s
	}
	if len(*problems) == before && o.Namespace == "" && namespaced(o.Group(), o.Kind) {
		problems.flaw(MissingNamespace, o.File, o.Line, "metadata.namespace of %s %q is missing", o.Kind, o.Name)
	}
	return len(*problems) == before
}

// duplicateKey finds a key that a mapping holds twice. Which of the two counts
// differs between parsers, so neither may.
func duplicateKey(n *yaml.Node, depth int) (int, string) {
	if depth > maxDepth {
		return 0, ""
	}
	if n.Kind == yaml.MappingNode {
		seen := map[string]bool{}
		for i := 0; i < len(n.Content); i += 2 {
			k := n.Content[i]
			if k.Kind == yaml.ScalarNode && k.Tag != "!!merge" {
				if seen[k.Value] {
					return k.Line, k.Value
				}
				seen[k.Value] = true
			}
		}
	}
	for _, c := range n.Content {
		if line, key := duplicateKey(c, depth+1); key != "" {
			return line, key
		}
	}
	return 0, ""
}

func decodeJSON(data []byte) (map[string]any, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var content map[string]any
	if err := dec.Decode(&content); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one value")
	}
	converted, err := convertNumbers(content)
	if err != nil {
		return nil, err
	}
	return converted.(map[string]any), nil
}

// convertNumbers makes int64 of whole numbers and float64 of the rest, the way
// Kubernetes' own decoders do; a large integer must not lose its last digits in a float.
func convertNumbers(v any) (any, error) {
	var err error
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			if v[k], err = convertNumbers(v[k]); err != nil {
				return nil, err
			}
		}
	case []any:
		for i := range v {
			if v[i], err = convertNumbers(v[i]); err != nil {
				return nil, err
			}
		}
	case json.Number:
		if i, err := strconv.ParseInt(v.String(), 10, 64); err == nil {
			return i, nil
		}
		return v.Float64()
	}
	return v, nil
}
