// Package observe watches a cluster while it is probed, and tells a monitor what
// happens in it: nodes, pods, workloads, events, API servers and etcd. It records what
// it sees and judges nothing; the rules of package upgradetest do.
package observe
