package catalog

import (
	"maps"
	"slices"
	"time"

	"github.com/slipway-release/slipway/release/inspect/changelog"
)

// The shapes are those of OpenShift's release-controller, key by key and in its order:
// https://github.com/openshift/release-controller/blob/master/pkg/release-controller/types.go

// APITag is one payload.
type APITag struct {
	Name        string `json:"name"`
	Phase       string `json:"phase"`
	PullSpec    string `json:"pullSpec"`
	DownloadURL string `json:"downloadURL"`
}

// APIRelease is a stream and its payloads.
type APIRelease struct {
	Name string   `json:"name"`
	Tags []APITag `json:"tags"` // null when there are none
}

// APIReleaseInfo is all about one payload.
type APIReleaseInfo struct {
	Name         string                   `json:"name"`
	Phase        string                   `json:"phase"`
	Results      *VerificationJobsSummary `json:"results,omitempty"`
	UpgradesTo   []UpgradeHistory         `json:"upgradesTo,omitempty"`
	UpgradesFrom []UpgradeHistory         `json:"upgradesFrom,omitempty"`
	// ChangeLog is HTML; JSON has it in base64.
	ChangeLog     []byte               `json:"changeLog,omitempty"`
	ChangeLogJSON *changelog.Changelog `json:"changeLogJson,omitempty"`
}

// VerificationJobsSummary are a payload's checks.
type VerificationJobsSummary struct {
	BlockingJobs  map[string]*VerificationStatus `json:"blockingJobs,omitempty"`
	InformingJobs map[string]*VerificationStatus `json:"informingJobs,omitempty"`
	PendingJobs   map[string]*VerificationStatus `json:"pendingJobs,omitempty"`
}

// VerificationStatus is one check. State is Succeeded, Failed or Pending.
type VerificationStatus struct {
	State               string     `json:"state"`
	URL                 string     `json:"url"`
	Retries             int        `json:"retries,omitempty"`
	PreviousAttemptURLs []string   `json:"previousAttemptURLs,omitempty"`
	TransitionTime      *time.Time `json:"transitionTime,omitempty"`
}

// UpgradeHistory is an upgrade that was tried. Its keys are capitals there, too.
type UpgradeHistory struct {
	From    string
	To      string
	Success int
	Failure int
	Total   int
	History map[string]UpgradeResult // by address of the run
}

// UpgradeResult is one run of an upgrade.
type UpgradeResult struct {
	State string `json:"state"`
	URL   string `json:"url"`
}

// APICandidate is the payload that would be promoted next.
type APICandidate struct {
	FromTag     string   `json:"fromTag"`
	Name        string   `json:"name"`
	UpgradeFrom []string `json:"upgradeFrom"`
}

// ReleaseConfig is a stream's configuration as far as the release controller's has the same.
type ReleaseConfig struct {
	Name      string                         `json:"name"`
	Message   string                         `json:"message"`
	Hide      bool                           `json:"hide"`
	EndOfLife bool                           `json:"endOfLife"`
	As        string                         `json:"as"`
	To        string                         `json:"to"`
	Verify    map[string]ReleaseVerification `json:"verify"`
	Periodic  map[string]ReleasePeriodic     `json:"periodic"`
}

// ReleaseVerification is a check that a verdict waits for, or is told beside it.
type ReleaseVerification struct {
	Disabled    bool    `json:"disabled"`
	Optional    bool    `json:"optional"`
	Upgrade     bool    `json:"upgrade"`
	UpgradeFrom string  `json:"upgradeFrom"`
	ProwJob     *JobRef `json:"prowJob"`
	MaxRetries  int     `json:"maxRetries,omitempty"`
}

// ReleasePeriodic is a check that runs by the clock.
type ReleasePeriodic struct {
	Interval    string  `json:"interval,omitempty"`
	Cron        string  `json:"cron,omitempty"`
	Upgrade     bool    `json:"upgrade"`
	UpgradeFrom string  `json:"upgradeFrom"`
	ProwJob     *JobRef `json:"prowJob"`
}

