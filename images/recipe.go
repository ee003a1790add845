package images

import "io/fs"

// Recipe says how one component image is made: the content of a component.yaml.
// Values may hold $(versions.NAME), replaced from the table in distro.yaml
// before the recipe is parsed further.
type Recipe struct {
	APIVersion string   `json:"apiVersion"` // slipway.dev/v1alpha1
	Kind       string   `json:"kind"`       // Component
	Metadata   Metadata `json:"metadata"`
	// From is the base: the name of another component, or empty for none.
	From string `json:"from,omitempty"`
	// Layers are put on the base in this order, one image layer each, so that
	// an upgrade moves only what changed.
	Layers []Layer     `json:"layers,omitempty"`
	Image  ImageConfig `json:"image,omitempty"`
	// Versions are what `io.openshift.build.versions` announces, e.g. kubernetes: 1.36.3.
	Versions map[string]string `json:"versions,omitempty"`
	// Source and Revision are announced by labels; left out, those of the first Go module are.
	Source   string `json:"source,omitempty"`
	Revision string `json:"revision,omitempty"`

	// Dir names the component's folder, for messages.
	Dir string `json:"-"`
	// Files is the content of that folder. A folder manifests/ in it becomes
	// /manifests of the image and makes it an operator of the release.
	Files fs.FS `json:"-"`
}

// Metadata names a component: a DNS label, unique in the distribution.
type Metadata struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
}

// Layer is one image layer. Exactly one field is set.
type Layer struct {
	Go          *GoLayer          `json:"go,omitempty"`
	Debian      *DebianLayer      `json:"debian,omitempty"`
	Files       *FilesLayer       `json:"files,omitempty"`
	ModuleFiles *ModuleFilesLayer `json:"moduleFiles,omitempty"`
	C           *CLayer           `json:"c,omitempty"`
	Self        *SelfLayer        `json:"self,omitempty"`
}

// GoLayer holds programs compiled from one Go module. Layers of the same
// module, version, tags, cgo and ldflags are compiled by one call of `go build`,
// across all components. What a layer leaves out is taken from the entry of the
// same module in distro.yaml.
type GoLayer struct {
	Module  string `json:"module"`
	Version string `json:"version"`
	// LocalReplaces is the version that stands in for every replacement by a
	// local path in the module's go.mod (Kubernetes' staging modules).
	LocalReplaces string `json:"localReplaces,omitempty"`
	// Require raises dependencies above what the module itself asks for, e.g.
	// to take in a security fix: module → version.
	Require map[string]string `json:"require,omitempty"`
	Tags    []string          `json:"tags,omitempty"`
	Cgo     bool              `json:"cgo,omitempty"`
	// Libraries are pkg-config's names of the C libraries that the programs are
	// linked with (libseccomp); their versions become part of the lock.
	Libraries []string `json:"libraries,omitempty"`
	// Ldflags come behind `-s -w`. $(module.revision) stands for the commit of
	// the module, or its version where the module proxy does not tell the commit.
	Ldflags []string `json:"ldflags,omitempty"`
	// Programs maps the package of a main, relative to the module (./cmd/kubelet), to its path in the image.
	Programs map[string]string `json:"programs"`
}

// DebianLayer is a root file system of Debian packages made by mmdebstrap.
type DebianLayer struct {
	Suite    string   `json:"suite"`             // bookworm
	Variant  string   `json:"variant,omitempty"` // essential, apt, minbase or important, as mmdebstrap knows them; default minbase
	Packages []string `json:"packages,omitempty"`
	// Remove are paths deleted afterwards with all below them, such as units that
	// have no place in a container: /usr/share/doc/*; globs as in path.Match.
	Remove []string `json:"remove,omitempty"`
	// Commands run inside the root file system at the end, e.g. `systemctl enable kubelet.service`.
	Commands []string `json:"commands,omitempty"`
}

// FilesLayer copies a folder of the component into the image. File modes of the
// folder do not count, for neither Git nor an embedded distribution keeps them
// all: what begins with #! or is an ELF program gets 0755, the rest 0644.
type FilesLayer struct {
	From string `json:"from,omitempty"` // relative to the component's folder; empty for links and directories alone
	To   string `json:"to,omitempty"`   // default /
	// Links are symbolic links: path in the image → target.
	Links map[string]string `json:"links,omitempty"`
	// Directories are made, empty.
	Directories []string `json:"directories,omitempty"`
	// Modes overrides the mode of files and directories (octal), by path in the image.
	Modes map[string]string `json:"modes,omitempty"`
}

// ModuleFilesLayer copies a folder of a Go module's source into the image.
type ModuleFilesLayer struct {
	Module  string `json:"module"`
	Version string `json:"version"`
	From    string `json:"from"`
	To      string `json:"to,omitempty"`
	// Exclude are globs below From.
	Exclude []string          `json:"exclude,omitempty"`
	Modes   map[string]string `json:"modes,omitempty"`
	// Replace changes text of the copied files.
	Replace []Replacement `json:"replace,omitempty"`
}

// Replacement changes text in one copied file; it is an error when Old does not stand there.
type Replacement struct {
	Path string `json:"path"` // in the image
	Old  string `json:"old"`
	New  string `json:"new"`
}

// CLayer is a program compiled from C, statically.
type CLayer struct {
	Module  string   `json:"module,omitempty"` // Go module whose source holds the files; empty: the component's folder
	Version string   `json:"version,omitempty"`
	Sources []string `json:"sources"`
	Flags   []string `json:"flags,omitempty"`
	Program string   `json:"program"` // path in the image
}

// SelfLayer holds the running slipway executable, so that a release carries the
// very program that made it.
type SelfLayer struct {
	Program string `json:"program"`
}

// ImageConfig is the OCI configuration of the image.
type ImageConfig struct {
	Entrypoint []string          `json:"entrypoint,omitempty"`
	Cmd        []string          `json:"cmd,omitempty"`
	Env        map[string]string `json:"env,omitempty"`
	User       string            `json:"user,omitempty"`
	WorkingDir string            `json:"workingDir,omitempty"`
	StopSignal string            `json:"stopSignal,omitempty"`
	Ports      []string          `json:"ports,omitempty"`
}
