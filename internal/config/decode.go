// Package config reads configuration files strictly: YAML documents into Go values,
// with every mistake at once, each with its file, line and field.
package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// Problem is a mistake in a configuration file.
type Problem struct {
	File    string
	Line    int
	Field   string // path such as layers[0].go.module; empty for the whole file
	Message string
}

func (p Problem) String() string {
	if p.Field == "" {
		return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Message)
	}
	return fmt.Sprintf("%s:%d: %s: %s", p.File, p.Line, p.Field, p.Message)
}

// Error is everything that is wrong with a configuration.
type Error struct{ Problems []Problem }

func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Decoder turns one YAML document into Go values by the json tags of their
// fields. Other than a library's strict mode it goes on after a mistake, and
// knows the line of every field, so that later checks can name it too.
type Decoder struct {
	// File names the document in problems.
	File string
	// Expand replaces $(…) in strings; nil leaves them as they are.
	Expand func(string) (string, error)
	// Problems are those found so far.
	Problems []Problem

	lines map[string]int // field path → line
	// aliases is how many aliases are being followed, expanded how many values stand
	// behind those followed so far.
	aliases, expanded int
}

// maxExpanded bounds what aliases stand for: a short document can hold billions of values
// by naming parts of itself again and again.
const maxExpanded = 100_000

// Decode reads data into out, a pointer to a struct or a map.
func (d *Decoder) Decode(data []byte, out any) {
	d.lines = map[string]int{}
	d.aliases, d.expanded = 0, 0
	dec := yaml.NewDecoder(strings.NewReader(string(data)))
	var doc yaml.Node
	if err := dec.Decode(&doc); err != nil {
		d.syntax(err)
		return
	}
	var more yaml.Node
	if err := dec.Decode(&more); err == nil {
		d.Add(more.Line, "", "there must be one document in this file, not several")
	}
	if len(doc.Content) == 1 {
		d.value("", doc.Content[0], reflect.ValueOf(out).Elem())
	}
}

// syntax reports what the YAML parser says: "yaml: line 3: did not find …".
func (d *Decoder) syntax(err error) {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 1
	if n, _ := fmt.Sscanf(text, "line %d: ", &line); n == 1 {
		_, text, _ = strings.Cut(text, ": ")
	}
	if text == "EOF" {
		text = "the file is empty"
	}
	d.Add(line, "", "%s", text)
}

// Add reports a problem.
func (d *Decoder) Add(line int, field, format string, args ...any) {
	d.Problems = append(d.Problems, Problem{File: d.File, Line: line, Field: field, Message: fmt.Sprintf(format, args...)})
}

// Reported says whether a field has a problem already.
func (d *Decoder) Reported(field string) bool {
	return slices.ContainsFunc(d.Problems, func(p Problem) bool { return p.Field == field })
}

// Line returns where a field stands, or the nearest field above it.
func (d *Decoder) Line(field string) int {
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

func (d *Decoder) value(field string, n *yaml.Node, v reflect.Value) {
	if n.Kind == yaml.AliasNode {
		d.aliases++
		defer func() { d.aliases-- }()
		n = n.Alias
	}
	if d.aliases > 0 {
		if d.expanded++; d.expanded > maxExpanded {
			if d.expanded == maxExpanded+1 {
				d.Add(n.Line, field, "aliases stand for more than %d values in this file; write them out, or in several files", maxExpanded)
			}
			return
		}
	}
	if _, known := d.lines[field]; !known {
		d.lines[field] = n.Line
	}
	if n.Tag == "!!null" {
		d.Add(n.Line, field, "has no value")
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

func (d *Decoder) structure(field string, n *yaml.Node, v reflect.Value) {
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
			d.Add(line, at, "is not a field; known here are %s", strings.Join(slices.Sorted(maps.Keys(fields)), ", "))
			return
		}
		d.lines[at] = line
		d.value(at, value, v.Field(i))
	})
}

func (d *Decoder) mapping(field string, n *yaml.Node, v reflect.Value) {
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
func (d *Decoder) each(field string, n *yaml.Node, visit func(key string, line int, value *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		d.Add(n.Line, field, "must be a mapping of names to values, not %s", kind(n))
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content) && d.expanded <= maxExpanded; i += 2 {
		key := n.Content[i]
		if key.Kind != yaml.ScalarNode {
			d.Add(key.Line, field, "has a name that is %s", kind(key))
			continue
		}
		if first, twice := seen[key.Value]; twice {
			d.Add(key.Line, join(field, key.Value), "stands here twice; the first time in line %d", first)
			continue
		}
		seen[key.Value] = key.Line
		visit(key.Value, key.Line, n.Content[i+1])
	}
}

func (d *Decoder) sequence(field string, n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.SequenceNode {
		d.Add(n.Line, field, "must be a list, not %s", kind(n))
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, item := range n.Content {
		if d.expanded > maxExpanded {
			return
		}
		d.value(fmt.Sprintf("%s[%d]", field, i), item, v.Index(i))
	}
}

func (d *Decoder) scalar(field string, n *yaml.Node, v reflect.Value) {
	want, tag := "a string", "!!str"
	switch v.Kind() {
	case reflect.Bool:
		want, tag = "true or false", "!!bool"
	case reflect.Int:
		want, tag = "a whole number", "!!int"
	}
	// A date is written without quotes and means its text.
	if n.Kind != yaml.ScalarNode || (n.Tag != tag && (v.Kind() != reflect.String || n.Tag != "!!timestamp")) {
		hint := ""
		if n.Kind == yaml.ScalarNode && v.Kind() == reflect.String {
			hint = fmt.Sprintf("; write %q", n.Value)
		}
		d.Add(n.Line, field, "must be %s, not %s%s", want, kind(n), hint)
		return
	}
	if v.Kind() == reflect.Bool {
		v.SetBool(n.Value == "true")
		return
	}
	if v.Kind() == reflect.Int {
		i, err := strconv.Atoi(n.Value)
		if err != nil {
			d.Add(n.Line, field, "must be a whole number in decimal digits, not %s", n.Value)
		}
		v.SetInt(int64(i))
		return
	}
	text := n.Value
	if d.Expand != nil {
		expanded, err := d.Expand(text)
		if err != nil {
			d.Add(n.Line, field, "%v", err)
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
