package images_test

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/slipway-release/slipway/images"
)

// everything is one component of all kinds of layers, and a lock for it.
func everything() ([]*images.Recipe, *images.Lockfile) {
	r := recipe("all",
		images.Layer{Go: &images.GoLayer{
			Module: "example.com/tool", Version: "v1.2.3", LocalReplaces: "v0.1.0", Require: map[string]string{"example.com/dep": "v1.1.0"},
			Tags: []string{"a"}, Cgo: true, Libraries: []string{"libx"}, Ldflags: []string{"-X main.v=$(module.revision)"}, Programs: map[string]string{"./cmd/one": "/one"},
		}},
		images.Layer{Debian: &images.DebianLayer{Suite: "bookworm", Packages: []string{"bash"}, Remove: []string{"/usr/share/doc/*"}, Commands: []string{"true"}}},
		images.Layer{Files: &images.FilesLayer{From: "rootfs", Links: map[string]string{"/a": "b"}, Directories: []string{"/d"}, Modes: map[string]string{"/x": "0600"}}},
		images.Layer{ModuleFiles: &images.ModuleFilesLayer{Module: "example.com/files", Version: "v1.0.0", From: "conf", Exclude: []string{"x"}, Replace: []images.Replacement{{Path: "/a", Old: "b", New: "c"}}}},
		images.Layer{C: &images.CLayer{Sources: []string{"x.c"}, Flags: []string{"-DA"}, Program: "/x"}},
		images.Layer{Self: &images.SelfLayer{Program: "/slipway"}},
	)
	r.Files = fstest.MapFS{"rootfs/x": {}, "x.c": {}, "manifests/a.yaml": {}}
	r.Image = images.ImageConfig{Entrypoint: []string{"/one"}, Cmd: []string{"x"}, Env: map[string]string{"A": "b"}, User: "1", WorkingDir: "/d", StopSignal: "SIGTERM", Ports: []string{"1/tcp"}}
	r.Versions = map[string]string{"tool": "1.2.3"}
	lock := &images.Lockfile{
		Platform: "linux/amd64",
		Toolchain: images.Toolchain{Go: "go1.26.8", Mmdebstrap: "1.3.5", C: &images.CToolchain{
			Compiler: "gcc 12", Linker: "ld 2", Libc: "sha256:c", Libraries: map[string]string{"libx": "1 sha256:x", "liby": "2"},
		}},
		Modules: []images.LockedModule{
			{Module: "example.com/files", Version: "v1.0.0", Sum: "h1:files"},
			{Module: "example.com/tool", Version: "v1.2.3", Sum: "h1:tool", Commit: "abc"},
		},
		Builds: []images.LockedBuild{{
			Module: "example.com/tool", Version: "v1.2.3", LocalReplaces: "v0.1.0", Require: map[string]string{"example.com/dep": "v1.1.0"},
			Loads: []images.Load{{Packages: []string{"example.com/tool/cmd/one", "example.com/tool/cmd/two"}, Tags: []string{"a"}, Cgo: true}},
			GoMod: []string{"module x"}, GoSum: []string{"example.com/dep v1.1.0 h1:dep"},
		}},
		Debian: []images.LockedDebian{{Suite: "bookworm", Variant: "minbase", Packages: []string{"bash"}, Closure: []images.DebPackage{{Name: "bash", Version: "5", SHA256: "1"}}}},
		Files:  map[string]string{"all/rootfs": "sha256:r", "all/x.c": "sha256:s", "all/manifests": "sha256:m"},
		Self:   "sha256:self",
	}
	return []*images.Recipe{r}, lock
}

// keys returns the keys of all layers and of the image of the one component.
func keys(t *testing.T, recipes []*images.Recipe, lock *images.Lockfile, epoch time.Time, base string) ([]string, string) {
	t.Helper()
	plan, err := images.NewPlan(recipes, lock, epoch)
	check(t, err)
	var layers []string
	for _, l := range plan.Components[0].Layers {
		layers = append(layers, l.Key)
	}
	return layers, plan.ImageKey(plan.Components[0], base)
}

