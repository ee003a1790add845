package pipelines_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-release/slipway/pipelines"
)

func TestCheckLocalNamesEveryField(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "f.yaml")
	yaml := head + `  tasks:
  - name: a
    matrix: {params: [{name: x, value: [a, b]}]}
    taskSpec:
      params: [{name: x}]
      volumes: [{name: v, emptyDir: {}}]
      sidecars: [{name: s, image: i}]
      stepTemplate:
        securityContext: {runAsUser: 1000}
      steps:
      - image: i
        args: [$(params.x)]
        computeResources: {requests: {cpu: 2}}
        imagePullPolicy: Always
        envFrom: [{configMapRef: {name: c}}]
        env: [{name: PLAIN, value: x}, {name: SECRET, valueFrom: {secretKeyRef: {name: s, key: k}}}]
        volumeMounts: [{name: v, mountPath: /v}]
        securityContext: {privileged: true, runAsNonRoot: true, capabilities: {add: [SYS_ADMIN]}}
  - name: b
    taskRef: {resolver: git, params: [{name: url, value: u}]}
  - name: c
    taskRef: {apiVersion: example.dev/v1, kind: Wait, name: w}
  - name: d
    taskRef: {name: inner}
---
apiVersion: tekton.dev/v1
kind: Task
metadata: {name: inner}
spec:
  steps:
  - name: s
    ref: {name: action}
    params: [{name: x, value: y}]
  - image: i
    when: [{input: a, operator: in, values: [a]}]
`
	if err := os.WriteFile(file, []byte(yaml), 0o644); err != nil {
		t.Fatal(err)
	}
	set, problems := pipelines.Load(t.Context(), file)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	got := strings.Split(strings.ReplaceAll(set.CheckLocal("p").Error(), dir+"/", ""), "\n")
	want := []string{
		`f.yaml:7: spec.tasks[0].matrix: is not supported by the local runner; write one task for each combination`,
		`f.yaml:10: spec.tasks[0].taskSpec.volumes: is not supported by the local runner; use a workspace`,
		`f.yaml:11: spec.tasks[0].taskSpec.sidecars: is not supported by the local runner; start what is needed in a step`,
		`f.yaml:13: spec.tasks[0].taskSpec.stepTemplate.securityContext.runAsUser: is not supported by the local runner; only privileged is`,
		`f.yaml:19: spec.tasks[0].taskSpec.steps[0].envFrom: is not supported by the local runner; name the variables in env`,
		`f.yaml:20: spec.tasks[0].taskSpec.steps[0].env[SECRET].valueFrom: is not supported by the local runner; give the value as a param`,
		`f.yaml:21: spec.tasks[0].taskSpec.steps[0].volumeMounts: is not supported by the local runner; use a workspace`,
		`f.yaml:22: spec.tasks[0].taskSpec.steps[0].securityContext.capabilities: is not supported by the local runner; only privileged is`,
		`f.yaml:22: spec.tasks[0].taskSpec.steps[0].securityContext.runAsNonRoot: is not supported by the local runner; only privileged is`,
		`f.yaml:22: spec.tasks[0].taskSpec.steps[0].securityContext.runAsUser: is not supported by the local runner; only privileged is`, // merged in by Tekton
		`f.yaml:24: spec.tasks[1].taskRef.resolver: is not supported by the local runner; give the Task as a file`,
		`f.yaml:26: spec.tasks[2].taskRef.apiVersion: is not supported by the local runner; custom tasks need a cluster`,
		`f.yaml:36: spec.steps[0].ref: is not supported by the local runner; write the step out`,
		`f.yaml:37: spec.steps[0].params: is not supported by the local runner; they belong to a StepAction`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}

	dir = filepath.Join(t.TempDir(), "run")
	_, err := pipelines.Run(t.Context(), pipelines.RunOptions{Set: set, Pipeline: "p", Dir: dir, Self: "/bin/false"})
	if err == nil || !strings.Contains(err.Error(), "spec.tasks[0].matrix: is not supported") {
		t.Errorf("Run returns %v, want it to refuse matrix by name", err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the run's folder exists (%v), although nothing may start", err)
	}
}
