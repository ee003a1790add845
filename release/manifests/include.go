package manifests

import "strings"

// Annotations that decide whether a cluster applies a manifest.
const (
	includePrefix = "include.release.openshift.io/"
	excludePrefix = "exclude.release.openshift.io/"
)

// Selection says for which kind of cluster manifests are chosen.
type Selection struct {
	// Profile chooses only objects annotated include.release.openshift.io/<profile>: "true".
	// Empty: a manifest needs no such annotation.
	Profile string
	// Identity leaves out objects annotated exclude.release.openshift.io/<identity>: "true".
	// Empty stands for "slipway".
	Identity string
}

// Included reports whether an object belongs into a cluster, and if not, why.
func Included(o Object, s Selection) (included bool, reason string) {
	if s.Identity == "" {
		s.Identity = "slipway"
	}
	annotations := o.Annotations()
	if key := excludePrefix + s.Identity; annotations[key] == "true" {
		return false, key + " is true"
	}
	if s.Profile != "" {
		if key := includePrefix + s.Profile; annotations[key] != "true" {
			return false, key + " is not true"
		}
		return true, ""
	}
	// Without a profile only manifests that say of every profile they name that
	// they do not belong to it are left out.
	named, wanted := 0, 0
	for key, value := range annotations {
		if strings.HasPrefix(key, includePrefix) {
			named++
			if value == "true" {
				wanted++
			}
		}
	}
	if named > 0 && wanted == 0 {
		return false, "no " + includePrefix + "… is true"
	}
	return true, ""
}
