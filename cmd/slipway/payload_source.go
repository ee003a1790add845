package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/internal/oci"
	updateserver "github.com/slipway-release/slipway/release/updates"
)

// payloadFlags say which payloads are offered in which graph-data.
type payloadFlags struct {
	data       string // folder or image of graph-data
	repository string

	// folder is where graph-data is read, after openData; fetch brings it up to date when
	// it comes out of an image.
	folder string
	fetch  func(context.Context) error
}

func (f *payloadFlags) add(cmd *cobra.Command, data string) {
	flags := cmd.Flags()
	flags.StringVar(&f.data, "graph-data", "", data)
	flags.StringVar(&f.repository, "releases", "", "repository whose payloads are offered in the channels of --graph-data, HOST/PATH or one of the distribution's own")
	_ = cmd.MarkFlagDirname("graph-data")
}

// check refuses flags that contradict each other; files are those of --graph-file.
func (f *payloadFlags) check(files []string) error {
	switch {
	case f.repository == "":
		return nil
	case f.data == "":
		return usage(fmt.Errorf("offering the payloads of --releases %q: say with --graph-data which channels they are in", f.repository))
	case len(files) > 0:
		return usage(errors.New("offering the payloads of --releases: --graph-file names another graph; leave out one of them"))
	case strings.Contains(f.repository, "@") || strings.LastIndex(f.repository, ":") > strings.LastIndex(f.repository, "/"):
		return usage(fmt.Errorf("offering the payloads of --releases %q: it must be a repository, HOST/PATH, without a tag or a digest", f.repository))
	}
	return nil
}

// openData finds the graph-data: a folder, or an image, which is unpacked in the state
// directory. That an image cannot be had is told to log when it could be before: the last
// good graph is served then.
func (f *payloadFlags) openData(ctx context.Context, a *app, log *slog.Logger) error {
	f.folder = f.data
	if f.data == "" || !graphDataInImage(f.data) {
		return f.checkData()
	}
	puller, err := a.pullGraphData(ctx, f.data)
	if err != nil {
		return err
	}
	f.folder, f.fetch = puller.Dir(), puller.Fetch
	if err := puller.Fetch(ctx); err != nil {
		if _, missing := os.Stat(f.folder); missing != nil {
			return err
		}
		log.Error("the last good graph-data of the image is used", "error", err)
	}
	return f.checkData()
}

// checkData refuses a folder that is no graph-data, and broken files in it unless the
// graph is made of them: the last good graph is served then.
func (f *payloadFlags) checkData() error {
	if f.data == "" {
		return nil
	}
	if _, err := os.ReadDir(filepath.Join(f.folder, "channels")); err != nil {
		return usage(fmt.Errorf("reading --graph-data: it must be a folder or an image of graph-data: %w", err))
	}
	if f.repository != "" {
		return nil
	}
	_, err := updateserver.PackGraphData(f.folder, nil)
	return usage(err)
}

// source opens the registry of the payloads: the distribution's own, or any other.
func (f *payloadFlags) source(ctx context.Context, a *app, log *slog.Logger) (*updateserver.PayloadSource, error) {
	st, err := a.state()
	if err != nil {
		return nil, err
	}
	s := &updateserver.PayloadSource{Repository: strings.TrimSuffix(f.repository, "/"), Data: f.folder, Fetch: f.fetch, Cache: filepath.Join(st.Root(), "updates", "payloads.json"), Log: log}
	host, _, _ := strings.Cut(s.Repository, "/")
	foreign, err := a.isForeign(s.Repository + "/")
	if err != nil {
		return nil, err
	}
	if !foreign {
		w, err := a.open(ctx)
		if err != nil {
			return nil, err
		}
		if !strings.ContainsAny(host, ".:") && host != "localhost" {
			s.Repository = w.distro.Repository + "/" + s.Repository
		}
		s.Registry = w.registry
		return s, nil
	}
	opts, err := a.registryOptions()
	if err != nil {
		return nil, err
	}
	s.Registry, err = oci.NewRegistry(s.Repository, "", opts...)
	if err != nil {
		return nil, usage(err)
	}
	return s, nil
}
