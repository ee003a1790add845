package changelog

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/blang/semver/v4"
	"golang.org/x/sync/errgroup"

	"github.com/slipway-release/slipway/internal/git"
	"github.com/slipway-release/slipway/release/inspect"
	"github.com/slipway-release/slipway/release/inspect/compare"
	"github.com/slipway-release/slipway/release/inspect/features"
	"github.com/slipway-release/slipway/release/inspect/forge"
)

// Changelog is what changed between two payloads. Keys are those of oc where it
// has one.
type Changelog struct {
	From Release `json:"from"`
	To   Release `json:"to"`
	// UpgradeFrom says whether the newer release allows an upgrade from the older one.
	UpgradeFrom bool        `json:"upgradeFrom"`
	Components  []Component `json:"components,omitempty"`
	// FeatureGates are those whose state differs in some kind of cluster.
	FeatureGates  []features.Change `json:"featureGates,omitempty"`
	NewImages     []Image           `json:"newImages,omitempty"`
	RemovedImages []Image           `json:"removedImages,omitempty"`
	RebuiltImages []Image           `json:"rebuiltImages,omitempty"` // of the same commit
	UpdatedImages []Update          `json:"updatedImages,omitempty"`
	Unchanged     int               `json:"unchangedImages"`
	Warnings      []string          `json:"warnings,omitempty"`
}

// Release is one of the two payloads.
type Release struct {
	Name     string    `json:"name"` // its version
	Digest   string    `json:"digest"`
	PullSpec string    `json:"pullSpec"`
	Created  time.Time `json:"created"`
}

// The directions of a component's version.
const (
	Upgraded   = "upgraded"
	Downgraded = "downgraded"
	Added      = "added"
	Removed    = "removed"
	Changed    = "changed" // not to be ordered
)

// Component is a version that images announce, such as kubernetes, which is not
// the same in both payloads.
type Component struct {
	Name      string `json:"name"` // for people, else the key
	Key       string `json:"key"`
	Version   string `json:"version,omitempty"`
	From      string `json:"from,omitempty"`
	Direction string `json:"direction"`
}

// Image is one component image.
type Image struct {
	Name     string `json:"name"`
	Path     string `json:"path,omitempty"` // the page of the commit, else the repository
	Commit   string `json:"commit,omitempty"`
	ImageRef string `json:"imageRef,omitempty"`
}

// The ways in which two commits of a repository stand to each other.
const (
	Forward   = "forward"   // the newer one contains the older one
	Backward  = "backward"  // the older one contains the newer one
	Diverged  = "diverged"  // each has commits that the other has not
	Untold    = "untold"    // see Reason
	Identical = "identical" // two names of one commit
)

// Update is a range of one repository's history, and the images that it is in.
type Update struct {
	Name       string   `json:"name"` // the images' names
	Images     []string `json:"images"`
	Path       string   `json:"path,omitempty"` // address of the repository for people
	Repository string   `json:"repository,omitempty"`
	FromCommit string   `json:"fromCommit,omitempty"` // as the payload says
	Commit     string   `json:"commit,omitempty"`     // as the payload says
	// Relation is one of Forward, Backward, Diverged, Identical, Untold.
	Relation string `json:"relation"`
	// Reason says why there is no history, or what is the matter with it.
	Reason        string   `json:"reason,omitempty"`
	Commits       []Commit `json:"commits,omitempty"` // that came in, the newest first
	Lost          []Commit `json:"lostCommits,omitempty"`
	Elided        int      `json:"elided,omitempty"`     // commits that came in and are not listed
	ElidedLost    int      `json:"elidedLost,omitempty"` // the same of the lost ones
	FullChangeLog string   `json:"fullChangeLog,omitempty"`
}

// Options say how histories are read and shown.
type Options struct {
	Repositories *git.Cache
	// FeatureGates are told as they are; see features.Compare.
	FeatureGates []features.Change
	Hosts        forge.Hosts
	// Issues are found in messages besides the words with which the forges
	// close issues.
	Issues []IssuePattern
	// Bots are names or addresses of authors whose commits are folded, besides
	// those that everybody knows.
	Bots []string
	// Limit is how many commits of one range are listed; 200 when zero.
	Limit int
	// Jobs is how many repositories are read side by side; 8 when zero.
	Jobs int
	// Watch is told about each repository before it is read, and its result after. It may be nil.
	Watch func(repository string) (done func(error))
}

// Make compares two payloads. A history that cannot be had is no error: it is told
// in Update.Reason and in Warnings. The error is the context's.
func Make(ctx context.Context, from, to *inspect.Info, o Options) (*Changelog, error) {
	o.Limit, o.Jobs = cmp.Or(o.Limit, 200), cmp.Or(o.Jobs, 8)
	if o.Watch == nil {
		o.Watch = func(string) func(error) { return func(error) {} }
	}
	differences := compare.OfImages(from, to, o.Hosts)
	c := &Changelog{
		From: releaseOf(from), To: releaseOf(to), UpgradeFrom: slices.Contains(to.Upgrades, from.Version),
		Components: components(from, to), FeatureGates: o.FeatureGates, Unchanged: differences.Unchanged + len(differences.Relocated),
	}
	for _, d := range differences.Added {
		c.NewImages = append(c.NewImages, o.image(d.To))
	}
	for _, d := range differences.Removed {
		c.RemovedImages = append(c.RemovedImages, o.image(d.From))
	}
	for _, d := range differences.Rebuilt {
		c.RebuiltImages = append(c.RebuiltImages, o.image(d.To))
	}
	updates := group(differences.Changed)
	if err := o.read(ctx, updates); err != nil {
		return nil, err
	}
	for _, u := range updates {
		if u.Relation != Forward && u.Relation != Identical {
			c.Warnings = append(c.Warnings, fmt.Sprintf("%s: %s", u.Name, u.Reason))
		}
		c.UpdatedImages = append(c.UpdatedImages, u.Update)
	}
	return c, nil
}

