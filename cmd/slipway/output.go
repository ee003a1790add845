package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/template"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"
)

// outputFormats are the values of -o; a template follows its name and "=".
var outputFormats = []string{"text", "json", "yaml", "name", "go-template="}

// output is the -o flag of one command.
type output struct{ format string }

func (o *output) addFlag(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&o.format, "output", "o", "text", "text, json, yaml, name or go-template=TEMPLATE")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(outputFormats, cobra.ShellCompDirectiveNoFileComp))
}

// result is what a command has to say.
type result struct {
	value any             // for json, yaml and templates
	names []string        // for name: one line each
	text  func(io.Writer) // for people
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
	}
	return usage(fmt.Errorf("reading --output: %q is none of %s", o.format, strings.Join(outputFormats, ", ")))
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
