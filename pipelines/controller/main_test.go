package controller_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/random"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/pipelines"
	"github.com/slipway-release/slipway/pipelines/controller"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/streams"
	"github.com/slipway-release/slipway/release/streams/journal"
	"github.com/slipway-release/slipway/release/streams/lease"
)

const (
	repository = "registry.example.com/tiny"
	selfImage  = "slipway.test/self"
)

// TestMain makes the test binary the program that the tests' pipelines and
// controllers are processes of.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 {
		switch os.Args[1] {
		case "step":
			os.Exit(step(os.Args[2], os.Args[3:]))
		case "controller":
			os.Exit(process(os.Args[2:]))
		}
	}
	os.Exit(m.Run())
}

// step is what tasks of the tests do.
func step(name string, args []string) int {
	switch name {
	case "make": // REGISTRY VERSION DIR DECLARATION: a payload, a line for every time it was made, and a copy of the declaration
		declared, err := os.ReadFile(args[3])
		if err != nil {
			return 2
		}
		if err := os.WriteFile(filepath.Join(args[2], "declaration-"+args[1]), declared, 0o644); err != nil {
			return 3
		}
		f, err := os.OpenFile(filepath.Join(args[2], "made"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return 3
		}
		fmt.Fprintln(f, args[1])
		f.Close()
		reg, err := open(args[0])
		if err != nil {
			return 3
		}
		img, err := random.Image(100, 1)
		if err != nil {
			return 3
		}
		if _, err := reg.Push(context.Background(), releaseTag(args[1]), img); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 3
		}
	case "fail": // FILE CODE: with the code, as often as the file has bytes
		data, _ := os.ReadFile(args[0])
		if len(data) == 0 {
			return 0
		}
		_ = os.WriteFile(args[0], data[1:], 0o644)
		code, _ := strconv.Atoi(args[1])
		return code
	case "sleep": // DURATION
		d, _ := time.ParseDuration(args[0])
		time.Sleep(d)
	}
	return 0
}

func open(addr string) (*oci.Registry, error) {
	return oci.NewRegistry(repository, addr, oci.WithInsecure())
}

func releaseTag(version string) string { return repository + "/release:" + version }

// pipelinesYAML is a pipeline that cuts, and one that checks.
const pipelinesYAML = `apiVersion: tekton.dev/v1
kind: Pipeline
metadata: {name: make}
spec:
  params: [{name: version}, {name: registry}, {name: shared}, {name: takes, default: 0s}, {name: code, default: "3"}, {name: declaration}]
  tasks:
  - name: doubt
    taskSpec: {params: [{name: f}, {name: c}], steps: [{name: do, image: ` + selfImage + `, command: [slipway], args: [step, fail, $(params.f), $(params.c)]}]}
    params: [{name: f, value: $(params.shared)/make}, {name: c, value: $(params.code)}]
  - name: wait
    runAfter: [doubt]
    taskSpec: {params: [{name: d}], steps: [{name: do, image: ` + selfImage + `, command: [slipway], args: [step, sleep, $(params.d)]}]}
    params: [{name: d, value: $(params.takes)}]
  - name: make
    runAfter: [wait]
    taskSpec: {params: [{name: r}, {name: v}, {name: s}, {name: d}], steps: [{name: do, image: ` + selfImage + `, command: [slipway], args: [step, make, $(params.r), $(params.v), $(params.s), $(params.d)]}]}
    params: [{name: r, value: $(params.registry)}, {name: v, value: $(params.version)}, {name: s, value: $(params.shared)}, {name: d, value: $(params.declaration)}]
---
apiVersion: tekton.dev/v1
kind: Pipeline
metadata: {name: check}
spec:
  params: [{name: shared}, {name: file}, {name: code}, {name: payload}, {name: takes, default: 0s}]
  tasks:
  - name: wait
    taskSpec: {params: [{name: d}], steps: [{name: do, image: ` + selfImage + `, command: [slipway], args: [step, sleep, $(params.d)]}]}
    params: [{name: d, value: $(params.takes)}]
  - name: try
    runAfter: [wait]
    taskSpec: {params: [{name: f}, {name: c}], steps: [{name: do, image: ` + selfImage + `, command: [slipway], args: [step, fail, $(params.f), $(params.c)]}]}
    params: [{name: f, value: $(params.shared)/$(params.file)}, {name: c, value: $(params.code)}]
`

// config is what a controller process is told.
type config struct {
	Addr, Dir, Shared, Holder string
	Stream                    streams.Declaration
	Cuts                      int
	Once                      bool
	Now                       string
	Inputs                    []streams.Input
	Lease                     time.Duration
}

