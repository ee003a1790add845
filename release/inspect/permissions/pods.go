package permissions

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/slipway-release/slipway/release/manifests"
)

// PodGain is an object whose pods have power that they did not have.
type PodGain struct {
	Object string  `json:"object"` // "DaemonSet kube-system/kube-proxy"
	File   string  `json:"file"`
	New    bool    `json:"new,omitempty"` // the older payload does not have the object
	Powers []Power `json:"powers"`
}

// Power is one thing that takes a pod out of its box.
type Power struct {
	What  string `json:"what"`            // "privileged", "hostNetwork", "hostPath /var/lib"
	Where string `json:"where,omitempty"` // the container, "" for the whole pod
	Risk  string `json:"risk,omitempty"`
}

const podSecurityLabel = "pod-security.kubernetes.io/enforce"

// pods compares the objects that make pods, and the namespaces' limits for them.
func pods(from, to []manifests.Object) []PodGain {
	had := map[string]map[Power]bool{}
	for _, o := range from {
		if had[o.Key()] == nil {
			had[o.Key()] = map[Power]bool{}
		}
		for _, p := range powers(o) {
			had[o.Key()][p] = true
		}
	}
	gains := []PodGain{}
	for _, o := range to {
		before, known := had[o.Key()]
		gain := PodGain{Object: o.String(), File: o.File, New: !known}
		for _, p := range powers(o) {
			// An account alone is no power; another one than before may be.
			if before[p] || (!known && strings.HasPrefix(p.What, accountPrefix)) || slices.Contains(gain.Powers, p) {
				continue
			}
			gain.Powers = append(gain.Powers, p)
		}
		if len(gain.Powers) > 0 {
			gains = append(gains, gain)
		}
	}
	slices.SortStableFunc(gains, func(a, b PodGain) int {
		return cmp.Or(strings.Compare(a.Object, b.Object), strings.Compare(a.File, b.File))
	})
	return gains
}

const accountPrefix = "runs as ServiceAccount "

// maxDepth bounds the search for pod specifications.
const maxDepth = 50

func powers(o manifests.Object) []Power {
	var found []Power
	if o.Kind == "Namespace" && o.Group() == "" {
		if level := textOf(mapOf(o.Content, "metadata", "labels"), podSecurityLabel); level == "privileged" || level == "baseline" {
			p := Power{What: "pod security level " + level}
			if level == "privileged" {
				p.Risk = "its pods may do everything"
			}
			found = append(found, p)
		}
		return found
	}
	walk(o.Content, 0, func(spec map[string]any) { found = append(found, podPowers(spec)...) })
	return found
}

// walk visits what looks like the specification of pods, wherever it stands, so
// that those in custom resources are found too.
func walk(v any, depth int, visit func(map[string]any)) {
	if depth > maxDepth {
		return
	}
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			walk(item, depth+1, visit)
		}
	case map[string]any:
		if len(listOf(v, "containers")) > 0 {
			visit(v)
		}
		for _, k := range slices.Sorted(maps.Keys(v)) {
			walk(v[k], depth+1, visit)
		}
	}
}

func podPowers(spec map[string]any) []Power {
	var found []Power
	for field, risk := range map[string]string{
		"hostPID":     "sees and signals every process of the node",
		"hostIPC":     "shares memory with processes of the node",
		"hostNetwork": "",
	} {
		if spec[field] == true {
			found = append(found, Power{What: field, Risk: risk})
		}
	}
	slices.SortFunc(found, func(a, b Power) int { return strings.Compare(a.What, b.What) })
	if account := textOf(spec, "serviceAccountName"); account != "" {
		found = append(found, Power{What: accountPrefix + account})
	}
	found = append(found, hostPaths(spec)...)
	found = append(found, contextPowers(mapOf(spec, "securityContext"), "")...)
	for _, list := range []string{"initContainers", "containers", "ephemeralContainers"} {
		for _, c := range listOf(spec, list) {
			name := textOf(c, "name")
			found = append(found, contextPowers(mapOf(c, "securityContext"), name)...)
			for _, port := range listOf(c, "ports") {
				if n := port["hostPort"]; n != nil && n != int64(0) {
					found = append(found, Power{What: fmt.Sprintf("hostPort %v", n), Where: name})
				}
			}
		}
	}
	return found
}

// hostPaths are the folders of the node that a pod sees; writable unless every
// container that mounts one does so for reading.
func hostPaths(spec map[string]any) []Power {
	writable, mounted := map[string]bool{}, map[string]bool{}
	for _, list := range []string{"initContainers", "containers", "ephemeralContainers"} {
		for _, c := range listOf(spec, list) {
			for _, m := range listOf(c, "volumeMounts") {
				name := textOf(m, "name")
				mounted[name] = true
				writable[name] = writable[name] || m["readOnly"] != true
			}
		}
	}
	var found []Power
	for _, volume := range listOf(spec, "volumes") {
		host := mapOf(volume, "hostPath")
		if host == nil {
			continue
		}
		name, path := textOf(volume, "name"), textOf(host, "path")
		p := Power{What: "hostPath " + path, Risk: hostPathRisk(path)}
		if mounted[name] && !writable[name] {
			p.What += ", read-only"
		}
		found = append(found, p)
	}
	return found
}

func hostPathRisk(path string) string {
	switch path := strings.TrimSuffix(path, "/"); {
	case path == "":
		return "the whole file system of the node"
	case strings.HasSuffix(path, ".sock"):
		return "a socket of the node"
	case path == "/etc" || path == "/root" || path == "/var/lib" || path == "/var/run" || path == "/run" || path == "/proc" || path == "/dev",
		strings.HasPrefix(path, "/var/lib/kubelet"), strings.HasPrefix(path, "/etc/kubernetes"):
		return "holds credentials or controls of the node"
	}
	return ""
}

func contextPowers(context map[string]any, container string) []Power {
	var found []Power
	add := func(what, risk string) { found = append(found, Power{What: what, Where: container, Risk: risk}) }
	if context["privileged"] == true {
		add("privileged", "is root on the node")
	}
	if context["runAsUser"] == int64(0) {
		add("runs as root", "")
	}
	for _, c := range stringsOf(mapOf(context, "capabilities")["add"]) {
		risk := ""
		if name := strings.TrimPrefix(strings.ToUpper(c), "CAP_"); slices.Contains(strongCapabilities, name) {
			risk = "a capability with which a container can leave its box"
		}
		add("capability "+c, risk)
	}
	if textOf(mapOf(context, "seccompProfile"), "type") == "Unconfined" {
		add("seccomp Unconfined", "")
	}
	if textOf(mapOf(context, "appArmorProfile"), "type") == "Unconfined" {
		add("AppArmor Unconfined", "")
	}
	if textOf(context, "procMount") == "Unmasked" {
		add("procMount Unmasked", "sees what the kernel tells of the node")
	}
	return found
}

var strongCapabilities = []string{"ALL", "SYS_ADMIN", "SYS_PTRACE", "SYS_MODULE", "SYS_RAWIO", "DAC_READ_SEARCH", "DAC_OVERRIDE", "BPF", "SYS_BOOT", "MAC_ADMIN"}
