package lint

import (
	"strings"
	"time"

	"github.com/coredns/caddy/caddyfile"
)

const corefileName = "Corefile"

// corefile is what the rules read of CoreDNS's configuration. Its plugins count for
// the whole process, in whichever server block they stand.
type corefile struct {
	health  []healthPlugin
	ready   bool
	imports bool
}

type healthPlugin struct {
	line     int // of lameduck, or of the plugin
	lameduck time.Duration
	unknown  bool // lameduck depends on an environment variable, or is no time
}

// readCorefile never fails: what CoreDNS would not start with is none of the
// rules' business. It looks at words only, so that an import reads no file.
func readCorefile(text string) corefile {
	var c corefile
	words := caddyfile.NewDispenser(corefileName, strings.NewReader(text))
	depth, last := 0, 0 // braces that are open, and the line of the word before
	inHealth := 0       // the depth of the block of the health plugin
	for words.Next() {
		word, line := words.Val(), words.Line()
		first := line != last
		last = line
		if first && depth == 1 {
			inHealth = 0 // another plugin, or the end of all
		}
		switch {
		case word == "{":
			depth++
		case word == "}":
			depth--
		case first && word == "import":
			c.imports = true
		case first && depth == 1 && word == "ready":
			c.ready = true
		case first && depth == 1 && word == "health":
			c.health = append(c.health, healthPlugin{line: line})
			inHealth = 2
		case first && depth == inHealth && word == "lameduck" && words.NextArg():
			h := &c.health[len(c.health)-1]
			d, err := time.ParseDuration(words.Val())
			h.line, h.lameduck, h.unknown = line, d, err != nil
		}
	}
	return c
}

// lameduck is the longest that the process answers after it was told to end, and
// the line that says so; line is 0 when nothing can be said.
func (c corefile) lameduck() (longest time.Duration, line int) {
	for _, h := range c.health {
		if h.unknown {
			return 0, 0
		}
		if line == 0 || h.lameduck > longest {
			longest, line = h.lameduck, h.line
		}
	}
	return longest, line
}
