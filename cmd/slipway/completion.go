package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/slipway-release/slipway/distros"
)

// completer is what the shell asks what a word may become.
type completer = func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective)

// completeNames has the shell complete the names of streams and channels wherever a
// command takes one. They are read from distro.yaml and the files of its streams; no
// registry is asked, so a version is completed up to its date.
func (a *app) completeNames(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		a.completeNames(sub)
	}
	for flag, names := range map[string]func(*distros.Distribution) []string{"stream": streamNames, "channel": channelNames, "channels": channelNames} {
		if f := cmd.Flags().Lookup(flag); f != nil {
			_ = cmd.RegisterFlagCompletionFunc(flag, a.completeFlag(f, names))
		}
	}
	_, operands, _ := strings.Cut(cmd.Use, " ")
	switch {
	case cmd.ValidArgsFunction != nil:
	case operands == "STREAM" || operands == "[STREAM]":
		cmd.ValidArgsFunction = a.completeOperand(1, streamNames, cobra.ShellCompDirectiveNoFileComp)
	case operands == "CHANNEL":
		cmd.ValidArgsFunction = a.completeOperand(1, channelNames, cobra.ShellCompDirectiveNoFileComp)
	case operands == "CHANNEL CHANNEL":
		cmd.ValidArgsFunction = a.completeOperand(2, channelNames, cobra.ShellCompDirectiveNoFileComp)
	case cmd.HasParent() && (cmd.Parent().Name() == "stream" || cmd.Parent().Name() == "channel" && strings.HasPrefix(operands, "VERSION")):
		cmd.ValidArgsFunction = a.completeOperand(1, undatedVersions, cobra.ShellCompDirectiveNoFileComp|cobra.ShellCompDirectiveNoSpace)
	}
}

func streamNames(d *distros.Distribution) (names []string) {
	for _, s := range d.Streams {
		names = append(names, s.Name)
	}
	return names
}

func channelNames(d *distros.Distribution) (names []string) {
	for _, c := range d.Channels {
		names = append(names, c.Name)
	}
	return names
}

// undatedVersions are what the versions of each stream begin with.
func undatedVersions(d *distros.Distribution) (begins []string) {
	for _, s := range d.Streams {
		begins = append(begins, orElse(s.Base, d.Version)+"-0."+s.Name+"-")
	}
	return begins
}

// completeOperand completes the operands of a command, of which there are so many at most.
func (a *app) completeOperand(most int, names func(*distros.Distribution) []string, directive cobra.ShellCompDirective) completer {
	return func(_ *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return a.complete(names, "", typed, nil, directive)
	}
}

// completeFlag completes a flag's value, in a list the last of those typed.
func (a *app) completeFlag(f *pflag.Flag, names func(*distros.Distribution) []string) completer {
	_, list := f.Value.(pflag.SliceValue)
	return func(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		before := ""
		if comma := strings.LastIndexByte(typed, ','); list && comma >= 0 {
			before, typed = typed[:comma+1], typed[comma+1:]
		}
		return a.complete(names, before, typed, strings.Split(before, ","), cobra.ShellCompDirectiveNoFileComp)
	}
}

func (a *app) complete(names func(*distros.Distribution) []string, before, typed string, given []string, directive cobra.ShellCompDirective) ([]string, cobra.ShellCompDirective) {
	d, err := a.distribution()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var out []string
	for _, name := range names(d) {
		if strings.HasPrefix(name, typed) && !slices.Contains(given, name) {
			out = append(out, before+name)
		}
	}
	return out, directive
}
