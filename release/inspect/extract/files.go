package extract

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/manifests"
)

// Files returns all files of a payload, its two files that are no manifests
// included, as they stand in the image, sorted by name.
func Files(p *release.Payload) []release.File {
	files := slices.Clone(p.Manifests)
	for _, name := range []string{release.ReferencesFile, release.MetadataFile} {
		if data, ok := p.File(name); ok {
			files = append(files, release.File{Name: name, Data: data})
		}
	}
	slices.SortFunc(files, func(a, b release.File) int { return strings.Compare(a.Name, b.Name) })
	return files
}

// Write puts files into a folder, which is made where it is missing. Names that
// are no plain file names are refused, all at once, before anything is written. A
// file that is there already with the same content is left alone; one with other
// content is an error unless overwrite is set.
func Write(dir string, files []release.File, overwrite bool) error {
	var problems []error
	contents := make([]content, len(files))
	names := make([]string, len(files))
	for i, f := range files {
		if err := CheckName(f.Name); err != nil {
			problems = append(problems, err)
		}
		contents[i], names[i] = content{f.Name, f.Data, 0o644}, f.Name
	}
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("extracting to %q: %w", dir, err)
	}
	f, err := openFolder(dir, overwrite)
	if err != nil {
		return err
	}
	defer f.close()
	if err := f.write(contents); err != nil {
		return err
	}
	return f.publish(names)
}

// LeftOut is an object that does not come along, and why.
type LeftOut struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Object string `json:"object"` // "Deployment kube-system/coredns"
	Reason string `json:"reason"`
}

// Selected is what a choice among the manifests came to.
type Selected struct {
	Files   []release.File
	LeftOut []LeftOut
	// Unjudged are files that are no readable manifests. They come along whole.
	Unjudged []string
}

// Included chooses the manifests that a cluster of the given kind would apply.
// image-references and release-metadata come along.
func Included(p *release.Payload, s manifests.Selection) Selected {
	return choose(Files(p), func(o manifests.Object) (bool, string) { return manifests.Included(o, s) })
}

// clouds are the platforms by the names that installers give them, and the kind of
// spec.providerSpec that asks for credentials of each: the API group
// cloudcredential.openshift.io/v1.
var clouds = map[string]string{
	"alibabacloud": "AlibabaCloudProviderSpec",
	"aws":          "AWSProviderSpec",
	"azure":        "AzureProviderSpec",
	"gcp":          "GCPProviderSpec",
	"ibmcloud":     "IBMCloudProviderSpec",
	"nutanix":      "NutanixProviderSpec",
	"openstack":    "OpenStackProviderSpec",
	"ovirt":        "OvirtProviderSpec",
	"powervs":      "IBMCloudPowerVSProviderSpec",
	"vsphere":      "VSphereProviderSpec",
}

// Clouds returns the names that CredentialsRequests knows, sorted.
func Clouds() []string { return slices.Sorted(maps.Keys(clouds)) }

// CredentialsRequests chooses, of files, the objects by which components ask for
// credentials, those for one cloud unless that is empty. All else is left out
// without being reported.
func CredentialsRequests(files []release.File, cloud string) (Selected, error) {
	kind := clouds[cloud]
	if cloud != "" && kind == "" {
		return Selected{}, fmt.Errorf("choosing credentials requests: cloud %q is none of %s", cloud, strings.Join(Clouds(), ", "))
	}
	isRequest := func(o manifests.Object) bool {
		return o.Kind == "CredentialsRequest" && o.Group() == "cloudcredential.openshift.io"
	}
	chosen := choose(files, func(o manifests.Object) (bool, string) {
		if !isRequest(o) {
			return false, ""
		}
		spec, _ := o.Content["spec"].(map[string]any)
		provider, _ := spec["providerSpec"].(map[string]any)
		if got, _ := provider["kind"].(string); kind != "" && got != kind {
			return false, fmt.Sprintf("it is for %s", got)
		}
		return true, ""
	})
	chosen.LeftOut = slices.DeleteFunc(chosen.LeftOut, func(l LeftOut) bool { return l.Reason == "" })
	chosen.Files = slices.DeleteFunc(chosen.Files, func(f release.File) bool {
		return !manifests.IsManifest(f.Name) || slices.Contains(chosen.Unjudged, f.Name)
	})
	return chosen, nil
}

// choose keeps the objects that want returns true for. A file of which all objects
// are kept stays as it is; of another one the documents that are kept stay, byte for byte.
func choose(files []release.File, want func(manifests.Object) (bool, string)) Selected {
	var s Selected
	for _, f := range files {
		if !manifests.IsManifest(f.Name) {
			s.Files = append(s.Files, f)
			continue
		}
		objects, err := manifests.Parse(f.Data, f.Name)
		if err != nil {
			s.Files, s.Unjudged = append(s.Files, f), append(s.Unjudged, f.Name)
			continue
		}
		var kept []byte
		all := true
		for _, o := range objects {
			if included, reason := want(o); included {
				kept = append(kept, o.Document()...)
			} else {
				all = false
				s.LeftOut = append(s.LeftOut, LeftOut{File: f.Name, Line: o.Line, Object: o.String(), Reason: reason})
			}
		}
		switch {
		case all:
			s.Files = append(s.Files, f)
		case len(kept) > 0:
			s.Files = append(s.Files, release.File{Name: f.Name, Data: kept})
		}
	}
	return s
}
