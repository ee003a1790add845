package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
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
	for _, s := range statuses {
		if s.Status.Header.MemberID == s.Status.Leader {
			continue
		}
		_, err := from.script(ctx, nil, etcdctl, "--endpoints=https://127.0.0.1:2379", "move-leader", strconv.FormatUint(s.Status.Header.MemberID, 16))
		if err != nil {
			return fmt.Errorf("moving etcd's leadership away from node %q: %w", from.name, err)
		}
		return nil
	}
	return fmt.Errorf("moving etcd's leadership away from node %q: no other member answers", from.name)
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
