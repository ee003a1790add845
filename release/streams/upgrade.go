package streams

import (
	"fmt"
	"strings"
)

// minCoverage is the share of intended probes that must have been sent before
// their answers say anything, in percent.
const minCoverage = 99

// Tolerance says what a gap in a backend's answers means.
type Tolerance string

const (
	Forbid Tolerance = "forbid" // the upgrade failed; the default
	Report Tolerance = "report" // it is told and the upgrade passes
)

// UpgradePolicy is what an upgrade may cost on one cluster profile. The fields
// bear the names of distro.yaml: {apiGap: report, serviceGap: forbid, dnsGap: forbid}.
// Left out means forbid. Backends of other kinds may never have a gap.
type UpgradePolicy struct {
	APIGap     Tolerance `json:"apiGap,omitempty"`
	ServiceGap Tolerance `json:"serviceGap,omitempty"`
	DNSGap     Tolerance `json:"dnsGap,omitempty"`
}

// Validate reports a tolerance that is none.
func (p UpgradePolicy) Validate() error {
	for _, f := range []struct {
		name  string
		value Tolerance
	}{{"apiGap", p.APIGap}, {"serviceGap", p.ServiceGap}, {"dnsGap", p.DNSGap}} {
		switch f.value {
		case "", Forbid, Report:
		default:
			return fmt.Errorf("%s: %q is neither %q nor %q", f.name, f.value, Forbid, Report)
		}
	}
	return nil
}

// tolerance of a backend by the beginning of its name: kube-api…, service…, dns….
func (p UpgradePolicy) tolerance(backend string) Tolerance {
	for prefix, t := range map[string]Tolerance{"kube-api": p.APIGap, "service": p.ServiceGap, "dns": p.DNSGap} {
		if strings.HasPrefix(backend, prefix) {
			return t
		}
	}
	return Forbid
}

// Upgrade is the part of a run report's `upgrade` that decides, under the names it
// has there, so that the report's JSON can be read into it.
type Upgrade struct {
	From          Endpoint  `json:"from"`
	To            Endpoint  `json:"to"`
	Backends      []Backend `json:"backends"`
	TesterHealthy bool      `json:"testerHealthy"`
	// Failure says why the upgrade did not come to its end, or is empty.
	Failure string `json:"failure,omitempty"`
}

// Endpoint is a payload at one end of an upgrade.
type Endpoint struct {
	Version string `json:"version"`
	Digest  string `json:"digest"`
}

// Backend is what was probed, over new or reused connections.
type Backend struct {
	Name        string       `json:"name"`
	Connection  string       `json:"connection"`
	Intended    int64        `json:"intended"`
	Sent        int64        `json:"sent"`
	Failed      int64        `json:"failed"`
	Disruptions []Disruption `json:"disruptions"`
}

// Disruption is a window without answers, with the bounds of its length.
type Disruption struct {
	AtLeastMs float64 `json:"atLeastMs"`
	AtMostMs  float64 `json:"atMostMs"`
}

// EvaluateUpgrade says whether an upgrade passed. One that did not come to its end
// failed, for no measurement is needed to see that. A tester that was ill itself or
// sent less than 99 % of what it meant to gives an inconclusive result, whatever
// it saw. Detail tells gaps in any case, tolerated ones too.
func EvaluateUpgrade(check string, policy UpgradePolicy, u Upgrade) Result {
	if u.Failure != "" {
		return Result{Check: check, Status: Failed, Detail: "the upgrade did not come to its end: " + u.Failure}
	}
	if doubt := u.doubt(); doubt != "" {
		return Result{Check: check, Status: Inconclusive, Detail: doubt}
	}
	var failed, reported []string
	for _, b := range u.Backends {
		gap := b.gap()
		switch {
		case gap == "":
		case policy.tolerance(b.Name) == Report:
			reported = append(reported, gap)
		default:
			failed = append(failed, gap)
		}
	}
	switch {
	case len(failed) > 0:
		return Result{Check: check, Status: Failed, Detail: strings.Join(append(failed, reported...), "; ")}
	case len(reported) > 0:
		return Result{Check: check, Status: Passed, Detail: "tolerated: " + strings.Join(reported, "; ")}
	}
	return Result{Check: check, Status: Passed, Detail: fmt.Sprintf("%d backends answered without a gap", len(u.Backends))}
}

// doubt says why the measurement cannot be relied on, or nothing.
func (u Upgrade) doubt() string {
	if !u.TesterHealthy {
		return "the tester was not healthy"
	}
	if u.From.Digest == "" || u.To.Digest == "" {
		return "it is not known which payloads the upgrade was between"
	}
	if u.From.Digest == u.To.Digest {
		return "the upgrade was from a payload to itself"
	}
	if len(u.Backends) == 0 {
		return "nothing was probed"
	}
	for _, b := range u.Backends {
		if b.Intended <= 0 || b.Sent*100 < b.Intended*minCoverage {
			return fmt.Sprintf("%s was sent %d of %d intended probes, at least %d %% are needed", b.label(), b.Sent, b.Intended, minCoverage)
		}
	}
	return ""
}

func (b Backend) label() string {
	if b.Connection == "" {
		return b.Name
	}
	return fmt.Sprintf("%s (%s connections)", b.Name, b.Connection)
}

// gap says in what the backend failed to answer, or nothing.
func (b Backend) gap() string {
	if len(b.Disruptions) == 0 && b.Failed == 0 {
		return ""
	}
	var atLeast, atMost float64
	for _, d := range b.Disruptions {
		atLeast += d.AtLeastMs
		atMost += d.AtMostMs
	}
	windows := "1 disruption"
	if n := len(b.Disruptions); n != 1 {
		windows = fmt.Sprintf("%d disruptions", n)
	}
	return fmt.Sprintf("%s: %d of %d probes failed, %s of %.0f to %.0f ms in all",
		b.label(), b.Failed, b.Sent, windows, atLeast, atMost)
}
