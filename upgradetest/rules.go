package upgradetest

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Severities of rules.
const (
	SeverityError   = "error"   // an upgrade without it is possible, and wanted
	SeverityWarning = "warning" // it may cost availability under other conditions
	SeverityInfo    = "info"    // to be known when something else is looked into
)

// Rule is one thing that is looked for in what was seen of the cluster.
type Rule struct {
	ID       string `json:"id"`
	Severity string `json:"severity"`
	What     string `json:"what"`
	Docs     string `json:"docs"` // why it matters, and what to do
}

// Finding is a rule that matched.
type Finding struct {
	Rule     string    `json:"rule"`
	Severity string    `json:"severity"`
	Object   string    `json:"object"`
	Message  string    `json:"message"`
	At       time.Time `json:"at"`
	Seconds  float64   `json:"seconds,omitempty"` // how long it lasted, where it has a length
}

type ruleCheck struct {
	Rule
	find func(e *evaluation, add func(finding))
}

// finding is a Finding on the recording's clock.
type finding struct {
	object, message string
	at, length      time.Duration
}

// Rules returns the rules, in the order in which they are looked at.
func Rules() []Rule {
	rules := make([]Rule, len(checks))
	for i, c := range checks {
		rules[i] = c.Rule
	}
	return rules
}

// checks is the table of rules. Each looks at the recording alone, so that a verdict
// can be made again of it at any time.
var checks = []ruleCheck{
	{Rule{"write-lost", SeverityError, "an acknowledged write is not there afterwards",
		"The server said that the write was done. Look at etcd's members and at the volume of the workload."}, findLost},
	{Rule{"watch-gap", SeverityError, "a watch left out a change",
		"Controllers act on what watches show them. A watch that is resumed must show everything since the version it had reached."}, findWatchGap},
	{Rule{"watch-relisted", SeverityWarning, "a watch could not be resumed, and everything had to be listed anew",
		"An API server that was just started knows nothing from before, and every client of it lists at once. With several servers clients go on at another one."}, findRelists},
	{Rule{"watch-duplicate", SeverityWarning, "a watch showed a change more than once",
		"Clients must bear it, but a watch that is resumed by version should not."}, findWatchDuplicate},
	{Rule{"log-lines-lost", SeverityWarning, "lines of a pod's log were not to be had",
		"The kubelet rotates logs; a rate above what it keeps, or a log that was removed with its pod, loses lines."}, findLogLoss},
	{Rule{"node-not-ready", SeverityError, "a node was not Ready while pods could be scheduled to it",
		"Cordon and drain a node before its kubelet or machine is restarted."}, findNode(false)},
	{Rule{"node-not-ready-drained", SeverityInfo, "a cordoned node was not Ready",
		"That is what cordoning is for; the time it took is part of the upgrade's."}, findNode(true)},
	{Rule{"container-killed", SeverityError, "a container was ended by SIGKILL or for want of memory",
		"It did not end within its grace period, or was never asked to. Raise terminationGracePeriodSeconds above what its end takes, handle SIGTERM, and look at memory limits."}, findPods("killed")},
	{Rule{"container-restarted", SeverityError, "a container ended and was started again in its pod",
		"An upgrade replaces pods; a restart in place is a crash or a failed liveness probe. `kubectl logs --previous` tells."}, findPods("restarted")},
	{Rule{"evicted-without-budget", SeverityWarning, "a pod that no PodDisruptionBudget covers was evicted",
		"Nothing keeps a drain from evicting all replicas at once. Give the workload two replicas and a budget that lets one go."}, findPods("evicted")},
	{Rule{"apiserver-ungraceful", SeverityError, "an API server went away without saying so before",
		"A server that gets SIGTERM fails /readyz at once and serves on for --shutdown-delay-duration. This one was killed, or its delay is 0, or its pod's grace period is shorter than the delay."}, findUngraceful},
	{Rule{"apiserver-overlap", SeverityError, "two API servers were away at the same time",
		"Control planes are to be upgraded one after the other, each when all servers are ready again."}, findOverlap},
	{Rule{"etcd-no-leader", SeverityError, "a member of etcd had no leader",
		"Without a leader nothing can be written. Move the leadership away before a member is stopped."}, findEtcdNoLeader},
	{Rule{"etcd-leader-changes", SeverityWarning, "etcd changed its leader more often than it has members",
		"One hand-over for every control plane is enough. More are elections: a slow disk, or a member that was stopped while it led."}, findEtcdChanges},
	{Rule{"etcd-slow-fsync", SeverityWarning, "writing etcd's log took over a second",
		"Elections and slow writes follow. Give etcd a disk of its own, and pull images before the upgrade."}, findEvents(LaneEtcd, "slow-fsync")},
	{Rule{"workload-unavailable", SeverityError, "a workload of the cluster had no ready replica",
		"Two replicas, a budget, spread over nodes, maxUnavailable 0."}, findUnavailable(false)},
	{Rule{"workload-single", SeverityWarning, "a workload that has one replica had none",
		"One replica cannot be moved without a gap. What is asked by others needs two."}, findUnavailable(true)},
	{Rule{"operator-unavailable", SeverityError, "a cluster operator was not Available",
		"What the operator is for may not have worked. Its condition Available says why."}, findOperators("unavailable", always)},
	{Rule{"operator-degraded", SeverityError, "a cluster operator was Degraded before the upgrade or at its end, or for over 10 minutes",
		"An operator may be Degraded while it is replaced, and not for long. Its condition Degraded says why."}, findOperators("degraded", lastingly)},
	{Rule{"operator-progressing", SeverityWarning, "a cluster operator was Progressing when the upgrade had ended",
		"The upgrade was not over when it was said to be. What came after was not measured."}, findOperators("progressing", atTheEnd)},
	{Rule{"event-repeated", SeverityWarning, "the cluster reported the same event more than 20 times",
		"Something is tried again and again and fails. The event's message says what."}, findEvents(LaneEvent, "repeated")},
	{Rule{"poller-lost", SeverityWarning, "a poller inside the cluster ended without saying so",
		"What it had measured last is lost with it; its samples end before."}, findEvents(LanePoller, "lost")},
}

