package graphdata

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/blang/semver/v4"
	"gopkg.in/yaml.v3"

	"github.com/slipway-release/slipway/internal/config"
	"github.com/slipway-release/slipway/internal/state"
	"github.com/slipway-release/slipway/release/channels/graph"
)

// blockYAML has the fields of a block in the order that people write them.
type blockYAML struct {
	To            string     `yaml:"to"`
	From          string     `yaml:"from"`
	FixedIn       string     `yaml:"fixedIn,omitempty"`
	AutoExtend    string     `yaml:"autoExtend,omitempty"`
	URL           string     `yaml:"url,omitempty"`
	Name          string     `yaml:"name,omitempty"`
	Message       string     `yaml:"message,omitempty"`
	MatchingRules []ruleYAML `yaml:"matchingRules,omitempty"`
}

type ruleYAML struct {
	Type   string      `yaml:"type"`
	PromQL *promQLYAML `yaml:"promql,omitempty"`
}

type promQLYAML struct {
	PromQL string `yaml:"promql"`
}

func rulesYAML(rules []graph.MatchingRule) []ruleYAML {
	var all []ruleYAML
	for _, r := range rules {
		out := ruleYAML{Type: r.Type}
		if r.PromQL != nil {
			out.PromQL = &promQLYAML{r.PromQL.PromQL}
		}
		all = append(all, out)
	}
	return all
}

// Marshal writes the block as a file of its own.
func (b Block) Marshal() ([]byte, error) {
	return marshal("block of "+b.To, blockYAML{b.To, b.From, b.FixedIn, b.AutoExtend, b.URL, b.Name, b.Message, rulesYAML(b.MatchingRules)})
}

// Marshal writes the risk as a file of its own.
func (r Risk) Marshal() ([]byte, error) {
	type metadata struct {
		Name string `yaml:"name"`
	}
	return marshal("risk "+r.Metadata.Name, struct {
		APIVersion    string     `yaml:"apiVersion"`
		Kind          string     `yaml:"kind"`
		Metadata      metadata   `yaml:"metadata"`
		To            string     `yaml:"to"`
		From          string     `yaml:"from,omitempty"`
		FixedIn       string     `yaml:"fixedIn,omitempty"`
		Architectures []string   `yaml:"architectures,omitempty"`
		Block         bool       `yaml:"block,omitempty"`
		URL           string     `yaml:"url"`
		Message       string     `yaml:"message"`
		MatchingRules []ruleYAML `yaml:"matchingRules,omitempty"`
	}{riskAPIVersion, riskKind, metadata{r.Metadata.Name}, r.To, r.From, r.FixedIn, r.Architectures, r.Block, r.URL, r.Message, rulesYAML(r.MatchingRules)})
}

func marshal(what string, v any) ([]byte, error) {
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	err := enc.Encode(v)
	if err == nil {
		err = enc.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("writing %s: %w", what, err)
	}
	return out.Bytes(), nil
}

// Add is the channel's file with more versions, each VERSION or VERSION+ARCH, behind the
// last that is older. Everything else stays as it is, comments too. Versions that it holds,
// for all architectures or for theirs, are left out; nil means that nothing changes.
func (d *Data) Add(c Channel, versions ...string) ([]byte, error) {
	missing, err := c.missing(versions)
	if err != nil {
		return nil, fmt.Errorf("adding versions to %s: %w", c.file, err)
	}
	if len(missing) == 0 {
		return nil, nil
	}
	lines := strings.SplitAfter(string(d.files[c.file]), "\n")
	for _, v := range slices.Backward(missing) { // from the end, so that line numbers hold
		if lines, err = c.insert(lines, v); err != nil {
			return nil, fmt.Errorf("adding version %q to %s: %w", v, c.file, err)
		}
	}
	data := []byte(strings.Join(lines, ""))
	if err := c.only(missing, data); err != nil {
		return nil, fmt.Errorf("adding versions to %s: %w", c.file, err)
	}
	return data, nil
}

// missing are those of versions that the channel does not hold, in order and each once.
func (c Channel) missing(versions []string) ([]string, error) {
	var missing []string
	var problems []string
	for _, v := range versions {
		if problem := misspelt(v); problem != "" {
			problems = append(problems, problem)
			continue
		}
		bare, _, _ := strings.Cut(v, "+")
		if slices.Contains(c.Versions, v) || slices.Contains(c.Versions, bare) || bare != v && slices.Contains(versions, bare) {
			continue
		}
		missing = append(missing, v)
	}
	if len(problems) > 0 {
		return nil, errors.New(strings.Join(problems, "; "))
	}
	slices.SortFunc(missing, compareVersions)
	return slices.Compact(missing), nil
}

