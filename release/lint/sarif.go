package lint

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"slices"
)

// SARIF is the Static Analysis Results Interchange Format, OASIS Standard
// 2.1.0 (docs.oasis-open.org/sarif/sarif/v2.1.0); these are the parts of it that
// findings need.
type sarifLog struct {
	Schema  string     `json:"$schema"`
	Version string     `json:"version"`
	Runs    []sarifRun `json:"runs"`
}

type sarifRun struct {
	Tool struct {
		Driver sarifDriver `json:"driver"`
	} `json:"tool"`
	ColumnKind string        `json:"columnKind"`
	Results    []sarifResult `json:"results"`
}

type sarifDriver struct {
	Name    string      `json:"name"`
	Version string      `json:"version,omitempty"`
	Rules   []sarifRule `json:"rules"`
}

type sarifText struct {
	Text     string `json:"text"`
	Markdown string `json:"markdown,omitempty"`
}

type sarifRule struct {
	ID                   string    `json:"id"`
	Name                 string    `json:"name"`
	ShortDescription     sarifText `json:"shortDescription"`
	FullDescription      sarifText `json:"fullDescription"`
	Help                 sarifText `json:"help"`
	DefaultConfiguration struct {
		Level Level `json:"level"`
	} `json:"defaultConfiguration"`
}

type sarifResult struct {
	RuleID              string             `json:"ruleId"`
	RuleIndex           int                `json:"ruleIndex"`
	Level               Level              `json:"level"`
	Message             sarifText          `json:"message"`
	Locations           []sarifLocation    `json:"locations"`
	PartialFingerprints map[string]string  `json:"partialFingerprints"`
	Suppressions        []sarifSuppression `json:"suppressions"`
}

type sarifLocation struct {
	PhysicalLocation *sarifPhysical `json:"physicalLocation,omitempty"`
	LogicalLocations []sarifLogical `json:"logicalLocations,omitempty"`
}

type sarifPhysical struct {
	ArtifactLocation struct {
		URI string `json:"uri"`
	} `json:"artifactLocation"`
	Region *sarifRegion `json:"region,omitempty"`
}

type sarifRegion struct {
	StartLine int `json:"startLine"`
}

type sarifLogical struct {
	FullyQualifiedName string `json:"fullyQualifiedName"`
	Kind               string `json:"kind"`
}

type sarifSuppression struct {
	Kind          string `json:"kind"` // inSource or external
	Status        string `json:"status"`
	Justification string `json:"justification"`
}

// SARIF writes the report in the Static Analysis Results Interchange Format,
// version 2.1.0. Findings that are excepted are in it as suppressed. version is that of the
// program, or empty.
func (r Report) SARIF(w io.Writer, version string) error {
	log := sarifLog{Schema: "https://json.schemastore.org/sarif-2.1.0.json", Version: "2.1.0", Runs: make([]sarifRun, 1)}
	run := &log.Runs[0]
	run.ColumnKind = "unicodeCodePoints"
	run.Tool.Driver = sarifDriver{Name: "slipway", Version: version}
	index := map[string]int{}
	for i, rule := range Rules() {
		index[rule.ID] = i
		s := sarifRule{
			ID: rule.ID, Name: rule.Name, ShortDescription: sarifText{Text: rule.Title},
			FullDescription: sarifText{Text: rule.Why},
			Help:            sarifText{Text: rule.Why + "\n\n" + rule.Fix, Markdown: rule.Why + "\n\n**Fix.** " + rule.Fix},
		}
		s.DefaultConfiguration.Level = rule.Level
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, s)
	}
	run.Results = []sarifResult{}
	for _, f := range slices.Concat(r.Findings, r.Excepted) {
		run.Results = append(run.Results, f.sarif(index[f.ID]))
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(log); err != nil {
		return fmt.Errorf("writing SARIF: %w", err)
	}
	return nil
}

func (f Finding) sarif(rule int) sarifResult {
	result := sarifResult{
		RuleID: f.ID, RuleIndex: rule, Level: f.Level, Message: sarifText{Text: f.Message + ". " + f.Fix},
		Locations: []sarifLocation{}, Suppressions: []sarifSuppression{},
	}
	var location sarifLocation
	if f.File != "" {
		physical := &sarifPhysical{}
		physical.ArtifactLocation.URI = (&url.URL{Path: filepath.ToSlash(f.File)}).EscapedPath()
		if f.Line > 0 {
			physical.Region = &sarifRegion{StartLine: f.Line}
		}
		location.PhysicalLocation = physical
	}
	if f.Object != "" {
		location.LogicalLocations = []sarifLogical{{FullyQualifiedName: f.Object, Kind: "resource"}}
	}
	if location.PhysicalLocation != nil || location.LogicalLocations != nil {
		result.Locations = append(result.Locations, location)
	}
	// The same finding is the same after lines were added above it.
	sum := sha256.Sum256([]byte(f.ID + "\x00" + f.File + "\x00" + f.Object + "\x00" + f.Message))
	result.PartialFingerprints = map[string]string{"slipwayFinding/v1": hex.EncodeToString(sum[:16])}
	if e := f.Exception; e != nil {
		kind := "external"
		if e.inside {
			kind = "inSource"
		}
		result.Suppressions = append(result.Suppressions, sarifSuppression{Kind: kind, Status: "accepted", Justification: e.Reason})
	}
	return result
}
