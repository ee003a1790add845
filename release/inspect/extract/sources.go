package extract

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/slipway-release/slipway/internal/git"
	"github.com/slipway-release/slipway/release"
)

// Checkout is a source repository at the commit that components were built from.
type Checkout struct {
	Path       string   `json:"path"`
	Repository string   `json:"repository"`
	Commit     string   `json:"commit"`   // full id
	Revision   string   `json:"revision"` // as the payload says: an id or a tag
	Components []string `json:"components"`

	location git.URL
}

// SourcesOptions say where sources are checked out.
type SourcesOptions struct {
	Dir          string
	Repositories *git.Cache
	Jobs         int // 8 when zero
	// Watch is told about each repository when it begins; it returns what is told
	// of the end. It may be nil.
	Watch func(repository string) (done func(error))
}

// Sources checks out the repository of every component at its commit, as
// DIR/HOST/PATH; where components are built from several commits of one repository,
// as DIR/HOST/PATH@COMMIT. Components that do not say where they come from are
// returned as silent. All that fails is reported at once; what went well stays.
func Sources(ctx context.Context, p *release.Payload, o SourcesOptions) (checkouts []Checkout, silent []string, err error) {
	if o.Watch == nil {
		o.Watch = func(string) func(error) { return func(error) {} }
	}
	checkouts, silent, problems := o.list(p)
	failed := make([]error, len(checkouts))
	var g errgroup.Group
	g.SetLimit(cmp.Or(o.Jobs, 8))
	for i := range checkouts {
		g.Go(func() error {
			c := &checkouts[i]
			done := o.Watch(c.Repository + " " + c.Revision)
			failed[i] = o.checkout(ctx, c)
			done(failed[i])
			return nil
		})
	}
	_ = g.Wait() // failures are collected, so that all are reported
	for _, err := range failed {
		if err != nil {
			problems = append(problems, err)
		}
	}
	checkouts = slices.DeleteFunc(checkouts, func(c Checkout) bool { return c.Commit == "" })
	return checkouts, silent, errors.Join(problems...)
}

func (o SourcesOptions) checkout(ctx context.Context, c *Checkout) error {
	repo, err := o.Repositories.Open(ctx, c.location, c.Revision)
	if err != nil {
		return err
	}
	commit, err := repo.Commit(ctx, c.Revision)
	if err != nil {
		return err
	}
	if err := repo.Checkout(ctx, c.Path, commit); err != nil {
		return err
	}
	c.Commit = commit
	return nil
}

// list finds the repositories and gives each commit its folder.
func (o SourcesOptions) list(p *release.Payload) (checkouts []Checkout, silent []string, problems []error) {
	commits := map[string]int{} // of each repository
	for _, t := range p.References.Tags {
		source, revision := t.Annotations[release.LabelSource], t.Annotations[release.LabelCommit]
		if source == "" || revision == "" {
			silent = append(silent, t.Name)
			continue
		}
		location, err := git.ParseURL(source)
		if err != nil {
			problems = append(problems, fmt.Errorf("component %q: %w", t.Name, err))
			continue
		}
		at := slices.IndexFunc(checkouts, func(c Checkout) bool { return c.Repository == location.Name() && c.Revision == revision })
		if at >= 0 {
			checkouts[at].Components = append(checkouts[at].Components, t.Name)
			continue
		}
		commits[location.Name()]++
		checkouts = append(checkouts, Checkout{Repository: location.Name(), Revision: revision, Components: []string{t.Name}, location: location})
	}
	for i := range checkouts {
		c := &checkouts[i]
		c.Path = filepath.Join(o.Dir, filepath.FromSlash(c.Repository))
		if commits[c.Repository] > 1 {
			c.Path += "@" + folderName(c.Revision)
		}
	}
	slices.SortFunc(checkouts, func(a, b Checkout) int { return strings.Compare(a.Path, b.Path) })
	return checkouts, silent, problems
}

// folderName makes one part of a path of a revision.
func folderName(revision string) string {
	if len(revision) >= 40 {
		revision = revision[:12]
	}
	return strings.ReplaceAll(revision, "/", "-")
}
