package images

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// aptSource is one entry of apt's list of archives.
type aptSource struct {
	uris, suites, components []string
	// options are fields in the spelling of the deb822 format: Signed-By.
	options map[string]string
}

// debianArchives are used on hosts that have no source of a suite.
func debianArchives(suite string) []aptSource {
	const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
	return []aptSource{
		{[]string{"http://deb.debian.org/debian"}, []string{suite, suite + "-updates"}, []string{"main"}, map[string]string{"Signed-By": keyring}},
		{[]string{"http://deb.debian.org/debian-security"}, []string{suite + "-security"}, []string{"main"}, map[string]string{"Signed-By": keyring}},
	}
}

// aptSources returns the host's sources of a suite, its updates and its security
// fixes, or Debian's own when the host has none.
func aptSources(aptDir, suite string) ([]aptSource, error) {
	all, err := hostSources(aptDir)
	if err != nil {
		return nil, fmt.Errorf("reading apt's sources in %q: %w", aptDir, err)
	}
	wanted := []string{suite, suite + "-updates", suite + "-security", suite + "/updates"}
	var out []aptSource
	complete := false
	for _, s := range all {
		s.suites = slices.DeleteFunc(slices.Clone(s.suites), func(x string) bool { return !slices.Contains(wanted, x) })
		if len(s.suites) > 0 {
			out = append(out, s)
			complete = complete || slices.Contains(s.suites, suite)
		}
	}
	if !complete {
		return debianArchives(suite), nil
	}
	return out, nil
}

func hostSources(aptDir string) ([]aptSource, error) {
	names, err := filepath.Glob(filepath.Join(aptDir, "sources.list.d", "*"))
	if err != nil {
		return nil, err
	}
	var out []aptSource
	for _, name := range append([]string{filepath.Join(aptDir, "sources.list")}, names...) {
		data, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		switch filepath.Ext(name) {
		case ".list":
			out = append(out, parseListFormat(string(data))...)
		case ".sources":
			out = append(out, parseDeb822(string(data))...)
		}
	}
	return out, nil
}

// parseListFormat reads lines such as
// "deb [signed-by=/k.gpg] http://deb.debian.org/debian bookworm main".
func parseListFormat(text string) []aptSource {
	var out []aptSource
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "deb ")
		if !ok {
			continue
		}
		s := aptSource{options: map[string]string{}}
		rest = strings.TrimSpace(rest)
		if inner, after, ok := strings.Cut(strings.TrimPrefix(rest, "["), "]"); ok && strings.HasPrefix(rest, "[") {
			for _, option := range strings.Fields(inner) {
				key, value, _ := strings.Cut(option, "=")
				s.setOption(key, strings.ReplaceAll(value, ",", " "))
			}
			rest = after
		}
		if fields := strings.Fields(rest); len(fields) >= 2 {
			s.uris, s.suites, s.components = fields[:1], fields[1:2], fields[2:]
			out = append(out, s)
		}
	}
	return out
}

// parseDeb822 reads stanzas of "Field: value" with continued lines.
func parseDeb822(text string) []aptSource {
	var out []aptSource
	for _, stanza := range strings.Split(strings.ReplaceAll(text, "\r", ""), "\n\n") {
		fields := map[string]string{}
		last := ""
		for line := range strings.Lines(stanza) {
			switch {
			case strings.HasPrefix(line, "#"):
			case strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t"):
				fields[last] += "\n" + strings.TrimRight(line, "\n")
			default:
				key, value, _ := strings.Cut(line, ":")
				last = strings.ToLower(strings.TrimSpace(key))
				fields[last] = strings.TrimSpace(value)
			}
		}
		if !slices.Contains(strings.Fields(fields["types"]), "deb") || fields["enabled"] == "no" {
			continue
		}
		s := aptSource{
			uris: strings.Fields(fields["uris"]), suites: strings.Fields(fields["suites"]),
			components: strings.Fields(fields["components"]), options: map[string]string{},
		}
		for key, value := range fields {
			s.setOption(key, value)
		}
		out = append(out, s)
	}
	return out
}

// setOption keeps what decides whether an archive can be trusted and reached.
func (s *aptSource) setOption(key, value string) {
	switch strings.ToLower(key) {
	case "signed-by":
		s.options["Signed-By"] = value
	case "trusted":
		s.options["Trusted"] = value
	case "check-valid-until":
		s.options["Check-Valid-Until"] = value
	}
}

// renderSources writes sources in the deb822 format, the same ones always alike.
func renderSources(sources []aptSource) string {
	var b strings.Builder
	for _, s := range sources {
		fmt.Fprintf(&b, "Types: deb\nURIs: %s\nSuites: %s\n", strings.Join(s.uris, " "), strings.Join(s.suites, " "))
		if len(s.components) > 0 {
			fmt.Fprintf(&b, "Components: %s\n", strings.Join(s.components, " "))
		}
		for _, key := range []string{"Signed-By", "Trusted", "Check-Valid-Until"} {
			if v, ok := s.options[key]; ok {
				fmt.Fprintf(&b, "%s: %s\n", key, v)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// archives returns the addresses of the sources, each once, without a slash at
// the end, the most specific first.
func archives(sources []aptSource) []string {
	var out []string
	for _, s := range sources {
		for _, uri := range s.uris {
			out = append(out, strings.TrimRight(uri, "/"))
		}
	}
	slices.SortFunc(out, func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	return slices.Compact(out)
}
