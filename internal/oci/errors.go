package oci

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// ErrNotFound says that the registry answered, and does not have what was asked
// for. It is never returned for a registry that could not be reached.
var ErrNotFound = errors.New("not found")

// cause gives an error of the network or the registry a message that fits into
// a sentence. What it wraps can still be examined.
type cause struct {
	message string
	wrapped []error
}

func (c *cause) Error() string   { return c.message }
func (c *cause) Unwrap() []error { return c.wrapped }

// failure builds the sentence for a failed operation: what was done, to what,
// on which registry, and why it failed. preposition links the two.
func failure(doing, subject, preposition string, repo name.Repository, err error) error {
	return fmt.Errorf("%s %q %s registry %s: %w", doing, subject, preposition, repo.RegistryStr(), explain(err))
}

// explain shortens what the libraries say: they print whole request URLs, which
// may bear credentials, and the status in several wordings.
func explain(err error) error {
	if errors.Is(err, context.Canceled) {
		return &cause{"interrupted", []error{err}}
	}
	var status *transport.Error
	if errors.As(err, &status) {
		return explainStatus(status, err)
	}
	var gone *exhaustedError
	if errors.As(err, &gone) {
		return &cause{gone.Error(), []error{err}}
	}
	var request *url.Error
	if errors.As(err, &request) {
		return &cause{request.Err.Error(), []error{err}}
	}
	return err
}

func explainStatus(status *transport.Error, err error) error {
	said := make([]string, 0, len(status.Errors))
	for _, d := range status.Errors {
		text := d.Message
		if text == "" {
			text = string(d.Code)
		}
		said = append(said, text)
	}
	message := fmt.Sprintf("%d %s", status.StatusCode, http.StatusText(status.StatusCode))
	if len(said) > 0 {
		message = fmt.Sprintf("%s (%d)", strings.Join(said, ", "), status.StatusCode)
	}
	wrapped := []error{err}
	switch status.StatusCode {
	case http.StatusNotFound:
		wrapped = append(wrapped, ErrNotFound)
	case http.StatusUnauthorized, http.StatusForbidden:
		message += "; log in to the registry with an account that may do this"
	case http.StatusTooManyRequests:
		message += "; the registry limits requests, try again later"
	}
	return &cause{message, wrapped}
}
