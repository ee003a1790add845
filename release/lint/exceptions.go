package lint

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	yaml "go.yaml.in/yaml/v3"

	"github.com/slipway-release/slipway/internal/wildcard"
)

// AnnotationPrefix begins the annotations by which an object is excepted from a
// rule: lint.slipway.dev/<rule>: "reason; until=2027-01-31".
const AnnotationPrefix = "lint.slipway.dev/"

const (
	dateLayout     = "2006-01-02"
	exceptionsKind = "LintExceptions"
)

// Exception says why a finding is meant, and for how long.
type Exception struct {
	Rule string `json:"rule" yaml:"rule"` // name or id
	// Object and File choose the findings; at least one is given. In both, *
	// stands for any characters: "Deployment kube-system/*".
	Object string `json:"object,omitempty" yaml:"object"`
	File   string `json:"file,omitempty" yaml:"file"` // as findings call it, or its end after a slash
	Reason string `json:"reason" yaml:"reason"`
	// Until is the last day on which the exception holds, 2027-01-31, in UTC.
	Until string `json:"until" yaml:"until"`
	// Source is where the exception stands: "file:line".
	Source string `json:"source" yaml:"-"`

	at     place
	inside bool // it is an annotation
}

// ParseExceptions reads a file of exceptions. All that is wrong is reported at
// once, with file and line. An exception that has expired is none of that: Run reports it.
func ParseExceptions(data []byte, file string) ([]Exception, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document exceptionFile
	if err := decodeExceptions(decoder, &document); err != nil {
		return nil, fmt.Errorf("reading exceptions %s: %w", file, err)
	}
	var problems []error
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		problems = append(problems, fmt.Errorf("reading exceptions %s: the file holds more than one document; put all exceptions into the first", file))
	}
	var all []Exception
	for i := range document.Exceptions {
		n := &document.Exceptions[i]
		e, err := parseException(n)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s:%d: exceptions[%d]: %w", file, n.Line, i, err))
			continue
		}
		e.Source = fmt.Sprintf("%s:%d", file, n.Line)
		e.at = place{file: file, line: n.Line, object: e.Object}
		all = append(all, e)
	}
	return all, errors.Join(problems...)
}

// exceptionFile is a file of exceptions; its items are read one by one, each with its line.
type exceptionFile struct {
	APIVersion string      `yaml:"apiVersion"`
	Kind       string      `yaml:"kind"`
	Exceptions []yaml.Node `yaml:"exceptions"`
}

// decodeExceptions reads the first document. What it is comes first: of another
// kind of file, no field is wrong.
func decodeExceptions(decoder *yaml.Decoder, document *exceptionFile) error {
	var root yaml.Node
	err := decoder.Decode(&root)
	if errors.Is(err, io.EOF) {
		return errors.New("the file is empty")
	}
	if err != nil {
		return err
	}
	err = root.Decode(document)
	if document.APIVersion != "slipway.dev/v1alpha1" || document.Kind != exceptionsKind {
		return fmt.Errorf("kind is %q in %q, expected %s in slipway.dev/v1alpha1", document.Kind, document.APIVersion, exceptionsKind)
	}
	if err != nil {
		return typeError(err)
	}
	return unknownFields(root.Content[0], "apiVersion", "kind", "exceptions")
}

func unknownFields(n *yaml.Node, known ...string) error {
	var problems []error
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if k := n.Content[i]; !slices.Contains(known, k.Value) {
			problems = append(problems, fmt.Errorf("line %d: there is no field %q", k.Line, k.Value))
		}
	}
	return errors.Join(problems...)
}

// typeError puts what a YAML parser says on one line.
func typeError(err error) error {
	var wrong *yaml.TypeError
	if errors.As(err, &wrong) {
		return errors.New(strings.Join(wrong.Errors, "; "))
	}
	return err
}

func parseException(n *yaml.Node) (Exception, error) {
	var e Exception
	if err := n.Decode(&e); err != nil {
		return e, typeError(err)
	}
	if err := unknownFields(n, "rule", "object", "file", "reason", "until"); err != nil {
		return e, err
	}
	if err := e.check(); err != nil {
		return e, err
	}
	if e.Object == "" && e.File == "" {
		return e, errors.New("object and file are both missing; one of them must say which findings are meant")
	}
	return e, nil
}

func (e *Exception) check() error {
	var problems []string
	r, known := Find(e.Rule)
	switch {
	case !known:
		problems = append(problems, fmt.Sprintf("there is no rule %q", e.Rule))
	case r.check == nil:
		problems = append(problems, fmt.Sprintf("rule %s allows no exceptions", r.Name))
	}
	if strings.TrimSpace(e.Reason) == "" {
		problems = append(problems, "the reason is missing")
	}
	if _, err := time.Parse(dateLayout, e.Until); err != nil {
		problems = append(problems, fmt.Sprintf("until is %q, not a day such as 2027-01-31", e.Until))
	}
	if len(problems) > 0 {
		return errors.New(strings.Join(problems, "; "))
	}
	return nil
}