// TestKeySensitivity changes every input there is. The keys of just the layers
// made from it change, and the image's key does in any case.
func TestKeySensitivity(t *testing.T) {
	const goKey, debKey, filesKey, modKey, cKey, selfKey, manifestsKey = 0, 1, 2, 3, 4, 5, 6
	type change struct {
		do   func(r *images.Recipe, l *images.Lockfile)
		want []int
	}
	for name, c := range map[string]change{
		"go version":       {func(_ *images.Recipe, l *images.Lockfile) { l.Toolchain.Go = "go1.26.9" }, []int{goKey}},
		"go module sum":    {func(_ *images.Recipe, l *images.Lockfile) { l.Modules[1].Sum = "h1:2" }, []int{goKey}},
		"go commit":        {func(_ *images.Recipe, l *images.Lockfile) { l.Modules[1].Commit = "def" }, []int{goKey}},
		"go.sum":           {func(_ *images.Recipe, l *images.Lockfile) { l.Builds[0].GoSum[0] = "example.com/dep v1.1.0 h1:2" }, []int{goKey}},
		"go.mod":           {func(_ *images.Recipe, l *images.Lockfile) { l.Builds[0].GoMod[0] = "module y" }, []int{goKey}},
		"ldflags":          {func(r *images.Recipe, _ *images.Lockfile) { r.Layers[0].Go.Ldflags = nil }, []int{goKey}},
		"program path":     {func(r *images.Recipe, _ *images.Lockfile) { r.Layers[0].Go.Programs["./cmd/one"] = "/1" }, []int{goKey}},
		"another program":  {func(r *images.Recipe, _ *images.Lockfile) { r.Layers[0].Go.Programs["./cmd/two"] = "/2" }, []int{goKey}},
		"library":          {func(_ *images.Recipe, l *images.Lockfile) { l.Toolchain.C.Libraries["libx"] = "2" }, []int{goKey}},
		"foreign library":  {func(_ *images.Recipe, l *images.Lockfile) { l.Toolchain.C.Libraries["liby"] = "3" }, nil},
		"C compiler":       {func(_ *images.Recipe, l *images.Lockfile) { l.Toolchain.C.Compiler = "gcc 13" }, []int{goKey, cKey}},
		"linker":           {func(_ *images.Recipe, l *images.Lockfile) { l.Toolchain.C.Linker = "ld 3" }, []int{goKey, cKey}},
		"libc":             {func(_ *images.Recipe, l *images.Lockfile) { l.Toolchain.C.Libc = "sha256:d" }, []int{goKey, cKey}},
		"debian package":   {func(_ *images.Recipe, l *images.Lockfile) { l.Debian[0].Closure[0].SHA256 = "2" }, []int{debKey}},
		"debian remove":    {func(r *images.Recipe, _ *images.Lockfile) { r.Layers[1].Debian.Remove = nil }, []int{debKey}},
		"debian commands":  {func(r *images.Recipe, _ *images.Lockfile) { r.Layers[1].Debian.Commands = nil }, []int{debKey}},
		"mmdebstrap":       {func(_ *images.Recipe, l *images.Lockfile) { l.Toolchain.Mmdebstrap = "2" }, []int{debKey}},
		"files":            {func(_ *images.Recipe, l *images.Lockfile) { l.Files["all/rootfs"] = "sha256:2" }, []int{filesKey}},
		"links":            {func(r *images.Recipe, _ *images.Lockfile) { r.Layers[2].Files.Links["/a"] = "c" }, []int{filesKey}},
		"directories":      {func(r *images.Recipe, _ *images.Lockfile) { r.Layers[2].Files.Directories = nil }, []int{filesKey}},
		"modes":            {func(r *images.Recipe, _ *images.Lockfile) { r.Layers[2].Files.Modes["/x"] = "0644" }, []int{filesKey}},
		"files target":     {func(r *images.Recipe, _ *images.Lockfile) { r.Layers[2].Files.To = "/opt" }, []int{filesKey}},
		"module files sum": {func(_ *images.Recipe, l *images.Lockfile) { l.Modules[0].Sum = "h1:2" }, []int{modKey}},
		"module files":     {func(r *images.Recipe, _ *images.Lockfile) { r.Layers[3].ModuleFiles.From = "x" }, []int{modKey}},
		"exclude":          {func(r *images.Recipe, _ *images.Lockfile) { r.Layers[3].ModuleFiles.Exclude = nil }, []int{modKey}},
		"replacement":      {func(r *images.Recipe, _ *images.Lockfile) { r.Layers[3].ModuleFiles.Replace[0].New = "d" }, []int{modKey}},
		"C source":         {func(_ *images.Recipe, l *images.Lockfile) { l.Files["all/x.c"] = "sha256:2" }, []int{cKey}},
		"C flags":          {func(r *images.Recipe, _ *images.Lockfile) { r.Layers[4].C.Flags = nil }, []int{cKey}},
		"self":             {func(_ *images.Recipe, l *images.Lockfile) { l.Self = "sha256:2" }, []int{selfKey}},
		"self path":        {func(r *images.Recipe, _ *images.Lockfile) { r.Layers[5].Self.Program = "/s" }, []int{selfKey}},
		"manifests":        {func(_ *images.Recipe, l *images.Lockfile) { l.Files["all/manifests"] = "sha256:2" }, []int{manifestsKey}},
		"platform":         {func(_ *images.Recipe, l *images.Lockfile) { l.Platform = "linux/arm64" }, []int{0, 1, 2, 3, 4, 5, 6}},
		"entrypoint":       {func(r *images.Recipe, _ *images.Lockfile) { r.Image.Entrypoint = nil }, nil},
		"cmd":              {func(r *images.Recipe, _ *images.Lockfile) { r.Image.Cmd = nil }, nil},
		"env":              {func(r *images.Recipe, _ *images.Lockfile) { r.Image.Env["A"] = "c" }, nil},
		"user":             {func(r *images.Recipe, _ *images.Lockfile) { r.Image.User = "2" }, nil},
		"working dir":      {func(r *images.Recipe, _ *images.Lockfile) { r.Image.WorkingDir = "/" }, nil},
		"stop signal":      {func(r *images.Recipe, _ *images.Lockfile) { r.Image.StopSignal = "SIGINT" }, nil},
		"ports":            {func(r *images.Recipe, _ *images.Lockfile) { r.Image.Ports = nil }, nil},
		"versions":         {func(r *images.Recipe, _ *images.Lockfile) { r.Versions["tool"] = "2" }, nil},
		"source":           {func(r *images.Recipe, _ *images.Lockfile) { r.Source = "https://example.com/fork" }, nil},
		"revision":         {func(r *images.Recipe, _ *images.Lockfile) { r.Revision = "def" }, nil},
		"description":      {func(r *images.Recipe, _ *images.Lockfile) { r.Metadata.Description = "other" }, nil},
		"name":             {renamed, nil},
		"order of layers":  {func(r *images.Recipe, _ *images.Lockfile) { r.Layers[2], r.Layers[3] = r.Layers[3], r.Layers[2] }, []int{filesKey, modKey}},
	} {
		t.Run(name, func(t *testing.T) {
			recipes, lock := everything()
			layers, image := keys(t, recipes, lock, time.Unix(0, 0), "")
			c.do(recipes[0], lock)
			newLayers, newImage := keys(t, recipes, lock, time.Unix(0, 0), "")
			changed := map[int]bool{}
			for _, i := range c.want {
				changed[i] = true
			}
			for i := range layers {
				if got := layers[i] != newLayers[i]; got != changed[i] {
					t.Errorf("layer %d: key changed: %v, want %v", i, got, changed[i])
				}
			}
			if (image == newImage) != (name == "foreign library") {
				t.Errorf("image key changed: %v", image != newImage)
			}
		})
	}
}

