package updates

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/slipway-release/slipway/release/channels/graph"
)

// addAliases adds the channels that OKD's clusters ask for: NAME-MAJOR and
// NAME-MAJOR.MINOR. Where there are channels NAME-MAJOR.MINOR, NAME-MAJOR is all of
// them; where there is only NAME, it is that one, as far as it leads to versions that
// begin so. A declared channel is never hidden.
func addAliases(all map[string]*channel, x *graph.Index, arch string, rollouts []graph.Rollout, now time.Time) {
	members := map[string][]string{}
	var plain []string
	for name := range all {
		switch base, major, minor := family(name); {
		case minor >= 0:
			alias := base + "-" + strconv.Itoa(major)
			members[alias] = append(members[alias], name)
		case major < 0:
			plain = append(plain, name)
		}
	}
	add := func(alias string, of []string, v graph.View) {
		if all[alias] == nil {
			all[alias] = &channel{arch: arch, name: alias, alias: true, view: v, gates: gatesOf(rollouts, of, x, now)}
		}
	}
	for alias, of := range members {
		add(alias, of, x.Select(func(n graph.Node) bool {
			return slices.ContainsFunc(n.Channels, func(c string) bool { return slices.Contains(of, c) })
		}))
	}
	for _, name := range plain {
		for _, prefix := range prefixes(all[name].view) {
			add(name+"-"+strings.TrimSuffix(prefix, "."), []string{name}, all[name].view.Into(prefix))
		}
	}
}

// prefixes are how the versions of a view begin: "1." and "1.36.".
func prefixes(v graph.View) []string {
	seen := map[string]bool{}
	for i, n := range v.Graph.Nodes {
		major, rest, ok := strings.Cut(n.Version, ".")
		if !v.Node[i] || !ok {
			continue
		}
		seen[major+"."] = true
		if minor, _, ok := strings.Cut(rest, "."); ok {
			seen[major+"."+minor+"."] = true
		}
	}
	var all []string
	for p := range seen {
		all = append(all, p)
	}
	slices.Sort(all)
	return all
}

// family splits the name of a channel from the version it is for: "stable-4.17" is
// stable, 4 and 17. Either number may be missing and is then -1.
func family(channel string) (name string, major, minor int) {
	cut := strings.LastIndexByte(channel, '-')
	if cut <= 0 {
		return channel, -1, -1
	}
	first, second, dotted := strings.Cut(channel[cut+1:], ".")
	major, err := strconv.Atoi(first)
	if err != nil || major < 0 {
		return channel, -1, -1
	}
	if !dotted {
		return channel[:cut], major, -1
	}
	minor, err = strconv.Atoi(second)
	if err != nil || minor < 0 {
		return channel, -1, -1
	}
	return channel[:cut], major, minor
}
