package updates

import (
	"context"
	"log/slog"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-release/slipway/release/sign/openpgp"
)

// Signatures answers clusters that verify a release before they apply it:
//
//	GET [/api/upgrades_info]/signatures/sha256=HEX/signature-N
//
// N counts from 1 through all stores. What it serves needs no trust: a cluster checks
// the signature itself.
type Signatures struct {
	Stores []openpgp.Store
	Log    *slog.Logger
}

// signaturePath leaves no room for a path that leads elsewhere. Clusters ask for no more
// than nine.
var signaturePath = regexp.MustCompile(`^/signatures/(sha256|sha)=([0-9a-f]{64})/signature-([1-9])$`)

func (s *Signatures) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		methodNotAllowed(w, r).write(w, r)
		return
	}
	match := signaturePath.FindStringSubmatch(strings.TrimPrefix(r.URL.Path, Prefix))
	if match == nil {
		notFound(r.URL.Path).write(w, r)
		return
	}
	number, err := strconv.Atoi(match[3])
	if err != nil {
		notFound(r.URL.Path).write(w, r)
		return
	}
	found, err := s.find(r.Context(), v1.Hash{Algorithm: "sha256", Hex: match[2]}, number)
	switch {
	case err != nil:
		if s.Log != nil {
			s.Log.Error("looking up a signature", "digest", match[2], "error", err)
		}
		(&apiError{http.StatusBadGateway, kindUpstream, "the signatures cannot be read"}).write(w, r)
	case found == nil:
		notFound(r.URL.Path).write(w, r)
	default:
		header := w.Header()
		header.Set("Content-Type", "application/octet-stream")
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Cache-Control", "max-age=300")
		header.Set("Content-Length", strconv.Itoa(len(found)))
		if r.Method != http.MethodHead {
			_, _ = w.Write(found)
		}
	}
}

// find returns a signature, nil when there are not so many.
func (s *Signatures) find(ctx context.Context, digest v1.Hash, number int) ([]byte, error) {
	for _, store := range s.Stores {
		messages, err := store.Messages(ctx, digest)
		if err != nil {
			return nil, err
		}
		if number <= len(messages) {
			return messages[number-1].Message, nil
		}
		number -= len(messages)
	}
	return nil, nil
}
