package lint

import (
	"fmt"

	"github.com/slipway-release/slipway/release/manifests"
)

var imageRules = []*Rule{
	{
		ID: "SLW301", Name: "unpinned-image", Level: Error,
		Title: "A pod, an ImageStream, an argument or a variable names an image without its digest.",
		Why:   "A tag means another image tomorrow. What runs would not be what was tested and signed, and a mirror of the payload would lack it.",
		Fix:   "List the image in the component's image-references, so that assembling the payload pins it, or pin it by digest.",
		check: func(p *payload, report func(place, string)) {
			p.eachImage(func(o manifests.Object, u manifests.ImageUse) {
				if !u.Pinned() {
					report(imagePlace(o, u), fmt.Sprintf("%s: image %q of %s %q is not pinned by digest", o, u.Reference, u.What, u.Name))
				}
			})
		},
	},
	{
		ID: "SLW302", Name: "foreign-image", Level: Error,
		Title: "An image is pinned, but is none of the payload's.",
		Why:   "It is not mirrored, signed, tested or updated with the release, and a disconnected cluster cannot pull it.",
		Fix:   "Make the image a component of the release and list it in image-references.",
		check: func(p *payload, report func(place, string)) {
			own := make(map[string]bool, len(p.refs.Tags))
			for _, t := range p.refs.Tags {
				own[t.Image] = true
			}
			if len(own) == 0 { // nothing is known of the payload's images
				return
			}
			p.eachImage(func(o manifests.Object, u manifests.ImageUse) {
				if u.Pinned() && !own[u.Reference] {
					report(imagePlace(o, u), fmt.Sprintf("%s: image %q of %s %q is not in the payload", o, u.Reference, u.What, u.Name))
				}
			})
		},
	},
}

// eachImage visits every image that assembling does not replace.
func (p *payload) eachImage(visit func(manifests.Object, manifests.ImageUse)) {
	for _, o := range p.objects {
		if o.Deleted() {
			continue
		}
		for _, u := range o.Images() {
			if p.options.Replaced == nil || !p.options.Replaced(manifests.RepositoryOf(u.Reference)) {
				visit(o, u)
			}
		}
	}
}

func imagePlace(o manifests.Object, u manifests.ImageUse) place {
	return place{file: o.File, line: o.Line, object: o.String(), of: &o, text: u.Reference}
}
