package graphdata

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/slipway-release/slipway/release/channels/graph"
)

// declaredRisk is a risk wherever it is declared.
type declaredRisk struct {
	source
	name, url, message string
	rules              []graph.MatchingRule
}

// declared are the risks of blocks, and those over ranges.
func (k *knowledge) declared() []declaredRisk {
	var all []declaredRisk
	for _, b := range k.Blocks {
		if b.Conditional() {
			all = append(all, declaredRisk{b.source, b.Name, b.URL, b.Message, b.MatchingRules})
		}
	}
	for _, r := range k.Risks {
		if !r.Block {
			all = append(all, declaredRisk{r.source, r.Metadata.Name, r.URL, r.Message, r.MatchingRules})
		}
	}
	return all
}

// differ names the first field in which two declarations of one risk differ.
func differ(a, b declaredRisk) string {
	switch {
	case a.url != b.url:
		return "url"
	case a.message != b.message:
		return "message"
	case !slices.EqualFunc(a.rules, b.rules, sameRule):
		return "matchingRules"
	}
	return ""
}

func sameRule(a, b graph.MatchingRule) bool {
	if a.Type != b.Type || (a.PromQL == nil) != (b.PromQL == nil) {
		return false
	}
	return a.PromQL == nil || *a.PromQL == *b.PromQL
}

// promQL is checkPromQL, once for each query.
func (k *knowledge) promQL(query string) error {
	err, known := k.queries[query]
	if !known {
		err = checkPromQL(query)
		k.queries[query] = err
	}
	return err
}

func feeders(k *knowledge, report func(source, string, string)) {
	for _, c := range k.all {
		if c.Feeder == nil {
			continue
		}
		if _, err := ParseDelay(c.Feeder.Delay); c.Feeder.Delay != "" && err != nil {
			report(c.source, "feeder.delay", err.Error())
		}
		if c.Feeder.Errata != "" && c.Feeder.Errata != "public" {
			report(c.source, "feeder.errata", fmt.Sprintf(`%q is not "public"`, c.Feeder.Errata))
		}
		if c.Feeder.Delay == "" && c.Feeder.Errata == "" {
			report(c.source, "feeder", "neither delay nor errata says when a version goes on")
		}
		way := []string{c.Name}
		for at := &c; at != nil && at.Feeder != nil; {
			name := at.Feeder.Name
			next := k.byName[name]
			if next == nil {
				if at.Name == c.Name {
					report(c.source, "feeder.name", fmt.Sprintf("there is no channel %q", name))
				}
				break
			}
			if slices.Contains(way, name) {
				if name == c.Name {
					report(c.source, "feeder.name", "channels feed each other in a circle: "+strings.Join(append(way, name), " ← "))
				}
				break
			}
			way = append(way, name)
			at = next
		}
	}
}

func filters(k *knowledge, report func(source, string, string)) {
	for _, c := range k.all {
		if c.Feeder == nil || c.Feeder.Filter == "" {
			continue
		}
		filter, err := c.Feeder.Pattern()
		if err != nil {
			continue // Load has it compiled already
		}
		for i, v := range c.Versions {
			if !filter.MatchString(v) {
				report(c.source, fmt.Sprintf("versions[%d]", i), fmt.Sprintf("%s does not match the filter %s", v, c.Feeder.Filter))
			}
		}
	}
}

// stabler are families of channels and those that must hold all of their versions.
var stabler = [][2]string{{"fast", "candidate"}, {"stable", "fast"}, {"eus", "fast"}}

func subsets(k *knowledge, report func(source, string, string)) {
	for _, c := range k.Channels {
		family, minor, ok := minorOf(c.Name)
		if !ok {
			continue
		}
		for _, pair := range stabler {
			less := k.byName[pair[1]+"-"+minor]
			if family != pair[0] || less == nil {
				continue
			}
			for i, v := range c.Versions {
				bare, _, _ := strings.Cut(v, "+")
				if !slices.Contains(less.Versions, v) && !slices.Contains(less.Versions, bare) {
					report(c.source, fmt.Sprintf("versions[%d]", i), fmt.Sprintf("%s is not in channel %s", v, less.Name))
				}
			}
		}
	}
}

// maxDelay bounds delays to what people can mean.
const maxDelay = 10 * 365 * 24 * time.Hour

// ParseDelay reads a duration of ISO 8601 without years and months, at most ten years: P1W,
// P4D, PT48H, P1DT12H30M. Weeks stand alone.
func ParseDelay(text string) (time.Duration, error) {
	m := delayPattern.FindStringSubmatch(text)
	if m == nil || text == "P" || strings.HasSuffix(text, "T") {
		return 0, fmt.Errorf("%q is no duration such as P1W, P4D or PT48H", text)
	}
	var total time.Duration
	for i, unit := range []time.Duration{7 * 24 * time.Hour, 24 * time.Hour, time.Hour, time.Minute, time.Second} {
		if m[i+1] == "" {
			continue
		}
		n, err := strconv.Atoi(m[i+1])
		if err != nil || time.Duration(n) > maxDelay/unit {
			return 0, fmt.Errorf("%q is longer than ten years", text)
		}
		total += time.Duration(n) * unit
	}
	if total > maxDelay {
		return 0, fmt.Errorf("%q is longer than ten years", text)
	}
	return total, nil
}
