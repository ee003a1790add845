package input

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// maxMapping is the size of a mapping file that is read, in bytes.
const maxMapping = 16 << 20

// ParseMapping reads a file of NAME=PULLSPEC, any number on a line with blanks
// between them. # begins a comment at the beginning of a line or behind a blank. All that is
// wrong is reported at once. file names it in messages.
func ParseMapping(file string, data []byte) ([]Override, error) {
	if len(data) > maxMapping {
		return nil, fmt.Errorf("reading mapping file %q: it is larger than %d bytes", file, maxMapping)
	}
	var overrides []Override
	var problems []error
	scanner := bufio.NewScanner(bytes.NewReader(data))
	scanner.Buffer(nil, maxMapping+1)
	for line := 1; scanner.Scan(); line++ {
		for _, word := range strings.Fields(scanner.Text()) {
			if strings.HasPrefix(word, "#") {
				break
			}
			o, err := parseOverride(word)
			if err != nil {
				problems = append(problems, fmt.Errorf("reading line %d of mapping file %q: %w", line, file, err))
				continue
			}
			o.From = fmt.Sprintf("line %d of %q", line, file)
			overrides = append(overrides, o)
		}
	}
	if err := scanner.Err(); err != nil {
		problems = append(problems, fmt.Errorf("reading mapping file %q: %w", file, err))
	}
	return overrides, errors.Join(problems...)
}

// ParseOverrides reads arguments NAME=PULLSPEC.
func ParseOverrides(args []string) ([]Override, error) {
	var overrides []Override
	var problems []error
	for _, arg := range args {
		o, err := parseOverride(arg)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		o.From = fmt.Sprintf("argument %q", arg)
		overrides = append(overrides, o)
	}
	return overrides, errors.Join(problems...)
}

func parseOverride(s string) (Override, error) {
	component, image, ok := strings.Cut(s, "=")
	if !ok || image == "" || !componentName.MatchString(component) {
		return Override{}, fmt.Errorf("%q is not NAME=PULLSPEC, with the name of a component and where its image is", s)
	}
	if strings.ContainsAny(image, "=,;\x00") {
		return Override{}, fmt.Errorf("%q names no image: a pull spec has no '=', ',' or ';'", s)
	}
	return Override{Name: component, Image: image}, nil
}

// CheckDuplicates reports components that are named more than once.
func CheckDuplicates(overrides []Override) error {
	var problems []error
	first := map[string]Override{}
	for _, o := range overrides {
		if before, twice := first[o.Name]; twice {
			problems = append(problems, fmt.Errorf("component %q is given an image twice: %s and %s", o.Name, before.From, o.From))
			continue
		}
		first[o.Name] = o
	}
	return errors.Join(problems...)
}
