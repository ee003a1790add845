package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/distros"
	"github.com/slipway-release/slipway/internal/config"
	"github.com/slipway-release/slipway/release/channels/graph"
	"github.com/slipway-release/slipway/release/channels/graphdata"
)

// blockFlags are those of `slipway channel block` and unblock.
type blockFlags struct {
	dir     string
	risk    graphdata.Risk
	promQL  string
	exact   bool // files of schema 1.x
	fixedIn string
	dryRun  bool
	out     output
}

// blocking is what one of these commands did to a folder.
type blocking struct {
	Risk   string   `json:"risk"`
	Folder string   `json:"folder"`
	Files  []string `json:"files"` // written or removed
	// Versions are those known whose upgrades are concerned.
	Versions []string `json:"versions"`
	DryRun   bool     `json:"dryRun,omitempty"`
}

func newChannelBlock(a *app) *cobra.Command {
	var f blockFlags
	cmd := &cobra.Command{
		Use:   "block NAME",
		Short: "Declare a risk of upgrades, or that they are not offered at all",
		Long: `Declare a risk of the upgrades to a range of versions, in the graph-data beside
distro.yaml or in another folder. The risk holds for every version of the range, also
for those to come, until --fixed-in names the first that is better.

Clusters whose PromQL query gives 1 are warned; without --promql all are. --never does not
offer the upgrades to anybody. --blocked-edges writes a file for each version known, as
other readers of graph-data understand them.`,
		Example: `  slipway channel block SlowEtcdMigration --to '>=1.36.0' --from '<1.36.0' \
    --url https://example.com/issues/12 --message 'etcd migrates for minutes.' --dry-run
  slipway channel block BadDisk --to 1.36.2 --url https://example.com/issues/13 --message 'Data may be lost.' --never`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.risk.Metadata.Name = args[0]
			return f.block(cmd, a)
		},
	}
	flags := cmd.Flags()
	f.add(cmd)
	flags.StringVar(&f.risk.To, "to", "", "range of the versions whose upgrades bear the risk, as in '>=1.36.0 <1.36.4'")
	flags.StringVar(&f.risk.From, "from", "", "range of the versions that they come from (default: all)")
	flags.StringVar(&f.risk.FixedIn, "fixed-in", "", "first version without the risk")
	flags.StringVar(&f.risk.URL, "url", "", "https:// link to what people should read")
	flags.StringVar(&f.risk.Message, "message", "", "what may happen to whom, in a sentence")
	flags.StringArrayVar(&f.risk.Architectures, "arch", nil, "architecture that is concerned (default: all); may be given more than once")
	flags.StringVar(&f.promQL, "promql", "", "query that gives 1 on clusters that are concerned and 0 on others")
	flags.BoolVar(&f.risk.Block, "never", false, "do not offer these upgrades to anybody")
	flags.BoolVar(&f.exact, "blocked-edges", false, "write a file of schema 1.x for each version known")
	for _, name := range []string{"to", "url", "message"} {
		_ = cmd.MarkFlagRequired(name)
	}
	cmd.MarkFlagsMutuallyExclusive("promql", "never")
	return cmd
}

func newChannelUnblock(a *app) *cobra.Command {
	var f blockFlags
	cmd := &cobra.Command{
		Use:   "unblock NAME",
		Short: "Take back a risk, or say which version fixes it",
		Long: `Take back what slipway channel block declared: every file of the folder that declares
a risk of this name is removed. With --fixed-in the risk stays for the versions before
that one.`,
		Example: `  slipway channel unblock SlowEtcdMigration --dry-run
  slipway channel unblock SlowEtcdMigration --fixed-in 1.36.4`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return f.unblock(cmd, a, args[0]) },
	}
	f.add(cmd)
	cmd.Flags().StringVar(&f.fixedIn, "fixed-in", "", "keep the risk for the versions before this one")
	return cmd
}

func (f *blockFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.dir, "graph-data", "", "folder of graph-data to change (default: channels beside distro.yaml)")
	flags.BoolVar(&f.dryRun, "dry-run", false, "show what would change and change nothing")
	_ = cmd.MarkFlagDirname("graph-data")
	f.out.addFlag(cmd)
}

