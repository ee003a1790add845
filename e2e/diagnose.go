package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"
)

// finish attaches what explains a failure to the report of a spec, before the
// namespace is deleted.
func (e *env) finish(ctx context.Context, report types.SpecReport) {
	if !report.Failed() {
		return
	}
	text := e.diagnose(ctx)
	ginkgo.AddReportEntry("namespace "+e.namespace, text, ginkgo.ReportEntryVisibilityFailureOrVerbose)
	if e.options.Artifacts == "" {
		return
	}
	name := strings.Trim(regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(report.LeafNodeText), "-"), "-")
	err := os.MkdirAll(e.options.Artifacts, 0o755)
	if err == nil {
		err = os.WriteFile(filepath.Join(e.options.Artifacts, fmt.Sprintf("%s-%d.txt", name, report.NumAttempts)), []byte(text), 0o644)
	}
	if err != nil {
		ginkgo.AddReportEntry("writing artifacts", err.Error())
	}
}

// diagnose tells events, pods and logs of the namespace. What it cannot read it
// says in place.
func (e *env) diagnose(ctx context.Context) string {
	var b strings.Builder
	events, err := e.api().CoreV1().Events(e.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		fmt.Fprintf(&b, "reading events: %v\n", err)
	} else {
		for _, ev := range events.Items {
			fmt.Fprintf(&b, "event %s %s %s/%s: %s: %s\n", ev.LastTimestamp.UTC().Format("15:04:05"), ev.Type, ev.InvolvedObject.Kind, ev.InvolvedObject.Name, ev.Reason, ev.Message)
		}
	}
	pods, err := e.api().CoreV1().Pods(e.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		fmt.Fprintf(&b, "reading pods: %v\n", err)
		return b.String()
	}
	for _, pod := range pods.Items {
		fmt.Fprintf(&b, "\npod %s: %s\n", pod.Name, describe(&pod))
		if status, err := yaml.Marshal(pod.Status); err == nil {
			b.Write(status)
		}
		for _, c := range pod.Status.ContainerStatuses {
			e.appendLogs(ctx, &b, pod.Name, c.Name, false)
			if c.RestartCount > 0 {
				e.appendLogs(ctx, &b, pod.Name, c.Name, true)
			}
		}
	}
	return b.String()
}

func (e *env) appendLogs(ctx context.Context, b *strings.Builder, pod, container string, previous bool) {
	text, err := e.logs(ctx, pod, corev1.PodLogOptions{Container: container, Previous: previous, TailLines: ptr.To[int64](50)})
	fmt.Fprintf(b, "-- logs of %s/%s, previous %v --\n%s", pod, container, previous, text)
	if err != nil {
		fmt.Fprintf(b, "reading logs: %v\n", err)
	}
}
