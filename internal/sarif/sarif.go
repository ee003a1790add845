// Package sarif writes findings in the Static Analysis Results Interchange Format, OASIS
// Standard 2.1.0 (docs.oasis-open.org/sarif/sarif/v2.1.0), which code hosts show beside
// the code.
package sarif

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
)

// Rule is what findings are reported by.
type Rule struct {
	ID, Name string
	Level    Level
	// Title says in one sentence what is reported, Why what happens otherwise, Fix what to do.
	Title, Why, Fix string
}

// Result is one finding.
type Result struct {
	// Rule is the ID of its rule.
	Rule  string
	Level Level
	// Text is what people are shown.
	Text string
	// Key is what stays of the finding when lines are added above it: with rule, file and
	// object it tells the finding from others.
	Key string
	// File is empty for a finding without a place; Line, from 1, is 0 when it concerns the
	// whole file.
	File string
	Line int
	// Object is what the finding is about, and Field the part of it; both may be empty.
	Object, Field string
	// Suppression is why it is not counted; nil when it is.
	Suppression *Suppression
}

// Suppression excuses a finding.
type Suppression struct {
	// InSource says that it stands in the file of the finding.
	InSource      bool
	Justification string
}

// The parts of the format that findings need.
type (
	logFile struct {
		Schema  string `json:"$schema"`
		Version string `json:"version"`
		Runs    []run  `json:"runs"`
	}

	run struct {
		Tool struct {
			Driver driver `json:"driver"`
		} `json:"tool"`
		ColumnKind string   `json:"columnKind"`
		Results    []result `json:"results"`
	}

	driver struct {
		Name    string       `json:"name"`
		Version string       `json:"version,omitempty"`
		Rules   []descriptor `json:"rules"`
	}

	text struct {
		Text     string `json:"text"`
		Markdown string `json:"markdown,omitempty"`
	}

	descriptor struct {
		ID                   string `json:"id"`
		Name                 string `json:"name"`
		ShortDescription     text   `json:"shortDescription"`
		FullDescription      text   `json:"fullDescription"`
		Help                 text   `json:"help"`
		DefaultConfiguration struct {
			Level Level `json:"level"`
		} `json:"defaultConfiguration"`
	}

	result struct {
		RuleID              string            `json:"ruleId"`
		RuleIndex           int               `json:"ruleIndex"`
		Level               Level             `json:"level"`
		Message             text              `json:"message"`
		Locations           []location        `json:"locations"`
		PartialFingerprints map[string]string `json:"partialFingerprints"`
		Suppressions        []suppression     `json:"suppressions"`
	}

	location struct {
		PhysicalLocation *physical `json:"physicalLocation,omitempty"`
		LogicalLocations []logical `json:"logicalLocations,omitempty"`
	}

	physical struct {
		ArtifactLocation struct {
			URI string `json:"uri"`
		} `json:"artifactLocation"`
		Region *region `json:"region,omitempty"`
	}

	region struct {
		StartLine int `json:"startLine"`
	}

	logical struct {
		Name               string `json:"name,omitempty"`
		FullyQualifiedName string `json:"fullyQualifiedName"`
		Kind               string `json:"kind"`
	}

	suppression struct {
		Kind          string `json:"kind"` // inSource or external
		Status        string `json:"status"`
		Justification string `json:"justification"`
	}
)

// Write writes results, and all rules that there are, as one run. version is that of the
// program, or empty.
func Write(w io.Writer, version string, rules []Rule, results []Result) error {
	log := logFile{Schema: "https://json.schemastore.org/sarif-2.1.0.json", Version: "2.1.0", Runs: make([]run, 1)}
	out := &log.Runs[0]
	out.ColumnKind = "unicodeCodePoints"
	out.Tool.Driver = driver{Name: "slipway", Version: version}
	index := map[string]int{}
	for i, rule := range rules {
		index[rule.ID] = i
		d := descriptor{
			ID: rule.ID, Name: rule.Name, ShortDescription: text{Text: rule.Title},
			FullDescription: text{Text: rule.Why},
			Help:            text{Text: rule.Why + "\n\n" + rule.Fix, Markdown: rule.Why + "\n\n**Fix.** " + rule.Fix},
		}
		d.DefaultConfiguration.Level = rule.Level
		out.Tool.Driver.Rules = append(out.Tool.Driver.Rules, d)
	}
	out.Results = []result{}
	for _, r := range results {
		out.Results = append(out.Results, r.encode(index[r.Rule]))
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(log); err != nil {
		return fmt.Errorf("writing SARIF: %w", err)
	}
	return nil
}

func (r Result) encode(rule int) result {
	out := result{
		RuleID: r.Rule, RuleIndex: rule, Level: r.Level, Message: text{Text: r.Text},
		Locations: []location{}, Suppressions: []suppression{},
	}
	var at location
	if r.File != "" {
		at.PhysicalLocation = &physical{}
		at.PhysicalLocation.ArtifactLocation.URI = (&url.URL{Path: filepath.ToSlash(r.File)}).EscapedPath()
		if r.Line > 0 {
			at.PhysicalLocation.Region = &region{StartLine: r.Line}
		}
	}
	if r.Object != "" {
		at.LogicalLocations = []logical{{FullyQualifiedName: r.Object, Kind: "resource"}}
	}
	if r.Field != "" {
		at.LogicalLocations = append(at.LogicalLocations, logical{Name: r.Field, FullyQualifiedName: r.Object + " " + r.Field, Kind: "property"})
	}
	if at.PhysicalLocation != nil || at.LogicalLocations != nil {
		out.Locations = append(out.Locations, at)
	}
	sum := sha256.Sum256([]byte(r.Rule + "\x00" + r.File + "\x00" + r.Object + "\x00" + r.Key))
	out.PartialFingerprints = map[string]string{"slipwayFinding/v1": hex.EncodeToString(sum[:16])}
	if s := r.Suppression; s != nil {
		kind := "external"
		if s.InSource {
			kind = "inSource"
		}
		out.Suppressions = append(out.Suppressions, suppression{Kind: kind, Status: "accepted", Justification: s.Justification})
	}
	return out
}
