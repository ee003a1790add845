package distros

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// decoder turns one YAML document into Go values by the json tags of their
// fields. Other than a library's strict mode it goes on after a mistake, and
// knows the line of every field, so that later checks can name it too.
type decoder struct {
	file string
	// expand replaces $(…) in strings.
	expand   func(string) (string, error)
	lines    map[string]int // field path → line
	problems []Problem
}

// decode reads data into out, a pointer to a struct.
func (d *decoder) decode(data []byte, out any) {
	d.lines = map[string]int{}
	dec := yaml.NewDecoder(strings.NewReader(string(data)))
	var doc yaml.Node
	if err := dec.Decode(&doc); err != nil {
		d.syntax(err)
		return
	}
	var more yaml.Node
	if err := dec.Decode(&more); err == nil {
		d.add(more.Line, "", "there must be one document in this file, not several")
	}
	if len(doc.Content) == 1 {
		d.value("", doc.Content[0], reflect.ValueOf(out).Elem())
	}
}

// syntax reports what the YAML parser says: "yaml: line 3: did not find …".
func (d *decoder) syntax(err error) {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 1
	if n, _ := fmt.Sscanf(text, "line %d: ", &line); n == 1 {
		_, text, _ = strings.Cut(text, ": ")
	}
	if text == "EOF" {
		text = "the file is empty"
	}
	d.add(line, "", "%s", text)
}

func (d *decoder) add(line int, field, format string, args ...any) {
	d.problems = append(d.problems, Problem{File: d.file, Line: line, Field: field, Message: fmt.Sprintf(format, args...)})
}

// reported says whether a field has a problem already.
func (d *decoder) reported(field string) bool {
	return slices.ContainsFunc(d.problems, func(p Problem) bool { return p.Field == field })
}

// line returns where a field stands, or the nearest field above it.
func (d *decoder) line(field string) int {
	for {
		if line, ok := d.lines[field]; ok {
			return line
		}
		cut := strings.LastIndexAny(field, ".[")
		if cut < 0 {
			return max(d.lines[""], 1)
		}
		field = field[:cut]
	}
}

func (d *decoder) value(field string, n *yaml.Node, v reflect.Value) {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if _, known := d.lines[field]; !known {
		d.lines[field] = n.Line
	}
	if n.Tag == "!!null" {
		d.add(n.Line, field, "has no value")
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(field, n, v.Elem())
	case reflect.Struct:
		d.structure(field, n, v)
	case reflect.Map:
		d.mapping(field, n, v)
	case reflect.Slice:
		d.sequence(field, n, v)
	default:
		d.scalar(field, n, v)
	}
}

func (d *decoder) structure(field string, n *yaml.Node, v reflect.Value) {
	fields := map[string]int{}
	for i := range v.NumField() {
		if name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ","); name != "" && name != "-" {
			fields[name] = i
		}
	}
	d.each(field, n, func(key string, line int, value *yaml.Node) {
		at := join(field, key)
		i, ok := fields[key]
		if !ok {
			d.add(line, at, "is not a field; known here are %s", strings.Join(slices.Sorted(maps.Keys(fields)), ", "))
			return
		}
		d.lines[at] = line
		d.value(at, value, v.Field(i))
	})
}

func (d *decoder) mapping(field string, n *yaml.Node, v reflect.Value) {
	v.Set(reflect.MakeMap(v.Type()))
	d.each(field, n, func(key string, line int, value *yaml.Node) {
		at := join(field, key)
		d.lines[at] = line
		e := reflect.New(v.Type().Elem()).Elem()
		d.value(at, value, e)
		v.SetMapIndex(reflect.ValueOf(key), e)
	})
}

// each visits the fields of a mapping, each name once.
func (d *decoder) each(field string, n *yaml.Node, visit func(key string, line int, value *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		d.add(n.Line, field, "must be a mapping of names to values, not %s", kind(n))
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind != yaml.ScalarNode {
			d.add(key.Line, field, "has a name that is %s", kind(key))
			continue
		}
		if first, twice := seen[key.Value]; twice {
			d.add(key.Line, join(field, key.Value), "stands here twice; the first time in line %d", first)
			continue
		}
		seen[key.Value] = key.Line
		visit(key.Value, key.Line, n.Content[i+1])
	}
}

func (d *decoder) sequence(field string, n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.SequenceNode {
		d.add(n.Line, field, "must be a list, not %s", kind(n))
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, item := range n.Content {
		d.value(fmt.Sprintf("%s[%d]", field, i), item, v.Index(i))
	}
}

func (d *decoder) scalar(field string, n *yaml.Node, v reflect.Value) {
	want, tag := "a string", "!!str"
	if v.Kind() == reflect.Bool {
		want, tag = "true or false", "!!bool"
	}
	if n.Kind != yaml.ScalarNode || n.Tag != tag {
		hint := ""
		if n.Kind == yaml.ScalarNode && v.Kind() == reflect.String {
			hint = fmt.Sprintf("; write %q", n.Value)
		}
		d.add(n.Line, field, "must be %s, not %s%s", want, kind(n), hint)
		return
	}
	if v.Kind() == reflect.Bool {
		v.SetBool(n.Value == "true")
		return
	}
	text := n.Value
	if d.expand != nil {
		expanded, err := d.expand(text)
		if err != nil {
			d.add(n.Line, field, "%v", err)
			return
		}
		text = expanded
	}
	v.SetString(text)
}

func join(field, key string) string {
	if field == "" {
		return key
	}
	return field + "." + key
}

// kind names what stands in a file where something else should.
func kind(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.Tag {
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "true or false"
	case "!!null":
		return "nothing"
	case "!!timestamp":
		return "a date"
	}
	return "a string"
}
