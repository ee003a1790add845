// Package controller runs streams unattended: it cuts payloads when their rules say
// so, runs the pipelines that make and check them, decides, promotes and deletes what
// need not be kept. What it knows lies in the registry (release/streams/journal) and
// beside the payloads, so that it may be killed at any time and started elsewhere.
//
// How a run ended is told by exit codes: 1 the payload failed, 4 nothing can be said, 2
// the configuration is wrong; anything else is a failure of the host or of a service, and
// is tried again after a while.
package controller
