package e2e

import "slices"

// smoke lists the specs of the smoke suite in the order in which they run.
func smoke() []spec {
	return slices.Concat(apiSpecs(), accessSpecs(), nodeSpecs(), podSpecs(), streamSpecs(), networkSpecs(), volumeSpecs(), workloadSpecs(), imageSpecs())
}
