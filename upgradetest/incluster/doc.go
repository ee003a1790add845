// Package incluster is what runs inside a cluster while it is tested, and how its
// samples come out: servers to be probed, and pollers that probe from where the
// cluster's own programs are.
//
// A poller records as a monitor does, into a file of its own. The monitor outside
// pulls what was added, through the API server's proxy to pods, again and again; when
// it cannot, the poller keeps the samples. Asked to end, it first ends its recording
// and then waits, within its grace period, until the rest was pulled.
package incluster
