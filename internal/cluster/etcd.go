package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
)

// etcdctl runs etcdctl with the arguments in the etcd container of the node.
const etcdctl = `
container=$(crictl ps --quiet --state Running --label io.kubernetes.container.name=etcd | head -n 1)
[ -n "$container" ] || { echo "etcd does not run on this node" >&2; exit 1; }
pki=/etc/kubernetes/pki/etcd
crictl exec "$container" etcdctl --cacert=$pki/ca.crt --cert=$pki/server.crt --key=$pki/server.key "$@"
`

// memberStatus is one element of `etcdctl endpoint status --write-out=json`.
type memberStatus struct {
	Endpoint string
	Status   struct {
		Header struct {
			MemberID uint64 `json:"member_id"`
		} `json:"header"`
		Leader uint64 `json:"leader"`
	}
}

// EtcdLeader returns the node whose member leads etcd.
func (c *Cluster) EtcdLeader(ctx context.Context) (*Node, error) {
	statuses, err := c.etcdStatus(ctx)
	if err != nil {
		return nil, err
	}
	return c.leaderOf(statuses)
}

// MoveEtcdLeader hands etcd's leadership to another node when from has it, so
// that taking from away costs no election. It does nothing in a cluster of one.
//
// A write that a member forwards to the leader in the moment of the move is lost, and
// its client waits in vain. So the leadership goes to the last of the control planes: when
// they are taken away in their order, it moves at most twice.
func (c *Cluster) MoveEtcdLeader(ctx context.Context, from *Node) error {
	planes := c.ControlPlanes()
	if len(planes) < 2 {
		return nil
	}
	statuses, err := c.etcdStatus(ctx)
	if err != nil {
		return err
	}
	leader, err := c.leaderOf(statuses)
	if err != nil || leader.name != from.name {
		return err
	}
	to, ok := successor(planes, from, statuses)
	if !ok {
		return fmt.Errorf("moving etcd's leadership away from node %q: no other member answers", from.name)
	}
	_, err = from.script(ctx, nil, etcdctl, "--endpoints=https://127.0.0.1:2379", "move-leader", strconv.FormatUint(to, 16))
	if err != nil {
		return fmt.Errorf("moving etcd's leadership away from node %q: %w", from.name, err)
	}
	return nil
}

// successor returns the id of the member on the last node in order that answers, other
// than from. When from is itself the last, that is the one before: it has been dealt with.
func successor(order []*Node, from *Node, statuses []memberStatus) (uint64, bool) {
	for _, n := range slices.Backward(order) {
		if n.name == from.name {
			continue
		}
		for _, s := range statuses {
			if endpoint, err := url.Parse(s.Endpoint); err == nil && endpoint.Hostname() == n.address {
				return s.Status.Header.MemberID, true
			}
		}
	}
	return 0, false
}

// etcdStatus asks every member, through the first control plane whose own answers.
func (c *Cluster) etcdStatus(ctx context.Context) ([]memberStatus, error) {
	var last error
	for _, n := range c.ControlPlanes() {
		out, err := n.script(ctx, nil, etcdctl, "--endpoints=https://127.0.0.1:2379", "endpoint", "status", "--cluster", "--write-out=json")
		if err != nil {
			last = err
			continue
		}
		var statuses []memberStatus
		if err := json.Unmarshal(out, &statuses); err != nil {
			return nil, fmt.Errorf("reading the state of etcd: %w", err)
		}
		return statuses, nil
	}
	return nil, fmt.Errorf("asking etcd for its state: %w", last)
}

func (c *Cluster) leaderOf(statuses []memberStatus) (*Node, error) {
	for _, s := range statuses {
		if s.Status.Header.MemberID != s.Status.Leader {
			continue
		}
		endpoint, err := url.Parse(s.Endpoint)
		if err != nil {
			return nil, fmt.Errorf("reading the state of etcd: %w", err)
		}
		for _, n := range c.ControlPlanes() {
			if n.address == endpoint.Hostname() {
				return n, nil
			}
		}
	}
	return nil, fmt.Errorf("looking for etcd's leader among %d members: none leads", len(statuses))
}
