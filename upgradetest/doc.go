// Package upgradetest watches a cluster from outside while something is done to
// it, and says for how long which part of it did not answer.
//
// A [Monitor] probes backends: the Kubernetes API on new and on reused connections,
// through its balancer and each server by itself, read from etcd and from the watch
// cache; writes that are read back, a watch that must show each of them once, a Lease
// that is renewed; long-lived streams of exec, of a log and of TCP; a service with two
// replicas, the cluster's DNS, and a store on a volume. Starts lie on a fixed grid, so a
// server that hangs is asked as often as one that answers, and latency counts from the
// intended start. Nothing is retried in secret. Samples go to disk as they come;
// [Evaluate] makes the same [Result] of them at any later time.
//
// Package observe tells the monitor what happens in the cluster meanwhile; the rules of
// this package say what of it should not. Package incluster probes from inside, package
// session puts all of it together, and package selftest proves that outages are found.
//
// # Streams
//
// Every start of a stream's grid is a number that must come back, or a line that must
// come, in time. Kubernetes promises no stream to last: an API server or a kubelet that
// restarts ends it. So an end is a reconnect within the sample that meets it, its clock
// running, and that no other stream can be had is a failure. A TCP connection is
// another matter: its server says [Bye] before it leaves, and any other end has failed.
//
// # What a disruption is
//
// Samples of one backend are taken in the order of their starts. A run of failed
// ones is a disruption, an outage of which only bounds are known:
//
//   - it began after the last success before the run was sent, and before any of
//     the failures was decided. A request that ran into its timeout was decided
//     when it could have been answered at half the speed of the successes before;
//   - it ended after the last failed request was sent, and before the first answer
//     that came after all failures were decided.
//
// The bounds of its length follow: atLeast is from the latest begin to the
// earliest end, atMost from the earliest begin to the latest end. They are apart by
// two intervals of the grid and the time of two ordinary answers at each edge.
//
// A server that hangs and then goes on answers many requests at once. Those are
// slow, not failed, yet all were pending together; so when an answer at the run's
// end was slow, every request that was sent two ordinary answers' times before the
// first of those answers, or earlier, counts as unanswered at its start.
//
// # What it does not do
//
// It does not upgrade anything, and it does not decide about a release: that is
// the verdict's work. When the tester itself was ill, Result.TesterHealthy is
// false and nothing can be concluded from its figures.
package upgradetest
