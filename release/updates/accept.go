package updates

import (
	"mime"
	"strconv"
	"strings"
)

// The media types of a graph: any JSON, the protocol's own, and the one of OKD's
// release controller.
const (
	typeJSON       = "application/json"
	typeCincinnati = "application/vnd.redhat.cincinnati.v1+json"
	typeOKD        = "application/vnd.redhat.cincinnati.graph+json"
)

var (
	headerJSON       = []string{typeJSON}
	headerCincinnati = []string{typeCincinnati}
	headerOKD        = []string{typeOKD + "; version=1.0"}
)

// negotiate chooses the Content-Type of a graph by the Accept headers of a request
// (RFC 9110, section 12.5.1), nil when none that there is will do.
func negotiate(accept []string) []string {
	if len(accept) == 0 {
		return headerCincinnati
	}
	if len(accept) == 1 {
		switch accept[0] { // what nearly all clients send
		case typeJSON, "*", "*/*", "application/*":
			return headerJSON
		case typeCincinnati, "":
			return headerCincinnati
		}
	}
	ranges := parseQualities(strings.Join(accept, ","))
	var best []string
	var most preference
	for _, offer := range [][]string{headerJSON, headerCincinnati, headerOKD} {
		media, _, _ := strings.Cut(offer[0], ";")
		if p := preferenceOf(media, ranges); p.quality > 0 && (best == nil || p.before(most)) {
			best, most = offer, p
		}
	}
	return best
}

// preference is how much a client wants a media type: by the most specific range that
// matches it, and of equal ones the first.
type preference struct {
	quality     float64
	specificity int
	place       int
}

func (p preference) before(q preference) bool {
	switch {
	case p.quality != q.quality:
		return p.quality > q.quality
	case p.specificity != q.specificity:
		return p.specificity > q.specificity
	}
	return p.place < q.place
}

func preferenceOf(media string, ranges []quality) preference {
	best := preference{specificity: -1}
	for i, r := range ranges {
		specificity := -1
		switch r.name {
		case media:
			specificity = 2
		case "application/*":
			specificity = 1
		case "*/*", "*":
			specificity = 0
		}
		if specificity > best.specificity {
			best = preference{r.q, specificity, i}
		}
	}
	return best
}

// quality is an element of Accept or Accept-Encoding, in lower case.
type quality struct {
	name string
	q    float64
}

// maxElements bounds what is read of a header with a list.
const maxElements = 64

// parseQualities reads a list with weights. Elements that cannot be read are left out,
// as they would match nothing.
func parseQualities(header string) []quality {
	var all []quality
	for header != "" && len(all) < maxElements {
		var element string
		element, header = cutElement(header)
		name, params, _ := strings.Cut(element, ";")
		name = strings.ToLower(strings.TrimSpace(name))
		if name == "" {
			continue
		}
		if q, ok := weight(params); ok {
			all = append(all, quality{name, q})
		}
	}
	return all
}

// cutElement cuts at the first comma that is not in a quoted string.
func cutElement(s string) (element, rest string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == ',' && !quoted:
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

// weight is the parameter q, 1 without one. Other parameters do not narrow what is
// wanted: none of them makes JSON another format.
func weight(params string) (float64, bool) {
	if params == "" {
		return 1, true
	}
	_, parsed, err := mime.ParseMediaType("a/a;" + params)
	if err != nil {
		return 0, false
	}
	text, ok := parsed["q"]
	if !ok {
		return 1, true
	}
	q, err := strconv.ParseFloat(text, 64)
	return q, err == nil && q >= 0 && q <= 1
}

// acceptsGzip says whether the answer may be compressed.
func acceptsGzip(accept []string) bool {
	if len(accept) == 1 {
		switch accept[0] { // what nearly all clients send
		case "gzip", "gzip, deflate", "gzip, deflate, br", "gzip, deflate, br, zstd", "deflate, gzip, br, zstd":
			return true
		case "", "identity":
			return false
		}
	}
	wildcard := false
	for _, e := range parseQualities(strings.Join(accept, ",")) {
		switch e.name {
		case "gzip", "x-gzip":
			return e.q > 0
		case "*":
			wildcard = e.q > 0
		}
	}
	return wildcard
}
