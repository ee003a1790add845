package releasetest

// included are the annotations without which a cluster leaves a manifest out.
const included = `annotations:
    include.release.openshift.io/self-managed-high-availability: "true"
    include.release.openshift.io/single-node-developer: "true"`

// templates are the manifests of an operator, in the order in which a smaller
// set keeps them.
var templates = []struct{ name, text string }{
	{"00_namespace.yaml", `apiVersion: v1
kind: Namespace
metadata:
  name: openshift-OPERATOR
  ` + included + `
  labels:
    pod-security.kubernetes.io/enforce: restricted
`},
	{"07_deployment.yaml", `# The operator itself. quay.io/upstream/comment:dev is only a comment.
apiVersion: apps/v1
kind: Deployment
metadata:
  name: OPERATOR
  namespace: openshift-OPERATOR
  ` + included + `
    release.version: 0.0.1-snapshot
  labels:
    app: OPERATOR
spec:
  replicas: 2
  strategy:
    type: RollingUpdate
    rollingUpdate: {maxUnavailable: 1, maxSurge: 1}
  selector:
    matchLabels:
      app: OPERATOR
  template:
    metadata:
      labels:
        app: OPERATOR
    spec:
      serviceAccountName: OPERATOR
      priorityClassName: system-cluster-critical
      affinity:
        podAntiAffinity:
          preferredDuringSchedulingIgnoredDuringExecution:
          - weight: 100
            podAffinityTerm:
              topologyKey: kubernetes.io/hostname
              labelSelector: {matchLabels: {app: OPERATOR}}
      containers:
      - name: operator
        image: SOURCE/SELF
        args: [start, --v=2, "--operand=SOURCE/OPERAND"]
        env:
        - name: OPERAND_IMAGE
          value: SOURCE/OPERAND
        - {name: OPERATOR_IMAGE, value: "SOURCE/SELF"}
        - name: ALL_IMAGES
          value: SOURCE/SELF,SOURCE/OPERAND
        - name: RELEASE_VERSION
          value: 0.0.1-snapshot
        ports:
        - {name: metrics, containerPort: PORT}
        readinessProbe:
          httpGet: {path: /readyz, port: PORT}
        resources:
          requests: {cpu: 10m, memory: 50Mi}
        securityContext:
          allowPrivilegeEscalation: false
          capabilities: {drop: [ALL]}
      securityContext:
        runAsNonRoot: true
`},
	{"01_crd.yaml", `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: GROUPs.operator.example.com
  ` + included + `
spec:
  group: operator.example.com
  scope: Cluster
  names:
    kind: KIND
    listKind: KINDList
    plural: GROUPs
    singular: GROUP
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    schema:
      openAPIV3Schema:
        description: KIND configures OPERAND.
        type: object
        required: [spec]
        properties:
          apiVersion: {type: string}
          kind: {type: string}
          metadata: {type: object}
          spec:
            type: object
            properties:
PROPERTIES
          status:
            type: object
            x-kubernetes-preserve-unknown-fields: true
`},
	{"02_config.yaml", `apiVersion: operator.example.com/v1
kind: KIND
metadata:
  name: cluster
  ` + included + `
    release.openshift.io/create-only: "true"
spec:
  field00: "on"
`},
	{"03_rbac.yaml", `apiVersion: v1
kind: ServiceAccount
metadata:
  name: OPERATOR
  namespace: openshift-OPERATOR
  ` + included + `
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: system:openshift:OPERATOR
  ` + included + `
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "system:openshift:OPERATOR"}
subjects:
- {kind: ServiceAccount, name: OPERATOR, namespace: openshift-OPERATOR}
`},
	{"03_clusterrole.yaml", `apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: system:openshift:OPERATOR
  ` + included + `
rules:
- apiGroups: [operator.example.com]
  resources: [GROUPs, GROUPs/status]
  verbs: [get, list, watch, update, patch]
- apiGroups: [""]
  resources: [configmaps, secrets, services]
  verbs: [get, list, watch, create, update, delete]
- apiGroups: [apps]
  resources: [deployments]
  verbs: ["*"]
`},
	{"04_role.yaml", `apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: OPERATOR
  namespace: openshift-OPERATOR
  ` + included + `
rules:
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, create, update]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: OPERATOR
  namespace: openshift-OPERATOR
  ` + included + `
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: OPERATOR}
subjects:
- {kind: ServiceAccount, name: OPERATOR, namespace: openshift-OPERATOR}
`},
	{"05_images.yaml", `apiVersion: v1
kind: ConfigMap
metadata:
  name: OPERATOR-images
  namespace: openshift-OPERATOR
  ` + included + `
data:
  release-version: 0.0.1-snapshot
  kubernetes-version: KUBERNETES
  images.json: >
    {"operator": "SOURCE/SELF", "operand": "SOURCE/OPERAND"}
`},
	{"06_service.yaml", `apiVersion: v1
kind: Service
metadata:
  name: metrics
  namespace: openshift-OPERATOR
  ` + included + `
spec:
  selector: {app: OPERATOR}
  ports:
  - {name: metrics, port: 443, targetPort: metrics}
`},
	{"08_pdb.yaml", `apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: OPERATOR
  namespace: openshift-OPERATOR
  ` + included + `
spec:
  maxUnavailable: 1
  selector:
    matchLabels:
      app: OPERATOR
`},
	{"09_networkpolicy.yaml", `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: allow-metrics
  namespace: openshift-OPERATOR
  ` + included + `
spec:
  podSelector: {matchLabels: {app: OPERATOR}}
  policyTypes: [Ingress]
  ingress:
  - ports: [{port: metrics}]
`},
	{"10_trusted-ca.json", `{
  "apiVersion": "v1",
  "kind": "ConfigMap",
  "metadata": {
    "name": "trusted-ca-bundle",
    "namespace": "openshift-OPERATOR",
    "annotations": {
      "include.release.openshift.io/self-managed-high-availability": "true",
      "include.release.openshift.io/single-node-developer": "true",
      "release.openshift.io/create-only": "true"
    },
    "labels": {"config.openshift.io/inject-trusted-cabundle": "true"}
  }
}
`},
}

// extraConfig fills sets with more manifests than there are templates.
const extraConfig = `apiVersion: v1
kind: ConfigMap
metadata:
  name: extra-NUMBER
  namespace: openshift-OPERATOR
  ` + included + `
data:
  number: "NUMBER"
`
