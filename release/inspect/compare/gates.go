package compare

import (
	"fmt"

	"github.com/slipway-release/slipway/release/inspect/features"
)

// gateItems shows where gates are on now, and where they no longer are.
func gateItems(changes []features.Change) []item {
	var items []item
	for _, c := range changes {
		it := item{Mark: "~", Text: fmt.Sprintf("%s (%d tests)", c.Name, c.Tests)}
		switch {
		case c.New():
			it.Mark = "+"
		case c.Gone():
			it.Mark = "-"
		}
		for _, s := range c.States {
			if state := s.String(); state != "" {
				it.Lines = append(it.Lines, line{Mark: " ", Text: s.Kind.String() + ": " + state})
			}
		}
		if len(it.Lines) == 0 {
			it.Lines = []line{{Mark: " ", Text: features.Disabled + " everywhere"}}
		}
		items = append(items, it)
	}
	return items
}