func build(c config, log io.Writer) (*controller.Controller, *payloads, error) {
	reg, err := open(c.Addr)
	if err != nil {
		return nil, nil, err
	}
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return nil, nil, err
	}
	file := filepath.Join(c.Dir, "pipelines.yaml")
	if err := os.WriteFile(file, []byte(pipelinesYAML), 0o644); err != nil {
		return nil, nil, err
	}
	set, problems := pipelines.Load(context.Background(), file)
	if err := problems.Err(); err != nil {
		return nil, nil, err
	}
	p := &payloads{reg: reg, inputs: c.Inputs}
	ctl, err := controller.New(controller.Options{
		Streams: []streams.Declaration{c.Stream}, Journal: journal.Store{Registry: reg, Repository: repository}, Payloads: p,
		Runs: controller.Runs{
			Sets: []*pipelines.Set{set}, Folder: func(id string) string { return filepath.Join(c.Dir, "runs", id) },
			Options: pipelines.RunOptions{Self: os.Args[0], SelfImages: []string{selfImage}, Env: []string{"PATH=" + os.Getenv("PATH")}},
		},
		Lease:  lease.Registry{Images: reg, Tag: repository + "/leases:controller", Holder: c.Holder, Duration: c.Lease},
		Log:    slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Holder: c.Holder, Tool: "test", Offered: map[string]string{"registry": c.Addr, "shared": c.Shared},
		Poll: 100 * time.Millisecond, Once: c.Once, Cuts: c.Cuts, Now: c.Now,
	})
	return ctl, p, err
}

// process is a controller in a process of its own.
func process(args []string) int {
	var c config
	if err := json.Unmarshal([]byte(args[0]), &c); err != nil {
		return 2
	}
	ctl, _, err := build(c, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := ctl.Run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 3
	}
	return 0
}

// payloads keeps evidence beside payloads, unsigned.
type payloads struct {
	reg      *oci.Registry
	inputs   []streams.Input
	promoted []string
	referred map[release.Version][]string
}

func (p *payloads) Inputs(context.Context, string) ([]streams.Input, error) { return p.inputs, nil }

func (p *payloads) Digest(ctx context.Context, v release.Version) (string, error) {
	digest, err := p.reg.Resolve(ctx, releaseTag(v.String()))
	if err != nil {
		return "", ignoreMissing(err)
	}
	return digest.String(), nil
}

func (p *payloads) attach(ctx context.Context, v release.Version, kind string, value any) error {
	digest, err := p.Digest(ctx, v)
	if err != nil {
		return err
	}
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	_, err = p.reg.Attach(ctx, repository+"/release@"+digest, oci.Artifact{Type: kind, MediaType: kind, Content: data})
	return err
}

func (p *payloads) read(ctx context.Context, v release.Version, kind string) ([][]byte, error) {
	digest, err := p.Digest(ctx, v)
	if err != nil {
		return nil, err
	}
	found, err := p.reg.Referrers(ctx, repository+"/release@"+digest, kind)
	if err != nil {
		return nil, err
	}
	var out [][]byte
	for _, r := range found {
		data, err := p.reg.Fetch(ctx, r)
		if err != nil {
			return nil, err
		}
		out = append(out, data)
	}
	return out, nil
}

func (p *payloads) Results(ctx context.Context, v release.Version, _ streams.Policy) ([]streams.Result, error) {
	all, err := p.read(ctx, v, "test/check")
	var out []streams.Result
	for _, data := range all {
		var r streams.Result
		if err := json.Unmarshal(data, &r); err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, err
}

func (p *payloads) Source(_ context.Context, s streams.Selector, to release.Version) (streams.Release, string, bool, error) {
	return streams.Source(s, to, streams.Candidates{})
}

func (p *payloads) RecordCut(ctx context.Context, c journal.Cut, _ streams.Declaration) error {
	return p.attach(ctx, c.Version, "test/cut", c)
}

func (p *payloads) RecordCheck(ctx context.Context, v release.Version, e controller.CheckEvidence) error {
	return p.attach(ctx, v, "test/check", e)
}

func (p *payloads) RecordVerdict(ctx context.Context, v release.Version, verdict streams.Verdict) error {
	return p.attach(ctx, v, "test/verdict", verdict)
}

func (p *payloads) Promote(_ context.Context, v release.Version, _ streams.Policy) error {
	p.promoted = append(p.promoted, v.String())
	return nil
}

func (p *payloads) Referred(context.Context) (map[release.Version][]string, error) {
	return p.referred, nil
}

func (p *payloads) Delete(ctx context.Context, v release.Version, digest string) error {
	return ignoreMissing(p.reg.Delete(ctx, repository+"/release@"+digest))
}
