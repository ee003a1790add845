// Package report writes what a run found out: report.json for programs,
// report.html for people, JUnit files for CI systems. It computes nothing; what
// it shows was measured and decided by others.
package report

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"path/filepath"
	"time"

	"github.com/slipway-release/slipway/e2e"
	"github.com/slipway-release/slipway/internal/state"
	"github.com/slipway-release/slipway/upgradetest"
)

// Report is the content of report.json, apiVersion slipway.dev/v1alpha1.
type Report struct {
	APIVersion  string              `json:"apiVersion"`
	Kind        string              `json:"kind"` // RunReport
	Run         Run                 `json:"run"`
	Payload     *Payload            `json:"payload,omitempty"`
	Stages      []Stage             `json:"stages"`
	Images      []Image             `json:"images"`
	Conformance *e2e.Result         `json:"conformance,omitempty"`
	Upgrade     *upgradetest.Result `json:"upgrade,omitempty"`
	// Timeline is the upgrade's time line for the page, or empty.
	Timeline template.HTML `json:"-"`
	Channels []Channel     `json:"channels"`
	Evidence []Evidence    `json:"evidence"`
	// Reasons say why the verdict is what it is, one sentence for each check.
	Reasons []string `json:"reasons,omitempty"`
	// Check is what an upgrade check found out; nil in other runs.
	Check *Check `json:"check,omitempty"`
}

// Run identifies a run.
type Run struct {
	ID       string    `json:"id"`
	Pipeline string    `json:"pipeline"`
	Profile  string    `json:"profile,omitempty"`
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished"`
	// Verdict is Accepted, Rejected or Inconclusive; empty when the run did
	// not come to one.
	Verdict string `json:"verdict"`
	// MaxRSSBytes is the most memory any process of Slipway itself had.
	MaxRSSBytes int64 `json:"maxRSSBytes,omitempty"`
}

// Payload names the release. PullSpec is where it can be pulled from now;
// Reference is its canonical name.
type Payload struct {
	Version   string `json:"version"`
	Digest    string `json:"digest"`
	PullSpec  string `json:"pullSpec"`
	Reference string `json:"reference,omitempty"`
}

// Stage is one task of the pipeline.
type Stage struct {
	Name     string  `json:"name"`
	Status   string  `json:"status"` // Succeeded, Failed or Skipped
	Reason   string  `json:"reason"`
	Seconds  float64 `json:"seconds"`
	Attempts int     `json:"attempts"`
}

// Image is one component image.
type Image struct {
	Component string  `json:"component"`
	Digest    string  `json:"digest"`
	Cached    bool    `json:"cached"`
	Seconds   float64 `json:"seconds"`
}

// Channel says whether this run added the payload to a channel.
type Channel struct {
	Name  string `json:"name"`
	Added bool   `json:"added"`
}

// Evidence is one signed attestation about a digest.
type Evidence struct {
	PredicateType string `json:"predicateType"`
	Digest        string `json:"digest"`
	Subject       string `json:"subject"`
}

// New returns an empty report of a run.
func New(run Run) *Report {
	return &Report{
		APIVersion: "slipway.dev/v1alpha1", Kind: "RunReport", Run: run,
		Stages: []Stage{}, Images: []Image{}, Channels: []Channel{}, Evidence: []Evidence{},
	}
}

//go:embed report.html.tmpl
var templates embed.FS

// Write writes report.json, report.html and junit_stages.xml into dir, each
// whole or not at all.
func (r *Report) Write(dir string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the run report: %w", err)
	}
	page, err := r.HTML()
	if err != nil {
		return fmt.Errorf("writing the run report: %w", err)
	}
	suite, err := r.junit()
	if err != nil {
		return fmt.Errorf("writing the run report: %w", err)
	}
	for name, content := range map[string][]byte{
		"report.json": append(data, '\n'), "report.html": page, "junit_stages.xml": suite,
	} {
		if err := state.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return fmt.Errorf("writing the run report: %w", err)
		}
	}
	return nil
}

// HTML renders the report as one self-contained page.
func (r *Report) HTML() ([]byte, error) {
	t, err := template.New("report.html.tmpl").Funcs(template.FuncMap{
		"seconds": seconds, "short": short, "share": r.share, "offset": r.offset,
		"clock": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
	}).ParseFS(templates, "report.html.tmpl")
	if err != nil {
		return nil, err
	}
	var page bytes.Buffer
	if err := t.Execute(&page, r); err != nil {
		return nil, err
	}
	return page.Bytes(), nil
}

func seconds(s float64) string {
	if s >= 60 {
		return fmt.Sprintf("%dm %02ds", int(s)/60, int(s)%60)
	}
	return fmt.Sprintf("%.1f s", s)
}

// short cuts a digest to what people compare by eye.
func short(digest string) string {
	if len(digest) > 19 {
		return digest[:19]
	}
	return digest
}

// longest is the longest stage in seconds, at least a moment.
func (r *Report) longest() float64 {
	longest := 0.1
	for _, s := range r.Stages {
		longest = max(longest, s.Seconds)
	}
	return longest
}

// share is a stage's width in per cent of the longest one.
func (r *Report) share(s float64) string {
	return fmt.Sprintf("%.2f", 100*s/r.longest())
}

// offset places a moment of the upgrade on a line from 0 to 100.
func (r *Report) offset(at time.Time) string {
	if r.Upgrade == nil || r.Upgrade.Seconds <= 0 {
		return "0"
	}
	return fmt.Sprintf("%.3f", 100*at.Sub(r.Upgrade.Started).Seconds()/r.Upgrade.Seconds)
}
