package progress

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// plain writes one line about an item: `12:03:04 build      started`. The
// caller holds the lock.
func (d *Display) plain(i *Item, text string) {
	if d.opts.Terminal || d.closed {
		return
	}
	if d.opts.Bare {
		_, _ = fmt.Fprintf(d.w, "%s: %s\n", i.path(), text)
		return
	}
	pad := strings.Repeat(" ", max(0, d.width-displayWidth(i.path())))
	_, _ = io.WriteString(d.w, d.opts.Now().Format(time.TimeOnly)+" "+i.path()+pad+" "+text+"\n")
}

// outcome is the line that ends an item in plain output.
func (i *Item) outcome() string {
	text := i.status.String()
	if !i.started.IsZero() {
		word := " in "
		if i.status != Succeeded {
			word = " after "
		}
		text += word + precise(i.finished.Sub(i.started))
	}
	if i.note != "" {
		text += ": " + i.note
	}
	return text
}

// precise gives a duration to a tenth of a second below ten minutes.
func precise(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < 10*time.Minute:
		return fmt.Sprintf("%dm%04.1fs", int(d.Minutes()), (d % time.Minute).Seconds())
	}
	return coarse(d)
}

// coarse gives a duration in whole seconds: 42s, 3m07s, 1h02m.
func coarse(d time.Duration) string {
	s := int(d.Seconds())
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	}
	return fmt.Sprintf("%dh%02dm", s/3600, s/60%60)
}
