package observe

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-release/slipway/upgradetest"
)

const (
	etcdEvery   = 2 * time.Second
	etcdTimeout = 5 * time.Second
	// slowFsync is a bound of a bucket of etcd's histogram, in seconds.
	slowFsync = 1.024
)

// member is what the metrics of an etcd member say (etcd's server/etcdserver/metrics.go
// and server/storage/wal/metrics.go).
type member struct {
	leader, hasLeader bool
	changes           int // of the leader, that it has seen
	slow              int // writes of the log that took longer than slowFsync
}

// etcd asks every member for its metrics through the API server's proxy: by a poller
// in the node's network, for kubeadm lets etcd serve them on the node's loopback only,
// or else of the pod itself.
func (o *Observer) etcd(ctx context.Context) {
	pods, err := o.client.CoreV1().Pods(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{LabelSelector: "component=etcd"})
	if err != nil {
		o.sink.Skip("etcd: its pods could not be listed: " + err.Error())
		return
	}
	if len(pods.Items) == 0 {
		o.sink.Skip("etcd: it does not run in pods of kube-system, so its metrics cannot be had through the API")
		return
	}
	for _, pod := range pods.Items {
		o.users.Go(func() { o.follow(ctx, pod) })
	}
}

func (o *Observer) follow(ctx context.Context, pod corev1.Pod) {
	ticker := time.NewTicker(etcdEvery)
	defer ticker.Stop()
	var last *member
	failed := 0
	for {
		now, err := o.metrics(ctx, pod)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && last == nil:
			// Pollers may need a while to start, on a busy host a minute.
			if failed++; failed == 30 {
				o.sink.Skip(fmt.Sprintf("etcd on %s: its metrics cannot be had: %v", pod.Spec.NodeName, err))
				return
			}
		case err == nil:
			o.compare(pod.Spec.NodeName, last, now)
			last = now
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func (o *Observer) metrics(ctx context.Context, pod corev1.Pod) (*member, error) {
	ctx, cancel := context.WithTimeout(ctx, etcdTimeout)
	defer cancel()
	relays, err := o.client.CoreV1().Pods(upgradetest.Namespace).List(ctx, metav1.ListOptions{
		LabelSelector: "app.kubernetes.io/name=" + upgradetest.HostPollerName, FieldSelector: "spec.nodeName=" + pod.Spec.NodeName,
	})
	if err != nil {
		return nil, err
	}
	pods := o.client.CoreV1().Pods(metav1.NamespaceSystem)
	request := pods.ProxyGet("http", pod.Name, "2381", "/metrics", nil)
	if len(relays.Items) > 0 {
		request = o.client.CoreV1().Pods(upgradetest.Namespace).ProxyGet("http", relays.Items[0].Name, strconv.Itoa(upgradetest.HostPollerPort), "/etcd", nil)
	}
	data, err := request.DoRaw(ctx)
	if err != nil {
		return nil, err
	}
	return parseMetrics(data)
}

// parseMetrics reads the text format of Prometheus, as far as it is needed here.
func parseMetrics(data []byte) (*member, error) {
	m := &member{}
	found, all, fast := false, 0.0, 0.0
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		key, text, ok := strings.Cut(lines.Text(), " ")
		if !ok || strings.HasPrefix(key, "#") {
			continue
		}
		value, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
		if err != nil || math.IsNaN(value) || math.IsInf(value, 0) {
			continue
		}
		switch key {
		case "etcd_server_is_leader":
			m.leader = value == 1
		case "etcd_server_has_leader":
			m.hasLeader, found = value == 1, true
		case "etcd_server_leader_changes_seen_total":
			m.changes = int(min(value, math.MaxInt32))
		case fmt.Sprintf("etcd_disk_wal_fsync_duration_seconds_bucket{le=%q}", strconv.FormatFloat(slowFsync, 'g', -1, 64)):
			fast = value
		case "etcd_disk_wal_fsync_duration_seconds_count":
			all = value
		}
	}
	if !found {
		return nil, fmt.Errorf("they do not hold etcd_server_has_leader")
	}
	m.slow = int(min(max(all-fast, 0), math.MaxInt32))
	return m, nil
}

func (m *member) state() string {
	switch {
	case !m.hasLeader:
		return "no-leader"
	case m.leader:
		return "leader"
	}
	return "follower"
}

// compare tells what changed. A member that was started anew counts from 0 again.
func (o *Observer) compare(node string, last, now *member) {
	if last == nil {
		o.see(upgradetest.LaneEtcd, node, now.state(), "", map[string]string{"leaderChanges": "0"})
		return
	}
	changes := now.changes - last.changes
	if changes < 0 {
		changes = 0
	}
	if now.state() != last.state() || changes > 0 {
		o.see(upgradetest.LaneEtcd, node, now.state(), "", map[string]string{"leaderChanges": strconv.Itoa(changes)})
	}
	if now.slow > last.slow {
		o.see(upgradetest.LaneEtcd, node+" disk", "slow-fsync", fmt.Sprintf("%d writes of the log took over %v s", now.slow-last.slow, slowFsync), nil)
	}
}
