package changelog

import (
	"context"
	"fmt"

	"github.com/slipway-release/slipway/internal/git"
)

// readRange fills an update from its repository.
func (o Options) readRange(ctx context.Context, u *update) error {
	repo, err := o.Repositories.Open(ctx, u.source, u.FromCommit, u.Commit)
	if err != nil {
		return err
	}
	from, err := repo.Commit(ctx, u.FromCommit)
	if err != nil {
		return err
	}
	to, err := repo.Commit(ctx, u.Commit)
	if err != nil {
		return err
	}
	if err := relate(ctx, repo, u, from, to); err != nil {
		return err
	}
	source := u.source.String()
	u.FullChangeLog = o.Hosts.Compare(source, u.FromCommit, u.Commit)
	if u.Relation == Forward || u.Relation == Diverged {
		if u.Commits, u.Elided, err = o.commits(ctx, repo, source, from, to); err != nil {
			return err
		}
	}
	if u.Relation == Backward || u.Relation == Diverged {
		if u.Lost, u.ElidedLost, err = o.commits(ctx, repo, source, to, from); err != nil {
			return err
		}
	}
	return nil
}

// relate says how the newer image's commit stands to the older one's.
func relate(ctx context.Context, repo *git.Repository, u *update, from, to string) error {
	if from == to {
		u.Relation = Identical
		return nil
	}
	forward, err := repo.IsAncestor(ctx, from, to)
	if err != nil {
		return err
	}
	if forward {
		u.Relation = Forward
		return nil
	}
	backward, err := repo.IsAncestor(ctx, to, from)
	if err != nil {
		return err
	}
	if backward {
		u.Relation = Backward
		u.Reason = fmt.Sprintf("the source went back: %s is older than %s", short(u.Commit), short(u.FromCommit))
		return nil
	}
	u.Relation = Diverged
	u.Reason = fmt.Sprintf("the source is of another branch, or its history was rewritten: %s does not contain %s", short(u.Commit), short(u.FromCommit))
	return nil
}

func (o Options) commits(ctx context.Context, repo *git.Repository, source, from, to string) ([]Commit, int, error) {
	// One more than is shown tells whether there are more.
	raw, err := repo.Log(ctx, from, to, o.Limit+1)
	if err != nil {
		return nil, 0, err
	}
	elided := 0
	if len(raw) > o.Limit {
		total, err := repo.Count(ctx, from, to)
		if err != nil {
			return nil, 0, err
		}
		elided, raw = total-o.Limit, raw[:o.Limit]
	}
	commits := make([]Commit, len(raw))
	for i, c := range raw {
		commits[i] = o.describe(source, c)
	}
	markReverted(commits)
	return commits, elided, nil
}

// short is the first digits of an id; a tag stays whole.
func short(commit string) string {
	if len(commit) >= 40 {
		return commit[:12]
	}
	return commit
}
