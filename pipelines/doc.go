// Package pipelines reads Tekton v1 Pipelines and Tasks, checks them as a
// Tekton cluster would and across files as none does, and runs them on this
// host: the same YAML that says what happens in what order there says it here.
//
// Order, params, results, workspaces, when, retries, timeouts, onError and
// finally mean what they mean on Tekton. Three things differ, because there is
// no pod: a step whose image is Slipway's own runs as this program on the host;
// workspaces are directories of the host, wherever $(workspaces.NAME.path) says
// they are; and what a pod alone can give (sidecars, volumes, resolvers, …) is
// refused by name before anything starts.
//
// A run keeps its state in its folder and goes on where it stood when it is
// started there again:
//
//	<dir>/state.json          what is known of each task, written at each change
//	<dir>/logs/<task>.log     what its steps printed, all attempts
//	<dir>/tasks/<task>/       results, exit codes and scripts of the last attempt
//	<dir>/bin/slipway         this program, for scripts
//
// The package does not know what a release is, and it does not talk to a
// Tekton cluster.
package pipelines

import (
	"embed"
	"io/fs"
)

//go:embed *.yaml tasks/*.yaml
var embedded embed.FS

// Embedded holds Slipway's own pipelines: nightly.yaml and its tasks.
func Embedded() fs.FS { return embedded }
