package oci_test

import (
	"errors"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"

	. "github.com/slipway-release/slipway/internal/oci/ocitest"
)

// What made a change impossible after it was written, somebody else's write, may be
// overwritten itself: only the last look tells.
func TestAmendRefusedForAMoment(t *testing.T) {
	refusal := errors.New("somebody else was first")
	for _, tc := range []struct {
		name  string
		looks []error // at what is there after the write
		want  error
	}{
		{"for a moment", []error{refusal, nil}, nil},
		{"for good", []error{refusal}, refusal},
		{"in the end", []error{nil, refusal}, refusal},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := client(t, Registry(t).Addr())
			asked := 0
			err := r.Amend(t.Context(), canonical+"/amended:v1", func(v1.Image) (v1.Image, error) {
				if asked++; asked == 1 {
					return empty.Image, nil
				}
				return nil, tc.looks[min(asked-2, len(tc.looks)-1)]
			})
			if !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
	r := client(t, Registry(t).Addr())
	asked := 0
	err := r.Amend(t.Context(), canonical+"/amended:v1", func(v1.Image) (v1.Image, error) {
		asked++
		return nil, refusal
	})
	if !errors.Is(err, refusal) || asked != 1 {
		t.Errorf("a change that nothing was written for: %v, asked %d times", err, asked)
	}
}