// JobRef names what is run: here a pipeline.
type JobRef struct {
	Name string `json:"name"`
}

func (a *API) tag(p *Payload) APITag {
	t := APITag{Name: p.Version.String(), Phase: string(p.Phase), PullSpec: p.Tagged}
	if a.Download != nil {
		t.DownloadURL = a.Download(p)
	}
	return t
}

// stateWord is a check's state in the release controller's words, which know no check
// that ran and says nothing: what it says is still awaited.
func stateWord(s State) string {
	switch s {
	case Passed, Skipped:
		return "Succeeded"
	case CheckFailed:
		return "Failed"
	}
	return "Pending"
}

func resultsOf(p *Payload) *VerificationJobsSummary {
	if len(p.Checks) == 0 {
		return nil
	}
	r := &VerificationJobsSummary{}
	for _, c := range p.Checks {
		s := &VerificationStatus{State: stateWord(c.State), URL: c.URL, Retries: c.Retries, PreviousAttemptURLs: c.PreviousURLs}
		if !c.Finished.IsZero() {
			t := c.Finished.UTC().Truncate(time.Second)
			s.TransitionTime = &t
		}
		into := &r.InformingJobs
		if c.Blocking {
			into = &r.BlockingJobs
		}
		for _, m := range []*map[string]*VerificationStatus{into, &r.PendingJobs} {
			if m == &r.PendingJobs && s.State != "Pending" {
				continue
			}
			if *m == nil {
				*m = map[string]*VerificationStatus{}
			}
			(*m)[c.Name] = s
		}
	}
	return r
}

func historyOf(upgrades []*Upgrade) []UpgradeHistory {
	var all []UpgradeHistory
	for _, u := range upgrades {
		if len(u.Runs) == 0 {
			continue
		}
		h := UpgradeHistory{From: u.From, To: u.To, Success: u.Success, Failure: u.Failure, Total: len(u.Runs), History: map[string]UpgradeResult{}}
		for _, run := range u.Runs {
			at := u.address(run)
			h.History[at] = UpgradeResult{State: stateWord(run.State), URL: at}
		}
		all = append(all, h)
	}
	return all
}

// address is where a run can be looked at: its report, else the page of its evidence.
func (u *Upgrade) address(run Run) string {
	if run.URL != "" {
		return run.URL
	}
	return "/releasetag/" + u.To + "/evidence/" + run.Evidence
}

// verifications are the checks of a stream: those that the policy names, with what is
// defined of them, and those that are defined and disabled.
func verifications(d Definition) map[string]ReleaseVerification {
	all := map[string]ReleaseVerification{}
	defined := map[string]CheckDefinition{}
	for _, c := range d.Checks {
		defined[c.Name] = c
	}
	add := func(name string, optional bool) {
		c := defined[name]
		v := ReleaseVerification{Disabled: c.Disabled, Optional: optional, Upgrade: c.Upgrade, UpgradeFrom: c.UpgradeFrom, MaxRetries: c.MaxRetries}
		if c.Pipeline != "" {
			v.ProwJob = &JobRef{c.Pipeline}
		}
		all[name] = v
	}
	for _, name := range d.Policy.Informing {
		add(name, true)
	}
	for _, name := range d.Policy.Blocking {
		add(name, false)
	}
	for _, name := range slices.Sorted(maps.Keys(defined)) {
		if _, known := all[name]; !known && !defined[name].periodic() {
			add(name, true)
		}
	}
	return all
}

func (c CheckDefinition) periodic() bool { return c.Interval != "" || c.Cron != "" }

func periodics(d Definition) map[string]ReleasePeriodic {
	all := map[string]ReleasePeriodic{}
	for _, c := range d.Checks {
		if !c.periodic() {
			continue
		}
		p := ReleasePeriodic{Interval: c.Interval, Cron: c.Cron, Upgrade: c.Upgrade, UpgradeFrom: c.UpgradeFrom}
		if c.Pipeline != "" {
			p.ProwJob = &JobRef{c.Pipeline}
		}
		all[c.Name] = p
	}
	return all
}
