package permissions

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/slipway-release/slipway/release/manifests"
)

// HookGain is something new in the way of the API's requests.
type HookGain struct {
	Object string `json:"object"` // "ValidatingWebhookConfiguration policy"
	Name   string `json:"name"`   // of the webhook
	File   string `json:"file"`
	What   string `json:"what"` // "sees create of pods", "failurePolicy is Fail now"
	Risk   string `json:"risk,omitempty"`
}

const failsClosed = "the requests fail while it does not answer"

// hook is one webhook, conversion or aggregated API.
type hook struct {
	HookGain
	fails bool
	key   string
}

// hooks returns what is new, and which of the old ones block requests newly.
func hooks(from, to []manifests.Object) []HookGain {
	had := map[string]hook{}
	for _, o := range from {
		for _, h := range hooksOf(o) {
			had[h.key] = h
		}
	}
	gains := []HookGain{}
	for _, o := range to {
		for _, h := range hooksOf(o) {
			switch before, known := had[h.key]; {
			case !known:
				gains = append(gains, h.HookGain)
			case before.What != h.What:
				gains = append(gains, h.HookGain)
			case h.fails && !before.fails:
				h.What, h.Risk = "failurePolicy is Fail now", failsClosed
				gains = append(gains, h.HookGain)
			}
		}
	}
	slices.SortStableFunc(gains, func(a, b HookGain) int {
		return cmp.Or(strings.Compare(a.Object, b.Object), strings.Compare(a.Name, b.Name))
	})
	return gains
}

func hooksOf(o manifests.Object) []hook {
	base := hook{HookGain: HookGain{Object: o.String(), File: o.File}}
	base.key = o.Key()
	switch {
	case o.Group() == "admissionregistration.k8s.io" && strings.HasSuffix(o.Kind, "WebhookConfiguration"):
		return webhooks(o, base)
	case o.Group() == "apiregistration.k8s.io" && o.Kind == "APIService":
		if service := mapOf(o.Content, "spec", "service"); service != nil {
			base.Name = o.Name
			base.What = fmt.Sprintf("serves this part of the API from service %s/%s", textOf(service, "namespace"), textOf(service, "name"))
			return []hook{base}
		}
	case o.Group() == "apiextensions.k8s.io" && o.Kind == "CustomResourceDefinition":
		if conversion := mapOf(o.Content, "spec", "conversion"); textOf(conversion, "strategy") == "Webhook" {
			base.Name = o.Name
			base.What, base.Risk = "converts objects by webhook", failsClosed
			return []hook{base}
		}
	}
	return nil
}

func webhooks(o manifests.Object, base hook) []hook {
	var all []hook
	for _, w := range listOf(o.Content, "webhooks") {
		h := base
		h.Name = textOf(w, "name")
		h.key += "\x00" + h.Name
		h.fails = textOf(w, "failurePolicy") != "Ignore" // Fail is the default
		does := "sees"
		if strings.HasPrefix(o.Kind, "Mutating") {
			does = "changes"
		}
		var rules []string
		wide := false
		for _, r := range listOf(w, "rules") {
			resources := stringsOf(r["resources"])
			wide = wide || slices.Contains(resources, "*") || slices.Contains(resources, "*/*")
			rules = append(rules, fmt.Sprintf("%s of %s", strings.ToLower(strings.Join(stringsOf(r["operations"]), ", ")), strings.Join(resources, ", ")))
		}
		h.What = fmt.Sprintf("%s %s", does, cmp.Or(strings.Join(rules, "; "), "nothing"))
		switch {
		case wide:
			h.Risk = does + " everything"
		case h.fails:
			h.Risk = failsClosed
		}
		all = append(all, h)
	}
	return all
}
