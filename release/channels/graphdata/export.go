package graphdata

import (
	"fmt"
	"path"
	"regexp"
	"strings"
)

// Export is the folder as readers of schema 1.x understand it, by path: with the risks
// over ranges as blocked edges, one file for each version of versions that they hold,
// and all else as it was read. Of several blocks without a risk these readers take one
// only: such blocks of a version are joined in the first of their files.
func (d *Data) Export(versions []string) (map[string][]byte, error) {
	files := map[string][]byte{}
	blocked := map[string]*Block{} // without a risk, by To
	for name, data := range d.files {
		if path.Dir(name) != risksDir {
			files[name] = data
		}
	}
	write := func(b *Block) error {
		data, err := b.Marshal()
		files[b.file] = data
		return err
	}
	join := func(b *Block) error {
		first := blocked[b.To]
		if first == nil {
			blocked[b.To] = b
			return nil
		}
		first.From = "(" + first.From + ")|(" + b.From + ")"
		delete(files, b.file)
		return write(first)
	}
	for _, b := range d.Blocks {
		if b.Conditional() {
			continue
		}
		if err := join(&b); err != nil {
			return nil, err
		}
	}
	known := parseVersions(versions)
	for i := range d.Risks {
		r := &d.Risks[i]
		pattern := r.pattern(known)
		if pattern == "" {
			continue // there is no version that it could come from
		}
		for _, v := range known {
			if !r.holds(v.semver) {
				continue
			}
			b := &Block{To: v.name, From: pattern, FixedIn: r.FixedIn}
			b.file = free(files, path.Join(blocksDir, v.name+"-"+r.Metadata.Name))
			if !r.Block {
				b.URL, b.Name, b.Message, b.MatchingRules = r.URL, r.Metadata.Name, r.Message, r.MatchingRules
			}
			if err := write(b); err != nil {
				return nil, err
			}
			if r.Block {
				if err := join(b); err != nil {
					return nil, err
				}
			}
		}
	}
	return files, nil
}

// free is a path that no file has yet, with the extension.
func free(files map[string][]byte, name string) string {
	file := name + extension
	for n := 2; files[file] != nil; n++ {
		file = fmt.Sprintf("%s-%d%s", name, n, extension)
	}
	return file
}

// pattern is a regular expression for the versions that a risk comes from; "" when it
// comes from none.
func (r *Risk) pattern(versions []version) string {
	archs := "[+].*"
	if len(r.Architectures) > 0 {
		archs = "[+](" + strings.Join(quoted(r.Architectures), "|") + ")"
	}
	if r.from == nil {
		if len(r.Architectures) == 0 {
			return ".*"
		}
		return "^.*" + archs + "$"
	}
	var names []string
	for _, v := range versions {
		if r.from(v.semver) {
			names = append(names, v.name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "^(" + strings.Join(quoted(names), "|") + ")" + archs + "$"
}

// quoted are texts as patterns that match them, written as people of graph-data do: [.]
// for a dot.
func quoted(texts []string) []string {
	var all []string
	for _, t := range texts {
		all = append(all, strings.ReplaceAll(regexp.QuoteMeta(t), `\.`, "[.]"))
	}
	return all
}
