package e2e

import (
	"context"
	"strings"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

func volumeSpecs() []spec {
	return []spec{
		{group: "Volumes", name: "config maps and secrets appear as files and variables, and change", objects: configObjects, run: mountsConfig},
		{group: "Volumes", name: "containers of a pod share a scratch volume, which outlives them", objects: scratchObjects, run: sharesScratch},
		{group: "Volumes", name: "a claim of the default class keeps its data when the pod is replaced", objects: claimObjects, run: keepsData},
	}
}

func configObjects(e *env) []runtime.Object {
	from := func(s *corev1.PodSpec) {
		s.Containers[0].EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "keys"}}}}
	}
	mode := int32(0o400)
	return objects(
		&corev1.ConfigMap{ObjectMeta: meta("settings"), Data: map[string]string{"colour": "blue"}, BinaryData: map[string][]byte{"raw": {0, 1, 254, 255}}},
		&corev1.Secret{ObjectMeta: meta("keys"), StringData: map[string]string{"TOKEN": "s3cret"}},
		e.pod("reader", shell(idle), from,
			volume("settings", "/etc/settings", corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "settings"}}}),
			volume("keys", "/etc/keys", corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "keys", DefaultMode: &mode}})),
	)
}

func mountsConfig(ctx context.Context, e *env) {
	e.ready(ctx, "reader")
	said := e.run(ctx, "reader", "sh", "-c", `cat /etc/settings/colour; echo; od -An -tu1 /etc/settings/raw; cat /etc/keys/TOKEN; echo; echo $TOKEN; stat -L -c %a /etc/keys/TOKEN`)
	Expect(strings.Fields(said)).To(Equal([]string{"blue", "0", "1", "254", "255", "s3cret", "s3cret", "400"}))

	_, err := e.api().CoreV1().ConfigMaps(e.namespace).Patch(ctx, "settings", types.MergePatchType, []byte(`{"data":{"colour":"green"}}`), metav1.PatchOptions{})
	Expect(err).NotTo(HaveOccurred())
	// The kubelet looks at a pod's volumes once a minute, and whenever the pod changes.
	_, err = e.api().CoreV1().Pods(e.namespace).Patch(ctx, "reader", types.MergePatchType, []byte(`{"metadata":{"annotations":{"looked-at":"again"}}}`), metav1.PatchOptions{})
	Expect(err).NotTo(HaveOccurred())
	Eventually(ctx, func() string { return e.run(ctx, "reader", "cat", "/etc/settings/colour") }).Should(Equal("green"))
}

func scratchObjects(e *env) []runtime.Object {
	// What is still run in a container when it ends is killed, so it waits for the touch.
	return objects(e.pod("sharing", shell(`echo $HOSTNAME >>/scratch/starts; while ! test -e /scratch/leave; do sleep 0.1; done; rm /scratch/leave; sleep 1`),
		func(s *corev1.PodSpec) {
			second := *s.Containers[0].DeepCopy()
			second.Name, second.Command = "second", []string{"/bin/sh", "-c", idle}
			s.Containers = append(s.Containers, second)
			init := *s.Containers[0].DeepCopy()
			init.Name, init.Command = "before", []string{"/bin/sh", "-c", "echo prepared >/scratch/starts"}
			s.InitContainers = []corev1.Container{init}
		},
		volume("scratch", "/scratch", corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory}}),
		func(s *corev1.PodSpec) { s.InitContainers[0].VolumeMounts = s.Containers[0].VolumeMounts },
	))
}

func sharesScratch(ctx context.Context, e *env) {
	e.ready(ctx, "sharing")
	Expect(strings.Fields(e.run(ctx, "sharing", "cat", "/scratch/starts"))).To(Equal([]string{"prepared", "sharing"}))
	e.run(ctx, "sharing", "touch", "/scratch/leave") // the first container ends and is started again
	Eventually(ctx, func(g Gomega) {
		pod, err := e.getPod(ctx, "sharing")
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(isReady(pod)).To(BeTrue(), describe(pod))
		restarts := map[string]int32{}
		for _, s := range pod.Status.ContainerStatuses {
			restarts[s.Name] = s.RestartCount
		}
		g.Expect(restarts).To(Equal(map[string]int32{"main": 1, "second": 0}))
	}).Should(Succeed())
	Expect(strings.Fields(e.run(ctx, "sharing", "cat", "/scratch/starts"))).To(Equal([]string{"prepared", "sharing", "sharing"}))
}

func claimObjects(e *env) []runtime.Object {
	return objects(
		&corev1.PersistentVolumeClaim{ObjectMeta: meta("data"), Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("16Mi")}},
		}},
		e.pod("writer", shell(idle), claim),
	)
}

func claim(s *corev1.PodSpec) {
	volume("data", "/data", corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}})(s)
}

func keepsData(ctx context.Context, e *env) {
	e.ready(ctx, "writer")
	e.run(ctx, "writer", "sh", "-c", "echo kept >/data/file && sync")
	pods := e.api().CoreV1().Pods(e.namespace)
	Expect(pods.Delete(ctx, "writer", metav1.DeleteOptions{})).To(Succeed())
	Eventually(ctx, func() bool {
		_, err := e.getPod(ctx, "writer")
		return apierrors.IsNotFound(err)
	}).Should(BeTrue())
	e.create(ctx, e.pod("reader", shell(idle), claim))
	e.ready(ctx, "reader")
	Expect(e.run(ctx, "reader", "cat", "/data/file")).To(Equal("kept"))
	got, err := e.api().CoreV1().PersistentVolumeClaims(e.namespace).Get(ctx, "data", metav1.GetOptions{})
	Expect(err).NotTo(HaveOccurred())
	Expect(got.Status.Phase).To(Equal(corev1.ClaimBound))
	Expect(got.Spec.StorageClassName).NotTo(BeNil(), "no default class was filled in")
}
