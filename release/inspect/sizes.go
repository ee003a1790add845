package inspect

import (
	"fmt"
	"strconv"
	"time"
)

// Sizes say what the images of a payload weigh, in bytes as registries store them.
// A layer that several images share is counted once in all.
type Sizes struct {
	Total  int64       `json:"totalBytes"`
	Layers int         `json:"layers"` // different ones
	Bases  int         `json:"bases"`  // different lowest layers
	Images []ImageSize `json:"images"` // in the order of the components
}

// ImageSize is one component's share.
type ImageSize struct {
	Name    string    `json:"name"`
	Created time.Time `json:"created,omitzero"`
	Layers  int       `json:"layers"`
	Bytes   int64     `json:"bytes"`
	// Unique is what no other image of the payload has: what its removal would save.
	Unique int64 `json:"uniqueBytes"`
	// Base names the lowest layer: A for the first one met, B for the next; after Z come numbers.
	Base string `json:"base,omitempty"`
	// SameAs is another component made of the same image, whose size is counted there.
	SameAs string `json:"sameAs,omitempty"`
}

// AddSizes works out the sizes of the images that ReadImages read. Components
// whose image could not be read are left out.
func (i *Info) AddSizes() {
	sizes := &Sizes{}
	users := map[string]map[string]bool{} // layer → digests of the images with it
	for _, img := range i.Images {
		for _, l := range img.Layers {
			d := l.Digest.String()
			if users[d] == nil {
				users[d] = map[string]bool{}
				sizes.Total += l.Size
			}
			users[d][img.Digest] = true
		}
	}
	sizes.Layers = len(users)
	bases := map[string]string{}
	first := map[string]string{}
	for _, c := range i.Components {
		img := i.Images[c.Name]
		if img == nil {
			continue
		}
		size := ImageSize{Name: c.Name, Created: img.created, Layers: len(img.Layers), SameAs: first[img.Digest]}
		if size.SameAs == "" {
			first[img.Digest] = c.Name
		}
		counted := map[string]bool{} // an image may have one layer twice
		for _, l := range img.Layers {
			d := l.Digest.String()
			if counted[d] {
				continue
			}
			counted[d] = true
			size.Bytes += l.Size
			if len(users[d]) == 1 {
				size.Unique += l.Size
			}
		}
		if len(img.Layers) > 0 {
			d := img.Layers[0].Digest.String()
			if bases[d] == "" {
				bases[d] = letter(len(bases))
			}
			size.Base = bases[d]
		}
		sizes.Images = append(sizes.Images, size)
	}
	sizes.Bases = len(bases)
	i.Sizes = sizes
}

func letter(n int) string {
	if n < 26 {
		return string(rune('A' + n))
	}
	return strconv.Itoa(n + 1)
}

// megabytes writes bytes as oc's columns do, in units of 2^20 without naming them.
func megabytes(bytes int64) string { return fmt.Sprintf("%.1f", float64(bytes)/(1<<20)) }

// humanSize writes bytes with a unit, in powers of 1000.
func humanSize(bytes int64) string {
	value, unit := float64(bytes), 0
	for units := 4; value >= 1000 && unit < units; unit++ {
		value /= 1000
	}
	return fmt.Sprintf("%.4g%s", value, []string{"B", "kB", "MB", "GB", "TB"}[unit])
}

// age is how long ago something was, in the largest unit of which there are two
// or more: "34s", "5m", "3h", "12d", "3y". What has no time has no age.
func age(t, now time.Time) string {
	if t.IsZero() || t.Unix() <= 0 {
		return ""
	}
	d := now.Sub(t)
	switch day := 24 * time.Hour; {
	case d < 0:
		return "0s"
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 2*day:
		return fmt.Sprintf("%dh", int(d.Hours()))
	case d < 2*365*day:
		return fmt.Sprintf("%dd", int(d/day))
	default:
		return fmt.Sprintf("%dy", int(d/(365*day)))
	}
}
