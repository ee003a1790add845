package cluster

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"
)

const (
	// podLogLimit bounds one log file taken from a node, in bytes; the beginning is kept.
	podLogLimit = 64 << 20
	// logJobs is how many machines are asked at once.
	logJobs = 3
)

// nodeLogs are what is asked of each node: file name and command.
var nodeLogs = []struct {
	name string
	argv []string
}{
	{"journal.log", []string{"journalctl", "--no-pager"}},
	{"kubelet.log", []string{"journalctl", "--no-pager", "--unit=kubelet.service"}},
	{"containerd.log", []string{"journalctl", "--no-pager", "--unit=containerd.service"}},
	{"containers.txt", []string{"crictl", "ps", "--all"}},
	{"images.txt", []string{"ctr", "--namespace", "k8s.io", "images", "ls"}},
	{"processes.txt", []string{"ps", "-eo", "pid,ppid,stat,etime,time,rss,args", "--sort=pid"}},
}

// Logs collects into dir, a folder for each machine of the cluster, what tells
// how it fared: journals, logs of pods, static pods' manifests, and the load
// balancer's configuration. It takes what there is: of a cluster half made or
// half dead too. The error lists what could not be had.
func (m *Manager) Logs(ctx context.Context, name, dir string) error {
	name = FullName(name)
	containers, err := m.engine.Containers(ctx, map[string]string{kindClusterLabel: name})
	if err != nil {
		return err
	}
	if len(containers) == 0 {
		return fmt.Errorf("collecting logs of cluster %q: %w", name, ErrNotFound)
	}
	errs := make([]error, len(containers))
	var g errgroup.Group
	g.SetLimit(logJobs)
	for i, info := range containers {
		g.Go(func() error {
			n := &Node{name: info.Name, role: info.Labels[kindRoleLabel], engine: m.engine}
			if err := m.machineLogs(ctx, n, info.Running, filepath.Join(dir, info.Name)); err != nil {
				errs[i] = fmt.Errorf("collecting logs of %q: %w", info.Name, err)
			}
			return nil
		})
	}
	_ = g.Wait() // every error is in errs
	return errors.Join(errs...)
}

func (m *Manager) machineLogs(ctx context.Context, n *Node, running bool, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	errs := []error{toFile(filepath.Join(dir, "console.log"), func(w io.Writer) error { return m.engine.Logs(ctx, n.name, w) })}
	if !running {
		return errors.Join(errs...)
	}
	if n.role == RoleBalancer {
		return errors.Join(append(errs, toFile(filepath.Join(dir, "haproxy.cfg"), func(w io.Writer) error {
			return n.Stream(ctx, nil, w, nil, "cat", balancerConfig)
		}))...)
	}
	for _, l := range nodeLogs {
		errs = append(errs, toFile(filepath.Join(dir, l.name), func(w io.Writer) error {
			return n.Stream(ctx, nil, w, nil, l.argv...)
		}))
	}
	return errors.Join(append(errs, n.copyTree(ctx, dir, "/var/log/pods", "/etc/kubernetes/manifests", patchDir, kubeadmConfig))...)
}

// copyTree copies the regular files below the given paths of the node into dir.
func (n *Node) copyTree(ctx context.Context, dir string, paths ...string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	r, w := io.Pipe()
	unpacked := make(chan error, 1)
	go func() {
		err := unpack(root, r)
		// What follows the archive's end must be taken too, or tar would fail on it.
		_, _ = io.Copy(io.Discard, r)
		r.CloseWithError(err)
		unpacked <- err
	}()
	relative := make([]string, len(paths))
	for i, p := range paths {
		relative[i] = strings.TrimPrefix(p, "/")
	}
	// Files grow and come and go while they are read, which is no failure.
	err = n.scriptTo(ctx, w, `cd / && shopt -s nullglob && existing=(); for p in "$@"; do [ -e "$p" ] && existing+=("$p"); done
tar --create --file=- --ignore-failed-read "${existing[@]}" 2>/dev/null || [ $? -le 1 ]`, relative...)
	w.CloseWithError(err)
	return errors.Join(err, <-unpacked)
}

// scriptTo is script with standard output going to w, and without ending at the
// first failure.
func (n *Node) scriptTo(ctx context.Context, w io.Writer, text string, args ...string) error {
	return n.Stream(ctx, nil, w, nil, append([]string{"bash", "-uo", "pipefail", "-c", text, "slipway"}, args...)...)
}

// unpack writes an archive's regular files below root, and nothing outside it.
func unpack(root *os.Root, r io.Reader) error {
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		name := cleanPath(h.Name)
		if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
			return err
		}
		f, err := root.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, io.LimitReader(tr, podLogLimit))
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
}

func toFile(name string, write func(io.Writer) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}