// expired reports whether the exception's last day is over.
func (e *Exception) expired(now time.Time) bool {
	last, err := time.Parse(dateLayout, e.Until)
	return err != nil || !now.UTC().Before(last.AddDate(0, 0, 1))
}

func (e *Exception) matches(f Finding) bool {
	if r, ok := Find(e.Rule); !ok || r.ID != f.ID {
		return false
	}
	if e.Object != "" && !wildcard.Match(e.Object, f.Object) {
		return false
	}
	if e.inside {
		return e.at.file == f.name
	}
	return e.File == "" || wildcard.Match(e.File, f.File) || wildcard.Match("*/"+e.File, f.File)
}

// parseAnnotation reads "reason; until=2027-01-31".
func parseAnnotation(rule, value string) (Exception, error) {
	e := Exception{Rule: rule, inside: true}
	e.Reason = strings.TrimSpace(value)
	if i := strings.LastIndexByte(value, ';'); i >= 0 {
		if until, ok := strings.CutPrefix(strings.TrimSpace(value[i+1:]), "until="); ok {
			e.Reason, e.Until = strings.TrimSpace(value[:i]), strings.TrimSpace(until)
		}
	}
	return e, e.check()
}

// exceptions are all that a run knows, and what became of them.
type exceptions struct {
	p     *payload
	now   time.Time
	all   []*Exception
	used  map[*Exception]bool
	wrong []Finding
}

func (p *payload) exceptions() *exceptions {
	x := &exceptions{p: p, now: p.options.Now, used: map[*Exception]bool{}}
	for _, e := range p.options.Exceptions {
		x.all = append(x.all, &e)
	}
	for _, o := range p.objects {
		annotations := o.Annotations()
		for _, key := range sortedKeys(annotations) {
			rule, ok := strings.CutPrefix(key, AnnotationPrefix)
			if !ok {
				continue
			}
			where := at(o, "metadata", "annotations", key)
			where.line = o.Lines().Of(where.path...)
			e, err := parseAnnotation(rule, annotations[key])
			if err != nil {
				x.wrong = append(x.wrong, p.finding(invalidException, where, fmt.Sprintf("annotation %s of %s: %v", key, o, err)))
				continue
			}
			e.Object, e.at = o.String(), where
			e.Source = fmt.Sprintf("%s:%d", p.options.Origin(o.File), where.line)
			x.all = append(x.all, &e)
		}
	}
	return x
}

// cover returns the exception that holds for a finding, nil when none does.
func (x *exceptions) cover(f Finding) *Exception {
	var holds *Exception
	for _, e := range x.all {
		if !e.matches(f) {
			continue
		}
		x.used[e] = true
		if holds == nil && !e.expired(x.now) {
			holds = e
		}
	}
	return holds
}

// findings are those about the exceptions themselves, once all others are known.
func (x *exceptions) findings() []Finding {
	found := x.wrong
	add := func(r *Rule, e *Exception, message string) {
		f := x.p.finding(r, e.at, message)
		if !e.inside { // its file is no manifest of the payload
			f.File = e.at.file
		}
		found = append(found, f)
	}
	for _, e := range x.all {
		what := e.Object
		if what == "" {
			what = e.File
		}
		switch {
		case !x.used[e]:
			add(unusedException, e, fmt.Sprintf("the exception from %s for %s covers no finding", e.Rule, what))
		case e.expired(x.now):
			add(expiredException, e, fmt.Sprintf("the exception from %s for %s held until %s: %s", e.Rule, what, e.Until, e.Reason))
		}
	}
	return found
}

var (
	invalidException = &Rule{
		ID: "SLW901", Name: "invalid-exception", Level: Error,
		Title: "An annotation " + AnnotationPrefix + "… names no rule, or lacks its reason or its last day.",
		Why:   "An exception nobody can judge later is none. The finding that it was written for is reported.",
		Fix:   "Write " + AnnotationPrefix + "<rule>: \"reason; until=2027-01-31\".",
	}
	expiredException = &Rule{
		ID: "SLW902", Name: "expired-exception", Level: Error,
		Title: "An exception's last day is over.",
		Why:   "What it excuses was meant to be looked at by then. The finding is reported again.",
		Fix:   "Mend the finding and remove the exception, or, after another look, give a later day.",
	}
	unusedException = &Rule{
		ID: "SLW903", Name: "unused-exception", Level: Warning,
		Title: "An exception covers no finding.",
		Why:   "The finding was mended, or the exception never fitted it. Left behind, it would hide the next one.",
		Fix:   "Remove it, or correct its rule, object or file.",
	}
	exceptionRules = []*Rule{invalidException, expiredException, unusedException}
)
