package sign

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/sigstore/cosign/v2/pkg/cosign/bundle"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	"github.com/sigstore/sigstore/pkg/signature/options"
	"google.golang.org/protobuf/encoding/protojson"
)

// SignBlob signs the bytes of a file, and returns a sigstore bundle v0.3 to be kept
// beside it. cosign verifies it:
//
//	cosign verify-blob --new-bundle-format --key cosign.pub --insecure-ignore-tlog \
//	    --trusted-root trusted-root.json --bundle BUNDLE FILE
func (s *Signer) SignBlob(ctx context.Context, data []byte) ([]byte, error) {
	k, ok := s.engine.(*keySigner)
	if !ok {
		return nil, errors.New("signing a file: only a key can, for a certificate ends before anybody looks at the file")
	}
	signed, err := k.key.SignMessage(bytes.NewReader(data), options.WithContext(ctx))
	if err != nil {
		return nil, fmt.Errorf("signing a file: %w", err)
	}
	b, err := bundle.MakeProtobufBundle(k.id, nil, nil, nil)
	if err != nil {
		return nil, fmt.Errorf("signing a file: %w", err)
	}
	digest := sha256.Sum256(data)
	b.Content = &protobundle.Bundle_MessageSignature{MessageSignature: &protocommon.MessageSignature{
		MessageDigest: &protocommon.HashOutput{Algorithm: protocommon.HashAlgorithm_SHA2_256, Digest: digest[:]},
		Signature:     signed,
	}}
	return protojson.Marshal(b)
}