// findings applies all rules.
func (e *evaluation) findings() []Finding {
	var out []Finding
	for _, c := range checks {
		c.find(e, func(f finding) {
			out = append(out, Finding{Rule: c.ID, Severity: c.Severity, Object: f.object, Message: f.message, At: e.wall(f.at), Seconds: seconds(f.length)})
		})
	}
	slices.SortStableFunc(out, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(weight(a.Severity), weight(b.Severity)), a.At.Compare(b.At))
	})
	return out
}

func weight(severity string) int {
	return slices.Index([]string{SeverityError, SeverityWarning, SeverityInfo}, severity)
}

// period is a state of an object and how long it lasted.
type period struct {
	eventFrame
	until time.Duration
	open  bool // it lasted to the end of the recording
}

// periods are the states of a lane's objects, by object, each in the order of time.
func (e *evaluation) periods(lane string) map[string][]period {
	out := map[string][]period{}
	for _, v := range e.events {
		if v.Lane != lane {
			continue
		}
		list := out[v.Object]
		if n := len(list); n > 0 {
			list[n-1].until, list[n-1].open = v.At, false
		}
		out[v.Object] = append(list, period{v, e.last, true})
	}
	return out
}

// states goes through the periods of a lane in which an object is in a state.
func (e *evaluation) states(lane string, in func(period) bool) []period {
	var out []period
	for _, list := range e.periods(lane) {
		for _, p := range list {
			if in(p) {
				out = append(out, p)
			}
		}
	}
	slices.SortFunc(out, func(a, b period) int { return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Object, b.Object)) })
	return out
}

func isState(state string) func(period) bool { return func(p period) bool { return p.State == state } }

func (e *evaluation) ledgersOf(kind func(string) bool, find func(Ledger)) {
	for _, l := range e.ledgers {
		if kind(l.Name) && l.Unverified == "" {
			find(l)
		}
	}
}

func isWatch(name string) bool { return strings.HasPrefix(name, BackendWatch) }
func isLogs(name string) bool  { return strings.HasPrefix(name, BackendLogs) }

func findLost(e *evaluation, add func(finding)) {
	e.ledgersOf(func(n string) bool { return !isWatch(n) && !isLogs(n) }, func(l Ledger) {
		if l.Missing > 0 {
			add(finding{object: l.Name, message: fmt.Sprintf("%d of %d acknowledged writes are missing: %v", l.Missing, l.Acknowledged, l.Numbers), at: e.last})
		}
	})
}

func findWatchGap(e *evaluation, add func(finding)) {
	e.ledgersOf(isWatch, func(l Ledger) {
		if l.Missing > 0 {
			add(finding{object: l.Name, message: fmt.Sprintf("%d of %d acknowledged writes were never shown: %v", l.Missing, l.Acknowledged, l.Numbers), at: e.last})
		}
	})
}

func findRelists(e *evaluation, add func(finding)) {
	e.ledgersOf(isWatch, func(l Ledger) {
		if l.Relists > 0 {
			add(finding{object: l.Name, message: fmt.Sprintf("%d times", l.Relists), at: e.last})
		}
	})
}

func findWatchDuplicate(e *evaluation, add func(finding)) {
	e.ledgersOf(isWatch, func(l Ledger) {
		if l.Duplicates > 0 {
			add(finding{object: l.Name, message: fmt.Sprintf("%d changes were shown again", l.Duplicates), at: e.last})
		}
	})
}

func findLogLoss(e *evaluation, add func(finding)) {
	e.ledgersOf(isLogs, func(l Ledger) {
		if l.Missing > 0 {
			add(finding{object: l.Name, message: fmt.Sprintf("%d of %d lines never came", l.Missing, l.Acknowledged), at: e.last})
		}
	})
}

