package main

import (
	"context"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/slipway-release/slipway/release/mirror"
	"github.com/slipway-release/slipway/release/sign/openpgp"
)

// keepSignatures keeps the OpenPGP signatures of a mirrored payload where the flags
// say, and returns the places.
func (f *mirrorFlags) keepSignatures(ctx context.Context, a *app, r *mirror.Result) ([]string, error) {
	if f.signaturesTo == "" && !f.applySignature {
		return nil, nil
	}
	digest, err := v1.NewHash(r.Digest)
	if err != nil {
		return nil, err
	}
	stores, err := f.signatureStores(ctx, a, r)
	if err != nil {
		return nil, err
	}
	messages, err := openpgp.Collect(ctx, digest, stores...)
	if err != nil {
		return nil, err
	}
	var places []string
	if f.signaturesTo != "" {
		path := filepath.Join(f.signaturesTo, openpgp.ConfigMapFile(digest))
		if _, err := openpgp.AddToConfigMap(path, digest, messages...); err != nil {
			return nil, err
		}
		places = append(places, path)
	}
	if f.applySignature {
		config, _, err := f.cluster.config()
		if err != nil {
			return nil, err
		}
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			return nil, usage(err)
		}
		name, _, err := openpgp.ApplyConfigMap(ctx, client, digest, messages...)
		if err != nil {
			return nil, err
		}
		places = append(places, "ConfigMap "+name+" of the cluster at "+config.Host)
	}
	return places, nil
}

// signatureStores are those that the flags name, or else those that the payload does.
// What is found there is verified by the clusters that use it.
func (f *mirrorFlags) signatureStores(ctx context.Context, a *app, r *mirror.Result) ([]openpgp.Store, error) {
	stores, err := f.trust.stores(ctx, a)
	if err != nil || len(stores) > 0 {
		return stores, err
	}
	client, err := a.httpClient()
	if err != nil {
		return nil, err
	}
	return openpgp.StoresOf(r.Payload, client)
}
