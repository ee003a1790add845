package catalog

import (
	"encoding/json"
	"time"

	"github.com/slipway-release/slipway/release/streams"
)

// Definition is what is configured of a stream.
type Definition struct {
	Policy streams.Policy
	// Stable says that it holds the versions whose names tell no stream, such as 1.36.3.
	// One stream at most can.
	Stable bool
	// Message is told on the stream's pages.
	Message string
	// Hidden streams come last, EndOfLife ones are left out of the API's lists.
	Hidden, EndOfLife bool
	// Frozen says why nothing is cut, "" when something may be.
	Frozen string
	// MaxAge is how old the newest accepted payload may be before the stream counts
	// as stuck; 48 h when zero.
	MaxAge time.Duration
	// MaxCheck is how long a payload may wait for a verdict; 12 h when zero.
	MaxCheck time.Duration
	// Checks tell more about the policy's checks, and which others there are.
	Checks []CheckDefinition
	// Config is the whole configuration as JSON, for Slipway's own clients; it may be empty.
	Config json.RawMessage
}

// CheckDefinition is what is configured of a check.
type CheckDefinition struct {
	Name     string
	Pipeline string // that is run
	Disabled bool
	// Upgrade says that it upgrades a cluster, from what UpgradeFrom selects.
	Upgrade     bool
	UpgradeFrom string
	MaxRetries  int
	// Interval or Cron say when it is run on the newest accepted payload, for checks
	// that no verdict waits for.
	Interval, Cron string
}
