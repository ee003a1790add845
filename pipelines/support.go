package pipelines

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	corev1 "k8s.io/api/core/v1"
)

// CheckLocal names every field of a pipeline and of the Tasks it uses that
// means something on a Tekton cluster but cannot be honoured on this host.
// Resource requests, labels and pull policies are not among them: a run without
// them is still right.
func (s *Set) CheckLocal(pipeline string) Problems {
	p := find(s.pipelines, pipeline)
	if p == nil {
		return nil
	}
	c := localCheck{document: p.document}
	var ps Problems
	seen := map[string]bool{}
	for _, sec := range sections(p.value) {
		for i := range sec.tasks {
			pt := &sec.tasks[i]
			path := fmt.Sprintf("%s[%d]", sec.path, i)
			c.pipelineTask(path, pt)
			if pt.TaskSpec != nil {
				c.taskSpec(path+".taskSpec", &pt.TaskSpec.TaskSpec)
			} else if refersToTask(pt) && !seen[pt.TaskRef.Name] {
				seen[pt.TaskRef.Name] = true
				if t := find(s.tasks, pt.TaskRef.Name); t != nil {
					tc := localCheck{document: t.document}
					tc.taskSpec("spec", &t.value.Spec)
					ps = append(ps, tc.problems...)
				}
			}
		}
	}
	return append(ps, c.problems...).sorted()
}

type localCheck struct {
	*document
	problems Problems
}

// refuse reports a field that has a value.
func (c *localCheck) refuse(field string, value any, hint string) {
	if v := reflect.ValueOf(value); !v.IsValid() || v.IsZero() || (v.Kind() == reflect.Slice && v.Len() == 0) {
		return
	}
	message := "is not supported by the local runner"
	if hint != "" {
		message += "; " + hint
	}
	c.problems = append(c.problems, c.problem(field, message))
}

func (c *localCheck) pipelineTask(path string, pt *v1.PipelineTask) {
	c.refuse(path+".matrix", pt.Matrix, "write one task for each combination")
	c.refuse(path+".pipelineRef", pt.PipelineRef, "put its tasks into this pipeline")
	c.refuse(path+".pipelineSpec", pt.PipelineSpec, "put its tasks into this pipeline")
	for i, w := range pt.When {
		c.refuse(fmt.Sprintf("%s.when[%d].cel", path, i), w.CEL, "use input, operator and values")
	}
	if ref := pt.TaskRef; ref != nil && !refersToTask(pt) {
		c.refuse(path+".taskRef.resolver", string(ref.Resolver), "give the Task as a file")
		if ref.Resolver == "" {
			c.refuse(path+".taskRef.apiVersion", ref.APIVersion, "custom tasks need a cluster")
			if ref.APIVersion == "" {
				c.refuse(path+".taskRef.kind", string(ref.Kind), "custom tasks need a cluster")
			}
		}
	}
	if pt.TaskSpec != nil {
		c.refuse(path+".taskSpec.apiVersion", pt.TaskSpec.APIVersion, "custom tasks need a cluster")
	}
	if strings.Contains(string(pt.OnError), "$(") {
		c.refuse(path+".onError", pt.OnError, "write continue or stopAndFail")
	}
}

func (c *localCheck) taskSpec(path string, spec *v1.TaskSpec) {
	c.refuse(path+".sidecars", spec.Sidecars, "start what is needed in a step")
	c.refuse(path+".volumes", spec.Volumes, "use a workspace")
	if t := spec.StepTemplate; t != nil {
		c.container(path+".stepTemplate", v1.Step{
			EnvFrom: t.EnvFrom, Env: t.Env, VolumeMounts: t.VolumeMounts, VolumeDevices: t.VolumeDevices, SecurityContext: t.SecurityContext,
		})
	}
	for i, r := range spec.Results {
		c.refuse(fmt.Sprintf("%s.results[%d].value", path, i), r.Value, "write the result's file in a step")
	}
	for i, s := range spec.Steps {
		field := fmt.Sprintf("%s.steps[%d]", path, i)
		c.refuse(field+".ref", s.Ref, "write the step out")
		c.refuse(field+".params", s.Params, "they belong to a StepAction")
		c.refuse(field+".results", s.Results, "use results of the task")
		c.refuse(field+".workspaces", s.Workspaces, "declare workspaces for the whole task")
		for k, w := range s.When {
			c.refuse(fmt.Sprintf("%s.when[%d].cel", field, k), w.CEL, "use input, operator and values")
		}
		c.container(field, s)
	}
}

func (c *localCheck) container(field string, s v1.Step) {
	c.refuse(field+".envFrom", s.EnvFrom, "name the variables in env")
	c.refuse(field+".volumeMounts", s.VolumeMounts, "use a workspace")
	c.refuse(field+".volumeDevices", s.VolumeDevices, "use a workspace")
	for _, e := range s.Env {
		if e.ValueFrom != nil {
			c.refuse(fmt.Sprintf("%s.env[%s].valueFrom", field, e.Name), e.ValueFrom, "give the value as a param")
		}
	}
	c.securityContext(field+".securityContext", s.SecurityContext)
}

// securityContext lets pass what grants a step more than it needs, for the
// runner can grant privileged to a container and has nothing to grant on the
// host; all that would confine a step is refused, since it would not be.
func (c *localCheck) securityContext(field string, sc *corev1.SecurityContext) {
	if sc == nil {
		return
	}
	allowed := []string{"Privileged", "AllowPrivilegeEscalation"}
	v := reflect.ValueOf(*sc)
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if slices.Contains(allowed, f.Name) {
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		c.refuse(field+"."+name, v.Field(i).Interface(), "only privileged is")
	}
}
