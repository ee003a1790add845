package lint

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/slipway-release/slipway/internal/controlplane"
)

// delayMargin is by how much an API server must outlast the load balancer's detection: a
// host that is busy with an upgrade asks late and reads answers late.
const delayMargin = 2 * time.Second

// etcd's own defaults, and the ratio that it insists on (go.etcd.io/etcd/server/v3/embed).
const (
	etcdHeartbeat = 100 * time.Millisecond
	etcdElection  = time.Second
	electionRatio = 5
)

// How an API server ends, and who sees it: kubernetes.io/docs/reference/using-api/health-checks, the
// flags shutdown-* of kube-apiserver, and etcd.io/docs/latest/tuning.
var controlPlaneRules = []*Rule{
	{
		ID: "SLW601", Name: "control-plane-settings", Level: Error,
		Title: "Settings of the control plane cannot be read, are for a part that it does not have, or stand twice for one part.",
		Why:   "A cluster cannot be brought to the release, or gets one of two settings by chance.",
		Fix:   "Correct data[\"settings.yaml\"]; name a part of the control plane in the label " + controlplane.Label + ", each in one ConfigMap.",
		check: func(p *payload, report func(place, string)) {
			if p.control == nil {
				return
			}
			for _, wrong := range p.control.wrong {
				report(wrong.at, wrong.message)
			}
		},
	},
	{
		ID: "SLW602", Name: "balancer-check-stays-green", Level: Error,
		Title: "The load balancer asks for a path that an API server answers with success while it shuts down.",
		Why:   "Of an API server's paths only /readyz fails from the moment in which it is told to end. With /healthz or /livez the balancer sends it connections until it has closed its port, and some seconds longer: all of them are refused.",
		Fix:   "Ask for /readyz.",
		check: func(p *payload, report func(place, string)) {
			p.checkPath(func(at place, path string, green bool) {
				if green {
					report(at, fmt.Sprintf("the load balancer asks for %s, which succeeds while an API server shuts down", path))
				}
			})
		},
	},
	{
		ID: "SLW603", Name: "balancer-check-unusual", Level: Warning,
		Title: "The load balancer asks for another path than /readyz.",
		Why:   "Whether it fails early enough when an API server shuts down, or loses its etcd, is not known.",
		Fix:   "Ask for /readyz.",
		check: func(p *payload, report func(place, string)) {
			p.checkPath(func(at place, path string, green bool) {
				if name, _, _ := strings.Cut(path, "?"); !green && name != "/readyz" {
					report(at, fmt.Sprintf("the load balancer asks for %s and not for /readyz", path))
				}
			})
		},
	},
	{
		ID: "SLW604", Name: "shutdown-delay-too-short", Level: Error,
		Title: "An API server of several stops taking connections before the load balancer can have seen that it ends.",
		Why:   "Between its end and the balancer's next look every new connection that it is given is refused. By default there is no delay at all.",
		Fix:   "Set shutdown-delay-duration of kube-apiserver on profile " + haProfile + " above the time that the balancer takes: fall × interval + timeout of its check, and two seconds.",
		check: checkShutdownDelay,
	},
	{
		ID: "SLW605", Name: "grace-within-shutdown-delay", Level: Error,
		Title: "The pod of an API server is killed before its shutdown delay is over.",
		Why:   "The grace period runs during the delay. The process is then killed with all requests and watches it has.",
		Fix:   "Make terminationGracePeriodSeconds of kube-apiserver (30 when it is not set) longer than shutdown-delay-duration by what requests take, 60 s unless request-timeout says otherwise.",
		check: func(p *payload, report func(place, string)) {
			p.eachGrace(func(at place, grace, delay, _ time.Duration) {
				if delay > 0 && grace <= delay {
					report(at, fmt.Sprintf("kube-apiserver is killed after %s, and on profile %s its shutdown delay is %s", grace, haProfile, delay))
				}
			})
		},
	},
	{
		ID: "SLW606", Name: "grace-cuts-requests", Level: Warning,
		Title: "The pod of an API server may be killed while it still has requests.",
		Why:   "After its shutdown delay an API server ends the requests it has. Those that take longer than what is left of the grace period are cut.",
		Fix:   "Make terminationGracePeriodSeconds of kube-apiserver the sum of shutdown-delay-duration and request-timeout (60 s when it is not set), and some seconds.",
		check: func(p *payload, report func(place, string)) {
			p.eachGrace(func(at place, grace, delay, drain time.Duration) {
				if (delay == 0 || grace > delay) && grace-delay < drain {
					report(at, fmt.Sprintf("kube-apiserver is killed after %s; with a shutdown delay of %s that leaves requests %s of the %s that they may take", grace, delay, grace-delay, drain))
				}
			})
		},
	},
	{
		ID: "SLW607", Name: "no-retry-after", Level: Warning,
		Title: "An API server of several closes its port while it still has requests.",
		Why:   "A client that was just given to it is refused, where it could be told to come again and would be given to another one.",
		Fix:   "Set shutdown-send-retry-after of kube-apiserver to true.",
		check: func(p *payload, report func(place, string)) {
			const flag = "shutdown-send-retry-after"
			if c := p.control; c != nil && c.has(controlplane.APIServer) {
				if on, _ := strconv.ParseBool(c.settings.Args(controlplane.APIServer, haProfile)[flag]); !on {
					report(c.argument(controlplane.APIServer, haProfile, flag), fmt.Sprintf("on profile %s kube-apiserver does not send clients elsewhere while it ends, since %s is not set", haProfile, flag))
				}
			}
		},
	},
	{
		ID: "SLW608", Name: "connections-stay", Level: Note,
		Title: "Nothing moves long connections from one API server to another.",
		Why:   "Clients keep their connection for as long as the server lives. After an upgrade the server that was replaced last has next to none, and the first one all.",
		Fix:   "Set goaway-chance of kube-apiserver on profile " + haProfile + ", to 0.001 for example; 0.02 is the most.",
		check: func(p *payload, report func(place, string)) {
			const flag = "goaway-chance"
			if c := p.control; c != nil && c.has(controlplane.APIServer) {
				text := c.settings.Args(controlplane.APIServer, haProfile)[flag]
				if chance, err := strconv.ParseFloat(text, 64); text == "" || err == nil && chance == 0 {
					report(c.argument(controlplane.APIServer, haProfile, flag), fmt.Sprintf("on profile %s clients of kube-apiserver never change servers, since %s is 0", haProfile, flag))
				}
			}
		},
	},
	{
		ID: "SLW609", Name: "etcd-election", Level: Error,
		Title: "The election timeout of etcd is below five heartbeats, or one of both is no number.",
		Why:   "etcd refuses to start with such a ratio. Near to it, every pause of a busy host costs the leader its office, and writes stop until there is another one.",
		Fix:   "Set election-timeout to ten times heartbeat-interval; both are in milliseconds, 1000 and 100 by default.",
		check: checkElection,
	},
	{
		ID: "SLW610", Name: "etcd-grace-too-short", Level: Error,
		Title: "A member of etcd is killed before it can have handed on its leadership.",
		Why:   "A leader that is told to end makes another member the leader first, and raft grants that one election timeout. Killed before, it leaves the cluster without a leader, and writes stop until an election.",
		Fix:   "Make terminationGracePeriodSeconds of etcd longer than that, or leave it out: it is 30 then.",
		check: func(p *payload, report func(place, string)) {
			c := p.control
			if c == nil || !c.has(controlplane.Etcd) {
				return
			}
			election, err := c.milliseconds(haProfile, "election-timeout", etcdElection)
			if grace := c.settings.GracePeriod(controlplane.Etcd); err == nil && grace <= election {
				report(c.setting(controlplane.Etcd, "terminationGracePeriodSeconds"), fmt.Sprintf("etcd is killed after %s, and handing on its leadership may take %s", grace, election))
			}
		},
	},
}