func findNode(cordoned bool) func(*evaluation, func(finding)) {
	return func(e *evaluation, add func(finding)) {
		for _, p := range e.states(LaneNode, func(p period) bool { return p.State != "Ready" && (p.Facts["cordoned"] == "true") == cordoned }) {
			add(finding{p.Object, fmt.Sprintf("%s for %s %s", p.State, span(p), p.Detail), p.At, p.until - p.At})
		}
	}
}

func span(p period) string {
	length := (p.until - p.At).Round(100 * time.Millisecond).String()
	if p.open {
		return length + ", to the end of the recording"
	}
	return length
}

// findPods takes moments of pods: killed and restarted containers, evictions.
func findPods(state string) func(*evaluation, func(finding)) {
	return func(e *evaluation, add func(finding)) {
		for _, v := range e.events {
			if v.Lane != LanePod || v.State != state || (state == "evicted" && v.Facts["budget"] != "") {
				continue
			}
			if state == "restarted" && v.Facts["mirror"] == "true" && v.Facts["exitCode"] == "0" {
				continue // a static pod that ended in good order is started anew by its kubelet
			}
			add(finding{object: v.Object, message: v.Detail, at: v.At})
		}
	}
}

func findEvents(lane, state string) func(*evaluation, func(finding)) {
	return func(e *evaluation, add func(finding)) {
		for _, v := range e.events {
			if v.Lane == lane && v.State == state {
				add(finding{object: v.Object, message: v.Detail, at: v.At})
			}
		}
	}
}

// findUngraceful looks for servers that were down and had not been terminating just
// before. One that was asked while it started is not meant.
func findUngraceful(e *evaluation, add func(finding)) {
	for _, list := range e.periods(LaneAPIServer) {
		left := false
		for i, p := range list {
			switch p.State {
			case "ready", "started":
				left = false
			case "terminating":
				left = true
			case "down":
				if i > 0 && !left && list[i-1].State == "ready" {
					add(finding{p.Object, fmt.Sprintf("down for %s, and ready until then (%s)", span(p), p.Detail), p.At, p.until - p.At})
				}
			}
		}
	}
}

func findOverlap(e *evaluation, add func(finding)) {
	away := e.states(LaneAPIServer, func(p period) bool { return p.State == "down" || p.State == "not-ready" || p.State == "terminating" })
	for i, a := range away {
		for _, b := range away[i+1:] {
			if b.Object != a.Object && b.At < a.until {
				add(finding{a.Object + ", " + b.Object, fmt.Sprintf("%s was %s while %s was %s", a.Object, a.State, b.Object, b.State), b.At, min(a.until, b.until) - b.At})
			}
		}
	}
}

func findEtcdNoLeader(e *evaluation, add func(finding)) {
	for _, p := range e.states(LaneEtcd, isState("no-leader")) {
		add(finding{p.Object, "without a leader for " + span(p), p.At, p.until - p.At})
	}
}

func findEtcdChanges(e *evaluation, add func(finding)) {
	members := e.periods(LaneEtcd)
	for object, list := range members {
		sum := 0
		for _, p := range list {
			n, err := strconv.Atoi(p.Facts["leaderChanges"])
			if err == nil && n > 0 {
				sum += n
			}
		}
		if sum > max(len(members), 1) {
			add(finding{object: object, message: fmt.Sprintf("it saw %d changes among %d members", sum, len(members)), at: list[len(list)-1].At})
		}
	}
}

// findUnavailable passes over the store of the test itself, which has one replica on
// purpose.
func findUnavailable(single bool) func(*evaluation, func(finding)) {
	return func(e *evaluation, add func(finding)) {
		for _, p := range e.states(LaneWorkload, isState("unavailable")) {
			if (p.Facts["replicas"] == "1") != single || strings.HasSuffix(p.Object, " "+Namespace+"/"+storeName) {
				continue
			}
			add(finding{p.Object, fmt.Sprintf("no replica of %s was ready for %s", p.Facts["replicas"], span(p)), p.At, p.until - p.At})
		}
	}
}

// degradedFor is how long an operator may be Degraded while it is upgraded.
const degradedFor = 10 * time.Minute

func always(*evaluation, period) bool       { return true }
func atTheEnd(_ *evaluation, p period) bool { return p.open }
func lastingly(e *evaluation, p period) bool {
	return p.open || p.At < e.session.Baseline || p.until-p.At > degradedFor
}

// findOperators takes the periods of a state of cluster operators that count.
func findOperators(state string, counts func(*evaluation, period) bool) func(*evaluation, func(finding)) {
	return func(e *evaluation, add func(finding)) {
		for _, p := range e.states(LaneOperator, isState(state)) {
			if counts(e, p) {
				add(finding{p.Object, fmt.Sprintf("%s for %s: %s", state, span(p), p.Detail), p.At, p.until - p.At})
			}
		}
	}
}
