// Package catalog is what a registry knows about a distribution's releases, read for
// people and for the programs that ask a release controller: streams, their payloads,
// what was decided about each and on which evidence, upgrades that were tried, channels.
//
// A Catalog does not change once it was made. A Keeper makes one after the other in the
// background; requests are answered from the last one and never wait for the registry.
// What is too large to keep of every payload (its components, its history, the
// statements themselves) is read when somebody asks, within bounds of time and memory.
//
// API answers the paths of OpenShift's release-controller-api in its shapes:
// https://github.com/openshift/release-controller/tree/master/cmd/release-controller-api
package catalog