// only refuses a file that would hold anything else than the channel and the versions
// added: a list that is shared by an alias grows in two places.
func (c Channel) only(added []string, data []byte) error {
	decoder := config.Decoder{File: c.file}
	var after Channel
	decoder.Decode(data, &after)
	if len(decoder.Problems) > 0 {
		return &config.Error{Problems: decoder.Problems}
	}
	want, have := slices.Concat(c.Versions, added), slices.Clone(after.Versions)
	slices.Sort(want)
	slices.Sort(have)
	sameFeeder := (c.Feeder == nil) == (after.Feeder == nil) && (c.Feeder == nil || *c.Feeder == *after.Feeder)
	if !slices.Equal(want, have) || !slices.Equal(c.Tombstones, after.Tombstones) || c.Name != after.Name || !sameFeeder {
		return errors.New("other parts of the file would change with it; write it by hand")
	}
	return nil
}

// insert puts a version on a line of its own.
func (c Channel) insert(lines []string, version string) ([]string, error) {
	if len(c.Versions) == 0 {
		return nil, errors.New("it has no versions yet; write the first one by hand")
	}
	after, like := -1, c.Line("versions[0]")-1
	before := like
	for i, have := range c.Versions {
		if compareVersions(have, version) < 0 {
			after = c.Line(fmt.Sprintf("versions[%d]", i)) - 1
		}
	}
	at := before
	if after >= 0 {
		at, like = after+1, after
	}
	indent, _, ok := strings.Cut(lines[like], "-")
	if !ok || strings.TrimSpace(indent) != "" {
		return nil, errors.New("its versions do not stand each on a line of its own")
	}
	end := "\n"
	if strings.HasSuffix(lines[0], "\r\n") {
		end = "\r\n"
	}
	line := indent + "- " + version
	if at > 0 && !strings.HasSuffix(lines[at-1], "\n") {
		line = end + line
	} else {
		line += end
	}
	return slices.Insert(lines, at, line), nil
}

// compareVersions orders VERSION and VERSION+ARCH by semver; what is none comes first.
func compareVersions(a, b string) int {
	va, errA := semver.Parse(a)
	vb, errB := semver.Parse(b)
	if errA != nil || errB != nil {
		return cmp.Or(cmp.Compare(b2i(errA == nil), b2i(errB == nil)), strings.Compare(a, b))
	}
	return cmp.Or(va.Compare(vb), strings.Compare(a, b))
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// intentFile holds the changes that are being made to a folder. Whoever reads the folder
// while it is there reads it as if they were made.
const intentFile = ".slipway-changes"

// Apply writes files of a folder, by path in it; nil removes one. What would not load is
// refused, and nothing is written. Whatever interrupts it, the folder reads as it was
// before or as it is after: the next Load takes what is pending for done, the next Apply
// does it. Only one Apply works on a folder at a time; others wait.
func Apply(dir string, changes map[string][]byte) error {
	if err := apply(dir, changes); err != nil {
		return fmt.Errorf("changing graph-data %q: %w", dir, err)
	}
	return nil
}

func apply(dir string, changes map[string][]byte) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	unlock, err := state.LockFolder(dir, false)
	if err != nil {
		return err
	}
	defer unlock()
	if err := finish(dir, root); err != nil {
		return err
	}
	for file := range changes {
		if !inFolder(file) {
			return fmt.Errorf("%q is not the plain path of a file within it", file)
		}
	}
	if _, err := loadFS(root.FS(), dir, changes); err != nil {
		return err
	}
	intent, err := json.Marshal(changes)
	if err != nil {
		return err
	}
	if err := state.WriteFile(filepath.Join(dir, intentFile), intent, 0o644); err != nil {
		return err
	}
	return finish(dir, root)
}

// pending are changes that somebody began and did not finish.
func pending(fsys fs.FS) (map[string][]byte, error) {
	f, err := fsys.Open(intentFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	var changes map[string][]byte
	if err := json.Unmarshal(data, &changes); err != nil {
		return nil, fmt.Errorf("reading unfinished changes in %s: %w; remove the file to give them up", intentFile, err)
	}
	return changes, nil
}

// finish makes the changes that are pending.
func finish(dir string, root *os.Root) error {
	changes, err := pending(root.FS())
	if err != nil || changes == nil {
		return err
	}
	for _, file := range slices.Sorted(maps.Keys(changes)) {
		if err := writeOne(dir, root, file, changes[file]); err != nil {
			return err
		}
	}
	if err := root.Remove(intentFile); err != nil {
		return err
	}
	// Were it there again after a power cut, it would undo what is changed from now on.
	folder, err := root.Open(".")
	if err != nil {
		return err
	}
	defer folder.Close()
	return folder.Sync()
}

// inFolder says whether a path leads to a file within the folder, and is the only one
// that does.
func inFolder(file string) bool {
	return fs.ValidPath(file) && filepath.IsLocal(file) && file != "." && file != intentFile
}

func writeOne(dir string, root *os.Root, file string, data []byte) error {
	if !inFolder(file) {
		return fmt.Errorf("%q is not the plain path of a file within it", file)
	}
	if data == nil {
		if err := root.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	if err := root.MkdirAll(path.Dir(file), 0o755); err != nil {
		return err
	}
	return state.WriteFile(filepath.Join(dir, file), data, 0o644)
}