func renamed(r *images.Recipe, l *images.Lockfile) {
	for key, digest := range l.Files {
		l.Files["other"+strings.TrimPrefix(key, "all")] = digest
	}
	r.Metadata.Name = "other"
}

func TestKeyOfBaseAndTime(t *testing.T) {
	recipes, lock := everything()
	layers, image := keys(t, recipes, lock, time.Unix(0, 0), "")
	sameLayers, onBase := keys(t, recipes, lock, time.Unix(0, 0), "sha256:b")
	if onBase == image || sameLayers[0] != layers[0] {
		t.Error("another base must change the image's key, and no layer's")
	}
	later, laterImage := keys(t, recipes, lock, time.Unix(1, 0), "")
	if later[0] == layers[0] || laterImage == image {
		t.Error("another time must change all keys")
	}
}

// TestKeyIgnoresWhatDoesNotMatter covers orders and neighbours that give the
// same bytes.
func TestKeyIgnoresWhatDoesNotMatter(t *testing.T) {
	recipes, lock := everything()
	before, _ := keys(t, recipes, lock, time.Unix(0, 0), "")
	lock.Builds[0].Loads[0].Packages = append(lock.Builds[0].Loads[0].Packages, "example.com/tool/cmd/x")
	lock.Debian[0].Packages, recipes[0].Layers[1].Debian.Packages = []string{"bash"}, []string{"bash"}
	recipes[0].Layers[1].Debian.Variant = "minbase"
	after, _ := keys(t, recipes, lock, time.Unix(0, 0), "")
	for i := range before {
		if before[i] != after[i] {
			t.Errorf("layer %d: the key changed", i)
		}
	}
}

