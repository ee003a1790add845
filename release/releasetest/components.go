package releasetest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// The components that every set has. BaseName is the one that payloads are put
// on: the name that oc looks for.
const (
	BaseName = "cluster-version-operator"
	KubeName = "hyperkube"
)

// Version is what the generated components announce for Kubernetes.
const Version = "1.36.3"

// components names all components of a set and writes the operators' files. No
// digest is known yet.
func components(address string, o Options) []Component {
	var all []Component
	operands := o.Components - o.Operators
	for i := range operands {
		c := Component{Name: fmt.Sprintf("svc-%03d", i)}
		switch i {
		case 0:
			c.Name = BaseName
		case 1:
			c.Name = KubeName
		}
		all = append(all, c)
	}
	for i := range o.Operators {
		c := Component{Name: fmt.Sprintf("svc-%03d-operator", i), Operator: true}
		c.Uses = []string{c.Name}
		// Every operand is named by an operator: nothing is pruned.
		for j := i; j < operands; j += o.Operators {
			c.Uses = append(c.Uses, all[j].Name)
		}
		if len(c.Uses) == 1 {
			c.Uses = append(c.Uses, all[i%operands].Name)
		}
		all = append(all, c)
	}
	for i := range all {
		c := &all[i]
		c.Source = "quay.io/upstream/" + c.Name + ":dev"
		c.Labels = map[string]string{
			"io.openshift.build.commit.id":       fmt.Sprintf("%x", newRandom(o, "commit "+c.Name).Uint64()),
			"io.openshift.build.commit.ref":      "main",
			"io.openshift.build.source-location": "https://github.com/example/" + c.Name,
			"vendor":                             "Example",
		}
		if c.Operator {
			c.Labels["io.openshift.release.operator"] = "true"
			c.Files = operatorFiles(c, i-operands, o.Manifests)
		}
		if c.Name == KubeName {
			c.Labels["io.openshift.build.versions"] = "kubernetes=" + Version + ",kubectl=" + Version
			c.Labels["io.openshift.build.version-display-names"] = "kubernetes=Kubernetes"
		}
	}
	slices.SortFunc(all, func(a, b Component) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// operatorFiles writes so many manifests of the kinds that operators bring, the
// most telling first, and the image-references.
func operatorFiles(c *Component, number, manifests int) []File {
	group := strings.TrimSuffix(c.Name, "-operator")
	kubernetes := "none"
	if slices.Contains(c.Uses, KubeName) {
		kubernetes = "0.0.1-snapshot-kubernetes"
	}
	// Half of the operators leave it to the payload to say where files stand.
	prefix := ""
	if number%2 == 0 {
		prefix = "0000_50_" + c.Name + "_"
	}
	values := strings.NewReplacer(
		"KUBERNETES", kubernetes,
		"GROUP", group, "KIND", "Svc"+strings.TrimPrefix(group, "svc-"), "OPERATOR", c.Name, "OPERAND", c.Uses[1],
		"SOURCE/SELF", c.Source, "SOURCE/OPERAND", "quay.io/upstream/"+c.Uses[1]+":dev", "PORT", fmt.Sprint(8000+number),
	)
	var files []File
	for i := range manifests {
		name, text := fmt.Sprintf("12_extra-%02d.yaml", i), extraConfig
		if i < len(templates) {
			name, text = templates[i].name, templates[i].text
		}
		if i == 2 {
			text = strings.Replace(text, "PROPERTIES", properties(), 1)
		}
		text = strings.ReplaceAll(text, "NUMBER", fmt.Sprint(i))
		files = append(files, File{prefix + name, []byte(values.Replace(text))})
	}
	var refs bytes.Buffer
	refs.WriteString("kind: ImageStream\napiVersion: image.openshift.io/v1\nspec:\n  tags:\n")
	for _, used := range c.Uses {
		fmt.Fprintf(&refs, "  - name: %s\n    from:\n      kind: DockerImage\n      name: quay.io/upstream/%s:dev\n", used, used)
	}
	files = append(files, File{"image-references", refs.Bytes()})
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	return files
}

// properties is the bulk of a definition, as generators of definitions write it.
func properties() string {
	var b strings.Builder
	for i := range 24 {
		fmt.Fprintf(&b, `                field%02d:
                  description: |-
                    field%02d sets how the operand deals with case %d. It takes effect when the
                    operand is restarted, which the operator does one replica at a time.
                  type: string
                  maxLength: 253
`, i, i, i)
	}
	return strings.TrimRight(b.String(), "\n")
}
