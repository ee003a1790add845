package extract

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// program is a macOS program of nothing but a header, text, and a code signature
// as linkers make it. With a certificate, that is in it too.
func program(text string, certificate bool) []byte {
	le, be := binary.LittleEndian, binary.BigEndian
	const header, load, page = 32, 16, 4096
	limit := header + load + len(text)
	var b []byte
	for _, v := range []uint32{0xfeedfacf, 0x0100000c, 0, 2, 1, load, 0, 0, loadCodeSignature, load, uint32(limit)} {
		b = le.AppendUint32(b, v)
	}
	slots := (limit + page - 1) / page
	directory := be.AppendUint32(nil, magicCodeDirectory)
	const head = 44
	for _, v := range []uint32{uint32(head + slots*sha256.Size), 0x20100, 2, head, 0, 0, uint32(slots), uint32(limit)} {
		directory = be.AppendUint32(directory, v)
	}
	directory = append(directory, sha256.Size, hashSHA256, 0, 12)
	directory = append(directory, make([]byte, head-len(directory))...)
	count, size := 1, 12+8+head+slots*sha256.Size
	signature := []byte{}
	if certificate {
		count, size = 2, size+8+12
		signature = be.AppendUint32(be.AppendUint32(nil, 0xfade0b01), 12)
		signature = append(signature, "cert"...)
	}
	b = le.AppendUint32(b, uint32(size))
	b = append(b, text...)
	for at := 0; at < limit; at += page {
		sum := sha256.Sum256(b[at:min(at+page, limit)])
		directory = append(directory, sum[:]...)
	}
	blob := be.AppendUint32(nil, magicSuperBlob)
	first := 12 + 8*count
	for _, v := range []uint32{uint32(size), uint32(count), 0, uint32(first)} {
		blob = be.AppendUint32(blob, v)
	}
	if certificate {
		blob = be.AppendUint32(be.AppendUint32(blob, slotSignature), uint32(first+len(directory)))
	}
	return append(append(append(b, blob...), directory...), signature...)
}

func write(t testing.TB, data []byte) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "program"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.Write(data); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestSignatureOfAChangedProgramIsMended(t *testing.T) {
	marker := "\x00_RELEASE_VERSION_LOCATION_\x00" + strings.Repeat("X", 40) + "\x00"
	// The value goes over the border of two pages.
	before := strings.Repeat("a", 4096-48-5) + marker + strings.Repeat("b", 9000)
	f := write(t, program(before, false))
	s, err := mark(f, "_RELEASE_VERSION_LOCATION_", "4.19.0-okd-scos.16")
	if err != nil {
		t.Fatal(err)
	}
	if err := resign(f, []span{s}); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	// It must be what a linker had made of the changed text.
	after := strings.Replace(before, marker[:19], "4.19.0-okd-scos.16\x00", 1)
	if want := program(after, false); !bytes.Equal(got, want) {
		t.Error("the signature is not that of the changed program")
	}
	if bytes.Equal(got[len(got)-100:], program(before, false)[len(got)-100:]) && bytes.Equal(got, program(before, false)) {
		t.Error("nothing was changed")
	}
}

func TestSignaturesThatCannotBeMended(t *testing.T) {
	whole := program(strings.Repeat("a", 5000), false)
	changed := []span{{100, 110}}
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"certificate":    {program(strings.Repeat("a", 5000), true), "certificate"},
		"no program":     {[]byte("#!/bin/sh\n"), "reading the macOS program"},
		"cut off":        {whole[:len(whole)-10], "reading its code signature"},
		"another form":   {bytes.Replace(whole, []byte{0xfa, 0xde, 0x0c, 0xc0}, []byte{1, 2, 3, 4}, 1), "unknown form"},
		"other hashes":   {bytes.Replace(whole, []byte{sha256.Size, hashSHA256, 0, 12}, []byte{20, 1, 0, 12}, 1), "SHA-256"},
		"no directory":   {bytes.Replace(whole, []byte{0xfa, 0xde, 0x0c, 0x02}, []byte{1, 2, 3, 4}, 1), "lists no pages"},
		"too many pages": {bytes.Replace(whole, []byte{0, 0, 0, 2, 0, 0, 0x13}, []byte{0, 0xff, 0, 2, 0, 0, 0x13}, 1), "cut off"},
	} {
		if err := resign(write(t, c.data), changed); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if err := resign(write(t, whole), []span{{6000, 6010}}); err == nil || !strings.Contains(err.Error(), "behind what") {
		t.Errorf("a change behind the text: %v", err)
	}
}

// FuzzResign reads programs that anybody may have put into an image.
func FuzzResign(f *testing.F) {
	f.Add(program("text", false), uint16(50), uint16(60))
	f.Add(program(strings.Repeat("a", 5000), true), uint16(4000), uint16(4100))
	f.Add([]byte("MZ"), uint16(0), uint16(1))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte, from, to uint16) {
		if from >= to {
			return
		}
		file, err := os.CreateTemp(dir, "")
		if err != nil {
			t.Fatal(err)
		}
		defer os.Remove(file.Name())
		defer file.Close()
		if _, err := file.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := resign(file, []span{{int64(from), int64(to)}}); err != nil {
			return
		}
		if info, err := file.Stat(); err != nil || info.Size() != int64(len(data)) {
			t.Errorf("the size changed from %d to %d", len(data), info.Size())
		}
	})
}

// FuzzMark looks for markers in any bytes.
func FuzzMark(f *testing.F) {
	f.Add([]byte("a\x00_VERSION_\x00XXXXXXXXXXXXXXXXXXXX\x00b"), "1.2.3")
	f.Add([]byte("\x00_VERSION_\x00X\x00_VERSION_\x00XXXXXXXXXXXXXXXXXX\x00"), strings.Repeat("1", 40))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte, value string) {
		file, err := os.CreateTemp(dir, "")
		if err != nil {
			t.Fatal(err)
		}
		defer os.Remove(file.Name())
		defer file.Close()
		if _, err := file.Write(data); err != nil {
			t.Fatal(err)
		}
		s, markErr := mark(file, "_VERSION_", value)
		got, err := os.ReadFile(file.Name())
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(data) {
			t.Fatalf("the size changed from %d to %d", len(data), len(got))
		}
		if markErr != nil {
			s = span{}
		} else if string(got[s.from:s.to]) != value+"\x00" {
			t.Errorf("%q was written", got[s.from:s.to])
		}
		if !bytes.Equal(got[:s.from], data[:s.from]) || !bytes.Equal(got[s.to:], data[s.to:]) {
			t.Error("bytes outside of the marker were changed")
		}
	})
}

// FuzzTools reads tables of tools.
func FuzzTools(f *testing.F) {
	f.Add([]byte("tools:\n- name: oc\n  component: cli\n  path: /usr/bin/oc\n  platforms: [linux/payload]\n  archive: oc-{os}-{arch}-{version}.tar.gz\n"))
	f.Add([]byte("tools:\n- {name: ../x, component: c, path: /a/../b, platforms: [a/b], archive: '{x}.zip', markers: {version: A}}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		tools, err := ParseTools(data)
		if err != nil {
			return
		}
		for _, tool := range tools {
			for _, p := range tool.Platforms {
				one := tool.on(p, "amd64", version(t))
				for _, name := range []string{one.archive, one.file(tool.Name)} {
					if strings.ContainsAny(name, "/\\\x00\n") || name == ".." || name == "" {
						t.Errorf("name %q", name)
					}
				}
				if strings.HasPrefix(one.path, "/") || strings.Contains("/"+one.path+"/", "/../") {
					t.Errorf("path %q", one.path)
				}
			}
		}
	})
}
