package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/template"

	"github.com/spf13/cobra"
	"k8s.io/client-go/util/jsonpath"
	"sigs.k8s.io/yaml"
)

// outputFormats are the values of -o that every command has; a template follows
// its name and "=".
var outputFormats = []string{"text", "json", "yaml", "name", "go-template=", "jsonpath="}

// output is the -o flag of one command.
type output struct {
	format string
	// more are further formats of this command; result.forms has one for each.
	more []string
}

func (o *output) addFlag(cmd *cobra.Command) {
	usage := "text, json, yaml, name, " + strings.Join(append(slices.Clone(o.more), "go-template=TEMPLATE or jsonpath=TEMPLATE"), ", ")
	cmd.Flags().StringVarP(&o.format, "output", "o", "text", usage)
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(o.formats(), cobra.ShellCompDirectiveNoFileComp))
}

func (o *output) formats() []string { return append(slices.Clone(outputFormats), o.more...) }

// result is what a command has to say.
type result struct {
	value any             // for json, yaml and templates
	names []string        // for name: one line each
	text  func(io.Writer) // for people
	forms map[string]func(io.Writer) error
}

// print writes r in the format asked for. A format that does not exist is a
// usage error, before anything is written.
func (o *output) print(w io.Writer, r result) error {
	kind, arg, _ := strings.Cut(o.format, "=")
	switch kind {
	case "text", "":
		r.text(w)
		return nil
	case "name":
		for _, n := range r.names {
			fmt.Fprintln(w, n)
		}
		return nil
	}
	if write := r.forms[kind]; write != nil {
		return write(w)
	}
	data, err := json.MarshalIndent(r.value, "", "  ")
	if err != nil {
		return fmt.Errorf("printing the result: %w", err)
	}
	switch kind {
	case "json":
		_, err = fmt.Fprintln(w, string(data))
	case "yaml":
		if data, err = yaml.JSONToYAML(data); err == nil {
			_, err = w.Write(data)
		}
	case "go-template":
		err = printTemplate(w, arg, data)
	case "jsonpath":
		err = printJSONPath(w, arg, data)
	}
	return err
}

// check refuses a format that does not exist; commands that take long call it
// before they start.
func (o *output) check() error {
	kind, arg, _ := strings.Cut(o.format, "=")
	switch kind {
	case "text", "", "json", "yaml", "name":
		return nil
	case "go-template":
		if _, err := template.New("output").Parse(arg); err != nil {
			return usage(fmt.Errorf("reading --output: %w", err))
		}
		return nil
	case "jsonpath":
		_, err := parseJSONPath(arg)
		return err
	}
	if slices.Contains(o.more, kind) {
		return nil
	}
	return usage(fmt.Errorf("reading --output: %q is none of %s", o.format, strings.Join(o.formats(), ", ")))
}

// parseJSONPath reads a template as kubectl does: braces and the dot before a
// single path may be left out.
func parseJSONPath(text string) (*jsonpath.JSONPath, error) {
	if !strings.Contains(text, "{") && text != "" {
		text = "{." + strings.TrimPrefix(text, ".") + "}"
	}
	path := jsonpath.New("output")
	if err := path.Parse(text); err != nil {
		return nil, usage(fmt.Errorf("reading --output: %w", err))
	}
	return path, nil
}

func printJSONPath(w io.Writer, text string, data []byte) error {
	path, err := parseJSONPath(text)
	if err != nil {
		return err
	}
	var value any
	if err := json.Unmarshal(data, &value); err != nil {
		return err
	}
	var out bytes.Buffer // nothing is printed of a path that leads nowhere
	if err := path.Execute(&out, value); err != nil {
		return usage(fmt.Errorf("printing by jsonpath: %w", err))
	}
	_, err = w.Write(out.Bytes())
	return err
}

func printTemplate(w io.Writer, text string, data []byte) error {
	t, err := template.New("output").Option("missingkey=error").Parse(text)
	if err != nil {
		return usage(fmt.Errorf("reading --output: %w", err))
	}
	var value any
	if err := json.Unmarshal(data, &value); err != nil {
		return err
	}
	if err := t.Execute(w, value); err != nil {
		return usage(fmt.Errorf("printing by template: %w", err))
	}
	return nil
}
