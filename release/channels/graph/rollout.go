package graph

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"time"
)

// Share returns how much of all clusters the version is open to at a time, from 0 to 1.
func (r Rollout) Share(now time.Time) float64 {
	if !r.Halted.IsZero() && r.Halted.Before(now) {
		now = r.Halted
	}
	switch gone := now.Sub(r.Start); {
	case gone < 0:
		return 0
	case gone >= r.Duration:
		return 1
	default:
		return float64(gone) / float64(r.Duration)
	}
}

// Share returns how much of all clusters a version is open to at a time, in the channel of
// those that opened it most; without channels, by the rollouts that concern all.
func Share(rollouts []Rollout, version string, channels []string, now time.Time) float64 {
	in := func(channel string) float64 {
		open := 1.0
		for _, r := range rollouts {
			if r.Version == version && (r.Channel == "" || r.Channel == channel) {
				open = min(open, r.Share(now))
			}
		}
		return open
	}
	if len(channels) == 0 {
		return in("")
	}
	most := 0.0
	for _, c := range channels {
		most = max(most, in(c))
	}
	return most
}

// Open says whether a cluster, named by the id that it sends, may take the version at
// a time. A cluster has its place in the order of each version for good: once open it
// stays so, and it is not always the same clusters that go first. One that sends no
// id comes last.
func (r Rollout) Open(cluster string, now time.Time) bool {
	share := r.Share(now)
	return share >= 1 || cluster != "" && place(r.Version, cluster) < share
}

// place spreads clusters evenly over [0, 1) by the SHA-256 of VERSION NUL CLUSTER.
func place(version, cluster string) float64 {
	sum := sha256.Sum256([]byte(version + "\x00" + cluster))
	return float64(binary.BigEndian.Uint64(sum[:8])>>11) / (math.MaxUint64>>11 + 1)
}
