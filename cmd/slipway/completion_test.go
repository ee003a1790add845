package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// completions asks what a shell asks, and returns the words and the directive.
func completions(t *testing.T, distro string, words ...string) ([]string, string) {
	t.Helper()
	// A registry that cannot be reached shows that none is asked.
	args := []string{cobra.ShellCompNoDescRequestCmd, "--state-dir", t.TempDir(), "--registry", "127.0.0.1:1", "--distro", distro}
	cmd := exec.Command(program, append(args, words...)...)
	cmd.Dir = t.TempDir()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v", words, err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[:len(lines)-1], lines[len(lines)-1]
}

func TestCompletion(t *testing.T) {
	t.Parallel()
	distro := cheapDistro(t)
	const (
		noFile        = ":4"
		noFileNoSpace = ":6"
		failed        = ":1"
	)
	for name, c := range map[string]struct {
		args      []string
		want      string
		directive string
	}{
		"show":              {[]string{"stream", "show", ""}, "nightly cheap", noFile},
		"list":              {[]string{"stream", "list", ""}, "nightly cheap", noFile},
		"watch":             {[]string{"stream", "watch", ""}, "nightly cheap", noFile},
		"cut":               {[]string{"stream", "cut", "ni"}, "nightly", noFile},
		"prune":             {[]string{"stream", "prune", "ch"}, "cheap", noFile},
		"freeze":            {[]string{"stream", "freeze", "x"}, "", noFile},
		"unfreeze":          {[]string{"stream", "unfreeze", ""}, "nightly cheap", noFile},
		"no second operand": {[]string{"stream", "show", "cheap", ""}, "", noFile},
		"accept":            {[]string{"stream", "accept", "--reason=x", ""}, "1.36.3-0.nightly- 1.36.3-0.cheap-", noFileNoSpace},
		"pin":               {[]string{"stream", "pin", "1.36.3-0.n"}, "1.36.3-0.nightly-", noFileNoSpace},
		"decide":            {[]string{"stream", "decide", "1"}, "1.36.3-0.nightly- 1.36.3-0.cheap-", noFileNoSpace},
		"decide by":         {[]string{"stream", "decide", "x", "--stream", ""}, "nightly cheap", noFile},
		"nightly":           {[]string{"nightly", "--stream="}, "nightly cheap", noFile},
		"promote":           {[]string{"channel", "promote", "--stream", "n"}, "nightly", noFile},
		"a list":            {[]string{"controller", "--stream", "cheap,"}, "cheap,nightly", noFile},
		"a whole list":      {[]string{"controller", "--stream", "cheap,nightly,"}, "", noFile},
		"a channel":         {[]string{"graph", "--channel", ""}, "candidate stable", noFile},
		"a channel's name":  {[]string{"channel", "show", "s"}, "stable", noFile},
		"a second channel":  {[]string{"channel", "diff", "candidate", ""}, "candidate stable", noFile},
		"a third channel":   {[]string{"channel", "diff", "candidate", "stable", ""}, "", noFile},
		"a version":         {[]string{"channel", "rollout", "1.36.3-0.n"}, "1.36.3-0.nightly-", noFileNoSpace},
		"channels":          {[]string{"release", "new", "--channels", "c"}, "candidate", noFile},
	} {
		t.Run(name, func(t *testing.T) {
			words, directive := completions(t, distro, c.args...)
			if got := strings.Join(words, " "); got != c.want || directive != c.directive {
				t.Errorf("%q %s, want %q %s", got, directive, c.want, c.directive)
			}
		})
	}
	if err := os.WriteFile(filepath.Join(distro, "streams", "cheap.yaml"), []byte("spec: ["), 0o644); err != nil {
		t.Fatal(err)
	}
	if words, directive := completions(t, distro, "stream", "show", ""); len(words) != 0 || directive != failed {
		t.Errorf("of a broken distribution: %q %s", words, directive)
	}
}

// Whatever takes a stream or a channel completes it.
func TestEveryNameIsCompleted(t *testing.T) {
	root := newRoot(&app{getenv: func(string) string { return "" }})
	flags, operands := 0, 0
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			walk(sub)
		}
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Name == "stream" || f.Name == "channel" || f.Name == "channels" {
				flags++
				if _, ok := c.GetFlagCompletionFunc(f.Name); !ok {
					t.Errorf("%s --%s is not completed", c.CommandPath(), f.Name)
				}
			}
		})
		if strings.Contains(c.Use, "STREAM") || strings.Contains(c.Use, "CHANNEL") || strings.HasPrefix(c.CommandPath(), "slipway stream ") {
			operands++
			if c.ValidArgsFunction == nil {
				t.Errorf("%s is not completed", c.CommandPath())
			}
		}
	}
	walk(root)
	if flags < 8 || operands < 12 {
		t.Errorf("only %d flags and %d operands were looked at", flags, operands)
	}
}
