package updates

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// parameters are what a client asks for.
type parameters struct {
	channel, arch, version, id string
	narrow                     bool
}

const defaultArch = "amd64"

// parseQuery reads a query. Unknown parameters are ignored, and of a parameter that is
// given twice the last counts, as in the service whose protocol this is.
func parseQuery(query string, mandatory []string) (parameters, *apiError) {
	p := parameters{arch: defaultArch}
	seen := make([]string, 0, 4)
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		if pair == "" {
			continue
		}
		key, value, _ := strings.Cut(pair, "=")
		key, err := unescape(key)
		if err == nil {
			value, err = unescape(value)
		}
		if err != nil {
			return p, invalidParams("the query cannot be decoded: %v", err)
		}
		if problem := p.set(key, value); problem != nil {
			return p, problem
		}
		if len(mandatory) > 0 && !slices.Contains(seen, key) && slices.Contains(mandatory, key) {
			seen = append(seen, key)
		}
	}
	if len(seen) < len(mandatory) {
		missing := slices.DeleteFunc(slices.Clone(mandatory), func(name string) bool { return slices.Contains(seen, name) })
		slices.Sort(missing)
		return p, &apiError{400, kindMissingParams, "mandatory client parameters missing: " + strings.Join(missing, ", ")}
	}
	return p, p.check()
}

// unescape avoids the copy where nothing is escaped.
func unescape(s string) (string, error) {
	if !strings.ContainsAny(s, "%+") {
		return s, nil
	}
	return url.QueryUnescape(s)
}

func (p *parameters) set(key, value string) *apiError {
	switch key {
	case "channel":
		p.channel = value
	case "arch":
		p.arch = value
	case "version":
		p.version = value
	case "id":
		p.id = value
	case "narrow":
		switch value {
		case "1", "true":
			p.narrow = true
		case "", "0", "false":
			p.narrow = false
		default:
			return invalidParams("narrow is %q; it can be 1 or 0", clip(value))
		}
	}
	return nil
}

func (p *parameters) check() *apiError {
	switch {
	case !matches(p.channel, true):
		return invalidParams("channel %q does not match ^[0-9a-z\\-\\.]+$", clip(p.channel))
	case !matches(p.arch, false):
		return invalidParams("arch %q does not match ^[0-9a-z]+$", clip(p.arch))
	case p.narrow && p.version == "":
		return invalidParams("narrow=1 needs the version to narrow to")
	}
	return nil
}

// matches is ^[0-9a-z]+$, with dots and dashes where asked, without an engine for
// regular expressions in the way of every request.
func matches(s string, punctuated bool) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || punctuated && (c == '-' || c == '.')) {
			return false
		}
	}
	return s != ""
}

// clip shortens what an error quotes of a request.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + fmt.Sprintf("… (%d bytes)", len(s))
}
