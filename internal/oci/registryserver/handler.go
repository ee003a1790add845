package registryserver

import (
	"context"
	"fmt"
	"io"
	"net/http"
)

// NewHandler returns what Serve serves, for whoever brings a listener of their
// own. It may be used until ctx ends. Addr of the options is not used; without
// Root, the data is kept in memory, which is for tests only.
func NewHandler(ctx context.Context, o Options) (http.Handler, error) {
	if o.Log == nil {
		o.Log = io.Discard
	}
	if o.Root != "" {
		if err := checkWritable(o.Root); err != nil {
			return nil, fmt.Errorf("serving registry from %q: %w", o.Root, err)
		}
	}
	logTo(o.Log)
	app, err := newApp(ctx, o.Root)
	if err != nil {
		return nil, fmt.Errorf("serving registry from %q: %w", o.Root, err)
	}
	context.AfterFunc(ctx, func() { _ = app.Shutdown() })
	return newReferrersHandler(app), nil
}
