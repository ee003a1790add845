package compare

import (
	"github.com/slipway-release/slipway/release/inspect"
	"github.com/slipway-release/slipway/release/inspect/forge"
)

// ImageChange is a component whose image is not the same.
type ImageChange struct {
	Name string             `json:"name"`
	From *inspect.Component `json:"from,omitempty"`
	To   *inspect.Component `json:"to,omitempty"`
	// CompareURL shows the commits between the two, where both are of one repository
	// on a host whose links are known.
	CompareURL string `json:"compareURL,omitempty"`
}

// Images are the differences of the component images.
type Images struct {
	Changed   []ImageChange `json:"changed"`   // of other commits, or of commits nobody tells
	Rebuilt   []ImageChange `json:"rebuilt"`   // of the same commit
	Relocated []ImageChange `json:"relocated"` // the same image in another repository
	Added     []ImageChange `json:"added"`
	Removed   []ImageChange `json:"removed"`
	Unchanged int           `json:"unchanged"`
}

// Empty reports whether all components have the same images.
func (i Images) Empty() bool {
	return len(i.Changed)+len(i.Rebuilt)+len(i.Relocated)+len(i.Added)+len(i.Removed) == 0
}

func images(from, to *inspect.Info, hosts forge.Hosts) Images {
	found := Images{Changed: []ImageChange{}, Rebuilt: []ImageChange{}, Relocated: []ImageChange{}, Added: []ImageChange{}, Removed: []ImageChange{}}
	for _, before := range from.Components {
		after, ok := to.Component(before.Name)
		if !ok {
			found.Removed = append(found.Removed, ImageChange{Name: before.Name, From: &before})
			continue
		}
		change := ImageChange{Name: before.Name, From: &before, To: &after}
		switch {
		case before.PullSpec == after.PullSpec:
			found.Unchanged++
		case before.Digest == after.Digest:
			found.Relocated = append(found.Relocated, change)
		case before.Commit != "" && before.Commit == after.Commit && before.Source == after.Source:
			found.Rebuilt = append(found.Rebuilt, change)
		default:
			if forge.Web(before.Source) == forge.Web(after.Source) {
				change.CompareURL = hosts.Compare(after.Source, before.Commit, after.Commit)
			}
			found.Changed = append(found.Changed, change)
		}
	}
	for _, after := range to.Components {
		if _, ok := from.Component(after.Name); !ok {
			found.Added = append(found.Added, ImageChange{Name: after.Name, To: &after})
		}
	}
	return found
}

// OfImages compares the component images of two payloads, and nothing else of them.
func OfImages(from, to *inspect.Info, hosts forge.Hosts) Images { return images(from, to, hosts) }