func TestPlanReportsAllMissingInputs(t *testing.T) {
	recipes, lock := everything()
	lock.Modules, lock.Builds, lock.Debian, lock.Files, lock.Self = nil, nil, nil, nil, ""
	_, err := images.NewPlan(recipes, lock, time.Unix(0, 0))
	if !errors.Is(err, images.ErrInput) {
		t.Fatalf("error %v, want one that wraps ErrInput", err)
	}
	for _, want := range []string{"example.com/tool@v1.2.3", "debian bookworm", "all/rootfs", "example.com/files@v1.0.0", "all/x.c", "slipway executable", "all/manifests"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %q:\n%v", want, err)
		}
	}
}

func TestOrder(t *testing.T) {
	on := func(name, base string) *images.Recipe {
		r := recipe(name)
		r.From = base
		return r
	}
	for name, c := range map[string]struct {
		recipes []*images.Recipe
		order   string
		problem string
	}{
		"as given":   {[]*images.Recipe{on("b", ""), on("a", "")}, "b a", ""},
		"base first": {[]*images.Recipe{on("c", "b"), on("b", "a"), on("x", ""), on("a", "")}, "a b c x", ""},
		"dangling":   {[]*images.Recipe{on("a", "none")}, "", `component "a": from: there is no component "none"`},
		"itself":     {[]*images.Recipe{on("a", "a")}, "", `component "a": from: components are based on each other in a circle: a → a`},
		"circle":     {[]*images.Recipe{on("c", "a"), on("b", "c"), on("a", "b"), on("d", "a")}, "", `component "a": from: components are based on each other in a circle: a → b → c → a`},
		"duplicate":  {[]*images.Recipe{on("a", ""), on("a", "")}, "", `component "a": metadata.name: another component is named "a" as well`},
	} {
		t.Run(name, func(t *testing.T) {
			order, problems := images.Order(c.recipes)
			var names, said []string
			for _, r := range order {
				names = append(names, r.Metadata.Name)
			}
			for _, p := range problems {
				said = append(said, p.Error())
			}
			if got := strings.Join(names, " "); got != c.order {
				t.Errorf("order %q, want %q", got, c.order)
			}
			if got := strings.Join(said, "\n"); got != c.problem {
				t.Errorf("problems %q, want %q", got, c.problem)
			}
		})
	}
}
