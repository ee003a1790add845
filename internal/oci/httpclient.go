package oci

import (
	"fmt"
	"net/http"
	"time"
)

// HTTPClient returns a client with the retries and timeouts of a Registry, for
// what lies beside registries, such as a store of signatures. Of the options,
// those about the connection and the patience count.
func HTTPClient(opts ...Option) (*http.Client, error) {
	s := settings{patience: patience{attempts: 4, pause: 250 * time.Millisecond, limit: 10 * time.Second, idle: 30 * time.Second}}
	for _, o := range opts {
		if err := o(&s); err != nil {
			return nil, fmt.Errorf("preparing HTTP: %w", err)
		}
	}
	return &http.Client{Transport: newTransport(&s)}, nil
}
