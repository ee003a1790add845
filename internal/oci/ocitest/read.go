package ocitest

import (
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// ReadAll reads an image to its last byte, which checks every digest.
func ReadAll(img v1.Image) error {
	if _, err := img.RawConfigFile(); err != nil {
		return err
	}
	layers, err := img.Layers()
	if err != nil {
		return err
	}
	for _, l := range layers {
		body, err := l.Compressed()
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, body)
		body.Close()
		if err != nil {
			return err
		}
	}
	return nil
}
