package changelog

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// WriteIssues writes the issues that the listed changes are about, one to a line and
// each once: the key and, where it is known, its page.
func (c *Changelog) WriteIssues(w io.Writer) error {
	pages := map[string]string{}
	for _, u := range c.UpdatedImages {
		for _, commit := range u.Commits {
			for key, page := range commit.Issues {
				if pages[key] == "" {
					pages[key] = page
				}
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(pages)) {
		if _, err := fmt.Fprintln(w, strings.TrimSpace(key+" "+pages[key])); err != nil {
			return err
		}
	}
	return nil
}