// checkPath visits the path that the balancer asks for, if the payload says one, and whether
// it stays green while a server shuts down.
func (p *payload) checkPath(visit func(at place, path string, green bool)) {
	c := p.control
	if c == nil || !c.has(controlplane.LoadBalancer) {
		return
	}
	path := c.settings.Balancer.Check.Path
	name, query, _ := strings.Cut(path, "?")
	first, _, _ := strings.Cut(strings.TrimPrefix(name, "/"), "/")
	// Of what /readyz looks at, it is the check called shutdown that fails.
	blind := first == "readyz" && slices.Contains(strings.Split(query, "&"), "exclude=shutdown")
	visit(c.setting(controlplane.LoadBalancer, "check", "path"), path, first == "healthz" || first == "livez" || blind)
}

func checkShutdownDelay(p *payload, report func(place, string)) {
	const flag = "shutdown-delay-duration"
	c := p.control
	if c == nil || !c.has(controlplane.APIServer) && (c.unknown[controlplane.APIServer] || !c.brings) {
		return // nothing is known, as of the sources of another component
	}
	where := c.argument(controlplane.APIServer, haProfile, flag)
	delay, err := c.settings.ShutdownDelay(haProfile)
	detection := c.settings.Balancer.Check.Detection()
	needed := detection + delayMargin
	switch {
	case err != nil:
		report(where, fmt.Sprintf("%s of kube-apiserver is %q on profile %s, which is no time such as 15s", flag, c.settings.Args(controlplane.APIServer, haProfile)[flag], haProfile))
	case delay <= 0:
		report(where, fmt.Sprintf("on profile %s kube-apiserver takes no connections as soon as it is told to end, since %s is 0 or not set", haProfile, flag))
	case delay < needed && !c.unknown[controlplane.LoadBalancer]:
		report(where, fmt.Sprintf("on profile %s kube-apiserver takes connections for %s after it was told to end; the load balancer may need %s to see it, so that %s are the least", haProfile, delay, detection, needed))
	}
}

