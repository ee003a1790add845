package deliver

import (
	"context"

	"github.com/slipway-release/slipway/internal/oci"
)

// WriteLayout adds the payload to the OCI layout in a folder, which is made where it
// is missing. It is found there by name.
func (p *Payload) WriteLayout(ctx context.Context, dir, name string) error {
	layout, err := oci.CreateLayout(dir)
	if err != nil {
		return err
	}
	defer layout.Close()
	return p.Push(ctx, layout, name)
}
