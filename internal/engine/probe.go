package engine

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/slipway-release/slipway/internal/state"
)

// probeTimeout bounds the trial of an engine.
const probeTimeout = 90 * time.Second

// probeRecord remembers a trial that succeeded, for as long as nothing changed
// that it depends on.
type probeRecord struct {
	Boot     string `json:"boot"`
	Kind     string `json:"kind"`
	Version  string `json:"version"`
	Settings string `json:"settings"`
}

// probe starts a privileged container as a node is started. Whether that works
// cannot be told from what an engine says about itself.
func (e *Engine) probe(ctx context.Context) error {
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	record := probeRecord{Boot: strings.TrimSpace(string(boot)), Kind: e.kind, Version: e.version, Settings: containersConf(e.host)}
	path := filepath.Join(e.stateDir, "engine", e.kind+".json")
	if data, err := os.ReadFile(path); err == nil {
		var last probeRecord
		if json.Unmarshal(data, &last) == nil && last == record && record.Boot != "" {
			return nil
		}
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	if err := e.tryPrivileged(ctx); err != nil {
		return err
	}
	data, err := json.Marshal(record)
	if err != nil {
		return err
	}
	return state.WriteFile(path, data, 0o644)
}

func (e *Engine) tryPrivileged(ctx context.Context) error {
	img, err := probeImage(runtime.GOARCH)
	if err != nil {
		return err
	}
	tag := "localhost/slipway-probe:" + e.state
	if err := e.Load(ctx, img, tag); err != nil {
		return err
	}
	defer e.RemoveImages(context.WithoutCancel(ctx), tag)
	c := Container{
		Image: tag, Privileged: true, Network: "none",
		Tmpfs:  []string{"/tmp", "/run"},
		Mounts: []Mount{{Source: "/lib/modules", Target: "/lib/modules", ReadOnly: true}},
		Extra:  []string{"--cgroupns=private"},
	}
	if err := e.Run(ctx, c, Streams{}); err != nil {
		return fmt.Errorf("starting a privileged container: %w", err)
	}
	return nil
}

// probeImage is an image with one program, /probe, which ends with success.
func probeImage(arch string) (v1.Image, error) {
	program, err := probeProgram(arch)
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, dir := range []string{"lib/", "lib/modules/", "tmp/", "run/"} {
		if err := w.WriteHeader(&tar.Header{Name: dir, Typeflag: tar.TypeDir, Mode: 0o755}); err != nil {
			return nil, err
		}
	}
	if err := w.WriteHeader(&tar.Header{Name: "probe", Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(program))}); err != nil {
		return nil, err
	}
	if _, err := w.Write(program); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buf.Bytes())), nil })
	if err != nil {
		return nil, err
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, err
	}
	return mutate.ConfigFile(img, &v1.ConfigFile{
		Architecture: arch, OS: "linux",
		Config: v1.Config{Entrypoint: []string{"/probe"}},
		RootFS: v1.RootFS{Type: "layers", DiffIDs: diffIDs(layer)},
	})
}

func diffIDs(layer v1.Layer) []v1.Hash {
	id, err := layer.DiffID()
	if err != nil {
		return nil
	}
	return []v1.Hash{id}
}

// probeProgram is the smallest ELF executable whose only instruction is
// exit(0): nothing has to be compiled or fetched to try an engine.
func probeProgram(arch string) ([]byte, error) {
	var machine uint16
	var code []byte
	switch arch {
	case "amd64":
		machine = 62
		code = []byte{0x31, 0xff, 0xb8, 0x3c, 0, 0, 0, 0x0f, 0x05} // xor edi,edi; mov eax,60; syscall
	case "arm64":
		machine = 183
		code = []byte{0, 0, 0x80, 0xd2, 0xa8, 0x0b, 0x80, 0xd2, 1, 0, 0, 0xd4} // mov x0,#0; mov x8,#93; svc #0
	default:
		return nil, fmt.Errorf("trying the engine: architecture %q is not supported", arch)
	}
	const headers, base = 64 + 56, 0x400000
	size := uint64(headers + len(code))
	var b bytes.Buffer
	b.Write([]byte{0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	for _, field := range []any{
		uint16(2), machine, uint32(1), uint64(base + headers), uint64(64), uint64(0), // type, machine, version, entry, program and section headers
		uint32(0), uint16(64), uint16(56), uint16(1), uint16(0), uint16(0), uint16(0), // flags, sizes and counts
		uint32(1), uint32(5), uint64(0), uint64(base), uint64(base), size, size, uint64(0x1000), // one segment, readable and executable
	} {
		if err := binary.Write(&b, binary.LittleEndian, field); err != nil {
			return nil, err
		}
	}
	b.Write(code)
	return b.Bytes(), nil
}
