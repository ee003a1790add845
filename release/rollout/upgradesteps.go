package rollout

import (
	"fmt"
	"slices"
)

func (p *UpgradePlan) fill() {
	for _, n := range p.nodes {
		p.addStep(PhaseContent, n, ActionPush)
	}
	p.addBalancer()
	for _, n := range p.nodes {
		if n.controlPlane {
			actions := []Action{ActionUnload, ActionLeader, ActionUpgrade, ActionUpdate, ActionHealth, ActionReload, ActionMark}
			if p.controlPlane == 1 {
				actions = []Action{ActionUpgrade, ActionUpdate, ActionHealth, ActionMark}
			}
			p.addStep(PhaseControlPlane, n, actions...)
		}
	}
	p.Steps = append(p.Steps, Step{ID: string(PhaseManifests) + "/" + string(ActionApply), Phase: PhaseManifests, Action: ActionApply})
	for _, n := range p.nodes {
		if !n.controlPlane {
			p.addStep(PhaseWorkers, n, ActionCordon, ActionDrain, ActionUpdate, ActionHealth, ActionUncordon, ActionMark)
		}
	}
	p.Steps = append(p.Steps, Step{ID: string(PhaseVerify) + "/" + string(ActionCheck), Phase: PhaseVerify, Action: ActionCheck})
}

// addBalancer lets the load balancer be configured before servers leave: how it finds
// out about that may be what is new.
func (p *UpgradePlan) addBalancer() {
	if p.controlPlane > 1 {
		p.Steps = append(p.Steps, Step{
			ID: string(PhaseControlPlane) + "/" + string(ActionBalance), Phase: PhaseControlPlane, Action: ActionBalance,
			Done: !slices.ContainsFunc(p.nodes, func(n node) bool { return n.controlPlane && !p.arrived(n) }),
		})
	}
}

func (p *UpgradePlan) addStep(phase Phase, n node, actions ...Action) {
	for _, a := range actions {
		p.Steps = append(p.Steps, Step{
			ID: fmt.Sprintf("%s/%s/%s", phase, n.name, a), Phase: phase, Node: n.name, Action: a,
			Done: p.arrived(n),
		})
	}
}

// arrived reports whether the cluster shows that nothing is left to do to a node.
func (p *UpgradePlan) arrived(n node) bool {
	return n.payload == p.To.Digest && n.state == "" && n.reconfigured == p.reconfigurationID()
}

// reconfigurationID is empty for an upgrade to a payload.
func (p *UpgradePlan) reconfigurationID() string {
	if p.Reconfiguration == nil {
		return ""
	}
	return p.Reconfiguration.ID
}

// state is what UpgradeAnnotation says on a node that is being brought to what is planned.
func (p *UpgradePlan) state() string {
	if id := p.reconfigurationID(); id != "" {
		return p.To.Digest + "+" + id
	}
	return p.To.Digest
}
