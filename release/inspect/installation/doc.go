// Package installation says which payload a cluster is at, and for what kind of cluster
// a payload's manifests are chosen: for one that runs, or for one that an
// install-config.yaml describes.
//
// A cluster of OpenShift or OKD says so in its ClusterVersion, FeatureGate and
// Infrastructure (config.openshift.io/v1) and in the environment of its
// cluster-version operator; one that Slipway made, in the record of its rollout.
package installation
