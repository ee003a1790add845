package updates

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// body is an answer as it is sent, with the headers that belong to it: they are made
// once, so that answering allocates nothing for them.
type body struct {
	plain, packed encoded
}

// encoded is a body in one content coding.
type encoded struct {
	data         []byte
	etag         string
	etagHeader   []string
	lengthHeader []string
}

func newEncoded(data []byte, etag string) encoded {
	return encoded{data: data, etag: etag, etagHeader: []string{etag}, lengthHeader: []string{strconv.Itoa(len(data))}}
}

// newBody compresses data and names it by its content: the same bytes have the same
// ETag on every machine, and each coding has its own, for they are not the same bytes.
// before, which may be nil, is taken where it is the same.
func newBody(data []byte, before *body) *body {
	sum := sha256.Sum256(data)
	tag := base64.RawURLEncoding.EncodeToString(sum[:18])
	plain := newEncoded(data, `"`+tag+`"`)
	if before != nil && before.plain.etag == plain.etag {
		return before
	}
	return &body{plain: plain, packed: newEncoded(compress(data), `"`+tag+`-gzip"`)}
}

var compressors = sync.Pool{New: func() any {
	w, err := gzip.NewWriterLevel(nil, 6)
	if err != nil {
		panic(err) // of a constant level
	}
	return w
}}

func compress(data []byte) []byte {
	w := compressors.Get().(*gzip.Writer)
	defer compressors.Put(w)
	var out bytes.Buffer
	w.Reset(&out) // without name and time: the same bytes each time
	_, _ = w.Write(data)
	_ = w.Close() // a bytes.Buffer takes everything
	return bytes.Clone(out.Bytes())
}