// folder is the graph-data to change.
func (f *blockFlags) folder(a *app) (string, error) {
	if f.dir != "" {
		if !graphdata.IsFolder(f.dir) && !exists(filepath.Join(f.dir, graphdata.SchemaFile)) {
			return "", usage(fmt.Errorf("reading graph-data %q: it has neither a folder channels nor a file version", f.dir))
		}
		return f.dir, nil
	}
	distro, err := a.distroPath()
	if err != nil {
		return "", err
	}
	if distro == "" {
		return "", usage(errors.New("finding the graph-data to change: the distribution is the one in the program; give --graph-data or --distro"))
	}
	return filepath.Join(distro, distros.GraphDataDir), nil
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// versions are those that are known: of the folder, and of the distribution's channels
// where it is the distribution's folder.
func (f *blockFlags) versions(cmd *cobra.Command, a *app, data *graphdata.Data) ([]string, error) {
	known := data.Versions()
	if f.dir != "" {
		return known, nil
	}
	w, err := a.open(cmd.Context())
	if err != nil {
		return nil, err
	}
	stored, err := w.channels().List(cmd.Context())
	if err != nil {
		return nil, err
	}
	for _, s := range stored {
		for _, v := range s.State.Versions {
			known = append(known, v.Version.String())
		}
	}
	slices.Sort(known)
	return slices.Compact(known), nil
}

func (f *blockFlags) block(cmd *cobra.Command, a *app) error {
	if err := f.out.check(); err != nil {
		return err
	}
	dir, err := f.folder(a)
	if err != nil {
		return err
	}
	if !f.risk.Block {
		f.risk.MatchingRules = []graph.MatchingRule{{Type: "Always"}}
		if f.promQL != "" {
			f.risk.MatchingRules = []graph.MatchingRule{{Type: "PromQL", PromQL: &graph.PromQL{PromQL: f.promQL}}}
		}
	}
	content, err := f.risk.Marshal()
	if err != nil {
		return err
	}
	changes := map[string][]byte{path.Join(graphdata.RisksDir, f.risk.Metadata.Name+".yaml"): content}
	if !exists(filepath.Join(dir, graphdata.SchemaFile)) {
		changes[graphdata.SchemaFile] = []byte(graphdata.NewSchema + "\n")
	}
	data, err := graphdata.LoadWith(dir, changes)
	if err != nil {
		return f.blockError(err)
	}
	versions, err := f.versions(cmd, a, data)
	if err != nil {
		return err
	}
	if f.exact {
		if changes, err = f.exported(dir, data, versions, changes); err != nil {
			return err
		}
	}
	if findings := data.Lint(); findings.Failed(graphdata.LevelError) {
		if err := newFindings(findings, changes, f.risk.Metadata.Name); err != nil {
			return err
		}
	}
	return f.apply(a, dir, changes, blocking{Risk: f.risk.Metadata.Name, Versions: data.Held(f.risk.Metadata.Name, versions)})
}

// newFindings refuses what is wrong with the risk itself; what was wrong before is not
// this command's to judge.
func newFindings(r graphdata.Report, changes map[string][]byte, risk string) error {
	var problems []error
	for _, f := range r.Findings {
		for file := range changes {
			if f.Level == graphdata.LevelError && strings.HasSuffix(f.File, file) {
				problems = append(problems, fmt.Errorf("declaring risk %q: %s; %s", risk, f.Message, f.Fix))
			}
		}
	}
	return usage(errors.Join(problems...))
}

// exported are the files of schema 1.x that stand for the risk.
func (f *blockFlags) exported(dir string, data *graphdata.Data, versions []string, changes map[string][]byte) (map[string][]byte, error) {
	files, err := data.Export(versions)
	if err != nil {
		return nil, err
	}
	out := map[string][]byte{}
	if schema, ok := changes[graphdata.SchemaFile]; ok {
		out[graphdata.SchemaFile] = schema
	}
	for name, content := range files {
		if path.Dir(name) == graphdata.BlocksDir && strings.HasSuffix(name, "-"+f.risk.Metadata.Name+".yaml") {
			out[name] = content
		}
	}
	if len(out) == 0 {
		return nil, usage(fmt.Errorf("declaring risk %q: --to %q holds none of the %d versions known to %q", f.risk.Metadata.Name, f.risk.To, len(versions), dir))
	}
	return out, nil
}

// blockError tells of flags where the risk that they make is not taken.
func (f *blockFlags) blockError(err error) error {
	var wrong *config.Error
	if errors.As(err, &wrong) {
		return usage(fmt.Errorf("declaring risk %q: %w", f.risk.Metadata.Name, err))
	}
	return err
}

func (f *blockFlags) unblock(cmd *cobra.Command, a *app, name string) error {
	if err := f.out.check(); err != nil {
		return err
	}
	dir, err := f.folder(a)
	if err != nil {
		return err
	}
	data, err := graphdata.Load(dir)
	if err != nil {
		return usage(err)
	}
	files := data.Named(name)
	if len(files) == 0 && data.Has(name) {
		files = []string{name}
	}
	if len(files) == 0 {
		return usage(fmt.Errorf("unblocking %q: graph-data %q declares no such risk and has no such file", name, dir))
	}
	versions, err := f.versions(cmd, a, data)
	if err != nil {
		return err
	}
	changes := map[string][]byte{}
	for _, file := range files {
		changes[file] = nil
	}
	held := data.Held(name, versions)
	if f.fixedIn != "" {
		if changes, err = data.FixedIn(name, f.fixedIn); err != nil {
			return usage(err)
		}
	}
	return f.apply(a, dir, changes, blocking{Risk: name, Versions: held})
}

func (f *blockFlags) apply(a *app, dir string, changes map[string][]byte, b blocking) error {
	b.Folder, b.DryRun, b.Files = dir, f.dryRun, slices.Sorted(maps.Keys(changes))
	if !f.dryRun {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := graphdata.Apply(dir, changes); err != nil {
			return err
		}
	}
	return f.out.print(a.Out, result{value: b, names: b.Files, text: func(out io.Writer) {
		would := ""
		if b.DryRun {
			would = "would be "
		}
		for _, file := range b.Files {
			what := "written"
			if changes[file] == nil {
				what = "removed"
			}
			fmt.Fprintf(out, "%s %s%s\n", file, would, what)
		}
		fmt.Fprintf(out, "risk %s concerns upgrades to %s\n", b.Risk, listed(b.Versions, "none of the versions known"))
	}})
}

// listed names some things, and how many more there are.
func listed(names []string, none string) string {
	const most = 12
	switch {
	case len(names) == 0:
		return none
	case len(names) > most:
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}
