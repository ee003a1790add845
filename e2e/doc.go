// Package e2e tests that a cluster does what its users count on.
//
// The smoke suite is a list of Ginkgo specs, each in a namespace of its own and
// each asking for one thing that a user would call a basic: the API, access
// control, pods, services, DNS, volumes, workloads, and that the images that run
// are those of the release. [Run] runs it in this process, against the cluster of
// a kubeconfig, and returns the "conformance" object of the run report.
//
// Objects of the specs to come are made while one runs, so that pods start while
// others are looked at. Specs themselves run one after the other, in the order of
// the list.
//
// A spec that is not meant for a profile is reported as skipped, with the reason, and
// not expected there. One that was expected and did not run makes the run fail.
package e2e