// Incomplete reports whether the history of a component could not be had.
func (c *Changelog) Incomplete() bool {
	return slices.ContainsFunc(c.UpdatedImages, func(u Update) bool { return u.Relation == Untold })
}

func releaseOf(i *inspect.Info) Release {
	return Release{Name: i.Version, Digest: i.Identity(), PullSpec: i.PullSpec, Created: i.Created}
}

func (o Options) image(c *inspect.Component) Image {
	i := Image{Name: c.Name, Commit: c.Commit, ImageRef: c.PullSpec}
	if u, err := git.ParseURL(c.Source); err == nil {
		i.Path = cmp.Or(o.Hosts.Commit(u.String(), c.Commit), forge.Web(u.String()))
	}
	return i
}

// components lists the announced versions that differ.
func components(from, to *inspect.Info) []Component {
	keys := maps.Clone(from.DisplayVersions)
	if keys == nil {
		keys = map[string]inspect.DisplayVersion{}
	}
	maps.Copy(keys, to.DisplayVersions)
	var found []Component
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		older, newer := from.DisplayVersions[key], to.DisplayVersions[key]
		if older.Version == newer.Version {
			continue
		}
		found = append(found, Component{
			Key: key, Name: cmp.Or(newer.DisplayName, older.DisplayName, key),
			From: older.Version, Version: newer.Version, Direction: direction(older.Version, newer.Version),
		})
	}
	return found
}

func direction(from, to string) string {
	switch {
	case from == "":
		return Added
	case to == "":
		return Removed
	}
	older, errFrom := semver.ParseTolerant(from)
	newer, errTo := semver.ParseTolerant(to)
	if errFrom != nil || errTo != nil || older.EQ(newer) {
		return Changed
	}
	if older.LT(newer) {
		return Upgraded
	}
	return Downgraded
}

// update is an Update that is being made.
type update struct {
	Update
	source git.URL
}

// group joins changes that are one range of one repository.
func group(changes []compare.ImageChange) []*update {
	var updates []*update
	known := map[string]*update{}
	for _, change := range changes {
		u := &update{Update: Update{Relation: Untold, FromCommit: change.From.Commit, Commit: change.To.Commit}}
		var older git.URL
		var err error
		if older, u.source, err = sources(change); err != nil {
			u.Reason = err.Error()
		} else if u.Repository, u.Path = u.source.Name(), forge.Web(u.source.String()); older.Name() != u.Repository {
			u.Reason = fmt.Sprintf("the source moved from %s to %s, so that there is no history from one to the other", older.Name(), u.Repository)
		}
		key := strings.Join([]string{u.source.String(), u.Reason, u.FromCommit, u.Commit}, "\x00")
		if same := known[key]; same != nil && u.source != (git.URL{}) {
			same.Images = append(same.Images, change.Name)
			same.Name += ", " + change.Name
			continue
		}
		u.Name, u.Images = change.Name, []string{change.Name}
		known[key] = u
		updates = append(updates, u)
	}
	return updates
}

// sources are the repositories that the two images say they are built from.
func sources(change compare.ImageChange) (older, newer git.URL, err error) {
	for _, c := range []struct {
		which string
		*inspect.Component
		to *git.URL
	}{{"older", change.From, &older}, {"newer", change.To, &newer}} {
		switch {
		case c.Source == "":
			return git.URL{}, git.URL{}, fmt.Errorf("the %s image does not say which repository it was built from", c.which)
		case c.Commit == "":
			return git.URL{}, git.URL{}, fmt.Errorf("the %s image does not say which commit it was built from", c.which)
		}
		if *c.to, err = git.ParseURL(c.Source); err != nil {
			return git.URL{}, git.URL{}, err
		}
	}
	return older, newer, nil
}

// read fills the updates, one repository beside the other.
func (o Options) read(ctx context.Context, updates []*update) error {
	repositories := map[string][]*update{}
	for _, u := range updates {
		if u.Reason == "" {
			repositories[u.source.String()] = append(repositories[u.source.String()], u)
		}
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(o.Jobs)
	for _, location := range slices.Sorted(maps.Keys(repositories)) {
		g.Go(func() error {
			done := o.Watch(repositories[location][0].Repository)
			done(o.readRepository(gctx, repositories[location]))
			return context.Cause(gctx)
		})
	}
	return g.Wait()
}

// readRepository reads all ranges of one repository. What cannot be read is the
// reason of each of them; the error is for whoever watches.
func (o Options) readRepository(ctx context.Context, updates []*update) error {
	var failed error
	for _, u := range updates {
		if err := o.readRange(ctx, u); err != nil {
			u.Relation, u.Reason, failed = Untold, err.Error(), err
		}
	}
	return failed
}
