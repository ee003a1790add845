package extract

import (
	"crypto/sha256"
	"debug/macho"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// Numbers of Apple's code signatures, from the public header cs_blobs.h of XNU.
const (
	loadCodeSignature  = 0x1d // LC_CODE_SIGNATURE
	magicSuperBlob     = 0xfade0cc0
	magicCodeDirectory = 0xfade0c02
	slotSignature      = 0x10000 // CSSLOT_SIGNATURESLOT
	hashSHA256         = 2
	maxSignature       = 256 << 20 // bytes
)

// resign mends the code signature of a macOS program after bytes of it were
// changed. Such a signature lists the hash of each page, and systems on arm64 start no
// program of which one is wrong. A signature without a certificate, as compilers and
// linkers make it, is whole again then; one with a certificate cannot be mended.
func resign(f *os.File, changed []span) error {
	program, err := macho.NewFile(f)
	if err != nil {
		return fmt.Errorf("reading the macOS program: %w", err)
	}
	offset, size := signatureOf(program)
	if size == 0 {
		return nil
	}
	if size < 12 || size > maxSignature {
		return fmt.Errorf("its code signature has %d bytes, which cannot be", size)
	}
	blob := make([]byte, size)
	if _, err := f.ReadAt(blob, offset); err != nil {
		return fmt.Errorf("reading its code signature: %w", err)
	}
	be := binary.BigEndian
	if be.Uint32(blob) != magicSuperBlob {
		return errors.New("its code signature is of an unknown form")
	}
	directories := 0
	for i := range int64(be.Uint32(blob[8:])) {
		if 12+8*(i+1) > size {
			return errors.New("its code signature is cut off")
		}
		slot, at := be.Uint32(blob[12+8*i:]), int64(be.Uint32(blob[16+8*i:]))
		if at+8 > size || at+int64(be.Uint32(blob[at+4:])) > size {
			return errors.New("its code signature is cut off")
		}
		part := blob[at : at+int64(be.Uint32(blob[at+4:]))]
		switch {
		case slot == slotSignature && len(part) > 8:
			return errors.New("it is signed with a certificate, and filling in markers would break that signature")
		case len(part) >= 4 && be.Uint32(part) == magicCodeDirectory:
			directories++
			if err := rehash(f, part, offset+at, changed); err != nil {
				return err
			}
		}
	}
	if directories == 0 {
		return errors.New("its code signature lists no pages")
	}
	return nil
}

// signatureOf finds the code signature: place and length in the file.
func signatureOf(program *macho.File) (offset, size int64) {
	for _, l := range program.Loads {
		if raw := l.Raw(); len(raw) >= 16 && program.ByteOrder.Uint32(raw) == loadCodeSignature {
			return int64(program.ByteOrder.Uint32(raw[8:])), int64(program.ByteOrder.Uint32(raw[12:]))
		}
	}
	return 0, 0
}

// rehash writes the hashes of changed pages into a code directory, which stands at
// a place of the file.
func rehash(f *os.File, directory []byte, at int64, changed []span) error {
	if len(directory) < 44 {
		return errors.New("its code signature is cut off")
	}
	be := binary.BigEndian
	hashes, slots, limit := int64(be.Uint32(directory[16:])), int64(be.Uint32(directory[28:])), int64(be.Uint32(directory[32:]))
	if directory[36] != sha256.Size || directory[37] != hashSHA256 || directory[39] < 10 || directory[39] > 16 {
		return errors.New("its code signature is not made of SHA-256")
	}
	page := int64(1) << directory[39]
	if hashes+slots*sha256.Size > int64(len(directory)) {
		return errors.New("its code signature is cut off")
	}
	for _, s := range changed {
		if s.to > limit {
			return errors.New("a marker stands behind what its code signature covers")
		}
		for i := s.from / page; i <= (s.to-1)/page; i++ {
			if i >= slots {
				return errors.New("its code signature lists too few pages")
			}
			h := sha256.New()
			if _, err := io.Copy(h, io.NewSectionReader(f, i*page, min(page, limit-i*page))); err != nil {
				return err
			}
			if _, err := f.WriteAt(h.Sum(nil), at+hashes+i*sha256.Size); err != nil {
				return err
			}
		}
	}
	return nil
}
