package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"
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
// A write that reaches etcd in the moment of the move is lost: the old leader refuses it,
// and a member that forwarded it waits in vain. So the API servers, all of etcd's clients,
// are held for that moment; what is asked of them then is answered a little later. And the
// leadership goes to the last of the control planes: when they are taken away in their
// order, it moves at most twice.
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
	if err := moveLeader(ctx, planes, from, to); err != nil {
		return fmt.Errorf("moving etcd's leadership away from node %q: %w", from.name, err)
	}
	return nil
}

const (
	// holdAhead is from the start of the scripts to the moment that they agreed on: a
	// script starts in less, except on a host that has too much to do.
	holdAhead = time.Second
	// holdFor is how long the API servers of the other control planes are held, in which
	// the leadership has moved, on a host that has not too much to do.
	holdFor = 600 * time.Millisecond
	// holdBefore is how long etcd has then, before the move, to finish what it was asked.
	holdBefore = 100 * time.Millisecond
)

// moveLeader makes member to lead, in place of the one on from, while all API servers are held.
func moveLeader(ctx context.Context, planes []*Node, from *Node, to uint64) error {
	at := time.Now().Add(holdAhead)
	micros := func(t time.Time) string { return strconv.FormatInt(t.UnixMicro(), 10) }
	var held sync.WaitGroup
	defer held.Wait()
	for _, n := range planes {
		if n.name == from.name {
			continue
		}
		// One that cannot be held may lose a write. That is no reason to leave the leader
		// where it is about to be ended.
		held.Go(func() { _, _ = n.script(ctx, nil, holdScript+`sleep_until "$2"`, micros(at), micros(at.Add(holdFor))) })
	}
	_, err := from.script(ctx, nil, holdScript+moveScript, micros(at), micros(at.Add(holdBefore)), strconv.FormatUint(to, 10))
	return err
}

// holdScript stops the node's API server at a time, $1 in microseconds since 1970, until the
// script ends. Should the script be killed, something else lets the server go on. On a
// host too busy to be in time it stops nothing.
const holdScript = `
sleep_until() {
  local left=$(( $1 - ${EPOCHREALTIME//[.,]/} ))
  (( left > 0 )) || return 1
  sleep "$(( left / 1000000 )).$(printf %06d $(( left % 1000000 )))"
}
go_on() { kill -CONT $servers 2>/dev/null || true; }
servers=$(pidof kube-apiserver || true)
if [ -n "$servers" ] && sleep_until "$1"; then
  trap go_on EXIT
  (sleep 3; go_on) </dev/null >/dev/null 2>&1 &
  kill -STOP $servers
fi
`

// moveScript makes member $3 lead at the time $2, or at once when that is past. It asks
// etcd's gateway for JSON (api/etcdserverpb/rpc.proto, MoveLeader), which takes a tenth of
// the time of etcdctl in its container.
const moveScript = `
sleep_until "$2" || true
pki=/etc/kubernetes/pki/etcd
curl --silent --show-error --fail-with-body --max-time 10 --cacert $pki/ca.crt --cert $pki/server.crt --key $pki/server.key \
  --data "{\"targetID\": \"$3\"}" https://127.0.0.1:2379/v3/maintenance/transfer-leadership >&2
`

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