// eachGrace visits how long the kubelet waits for an API server, its delay, and what its
// requests may need after that.
func (p *payload) eachGrace(visit func(at place, grace, delay, drain time.Duration)) {
	c := p.control
	if c == nil || !c.has(controlplane.APIServer) {
		return
	}
	if delay, err := c.settings.ShutdownDelay(haProfile); err == nil {
		visit(c.setting(controlplane.APIServer, "terminationGracePeriodSeconds"), c.settings.GracePeriod(controlplane.APIServer), delay, c.drain(haProfile))
	}
}

func checkElection(p *payload, report func(place, string)) {
	const heartbeatFlag, electionFlag = "heartbeat-interval", "election-timeout"
	c := p.control
	if c == nil || !c.has(controlplane.Etcd) {
		return
	}
	judge := func(profile, whose string) {
		heartbeat, err := c.milliseconds(profile, heartbeatFlag, etcdHeartbeat)
		if err != nil {
			report(c.argument(controlplane.Etcd, profile, heartbeatFlag), fmt.Sprintf("etcd%s: %s", whose, err))
		}
		election, wrong := c.milliseconds(profile, electionFlag, etcdElection)
		if wrong != nil {
			report(c.argument(controlplane.Etcd, profile, electionFlag), fmt.Sprintf("etcd%s: %s", whose, wrong))
		}
		if err != nil || wrong != nil || heartbeat > 0 && election >= electionRatio*heartbeat {
			return
		}
		flag := electionFlag
		if _, set := c.settings.Args(controlplane.Etcd, profile)[flag]; !set {
			flag = heartbeatFlag
		}
		report(c.argument(controlplane.Etcd, profile, flag), fmt.Sprintf("%s of etcd%s is %s, and %s is %s, of which it must be %d times as much",
			electionFlag, whose, election, heartbeatFlag, heartbeat, electionRatio))
	}
	pod := c.settings.Pods[controlplane.Etcd]
	judge("", "")
	for _, profile := range sortedKeys(pod.Profiles) {
		args := pod.Profiles[profile].Args
		if args[heartbeatFlag] != "" || args[electionFlag] != "" {
			judge(profile, " on profile "+profile)
		}
	}
}
