package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"
	kind "sigs.k8s.io/kind/pkg/cluster"
	"sigs.k8s.io/kind/pkg/log"

	"github.com/slipway-release/slipway/internal/engine"
)

// provisionTimeout bounds kind's making of all node containers.
const provisionTimeout = 5 * time.Minute

// kindProcess guards what kind takes from this process as a whole: its
// environment. Only one call of kind goes on at a time.
var kindProcess sync.Mutex

// withKind calls kind in the environment it needs. kind starts the engine itself
// and takes settings from this process's environment only, so it is set here and
// put back afterwards; nothing else in Slipway changes it. Proxies are taken
// away, for kind would hand them on to the nodes.
func (m *Manager) withKind(network string, use func(*kind.Provider) error) error {
	kindProcess.Lock()
	defer kindProcess.Unlock()
	set := map[string]string{"KIND_EXPERIMENTAL_PODMAN_NETWORK": network, "KIND_EXPERIMENTAL_DOCKER_NETWORK": network}
	for _, pair := range m.engine.Environ() {
		name, value, _ := strings.Cut(pair, "=")
		set[name] = value
	}
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"} {
		set[name], set[strings.ToLower(name)] = "", ""
	}
	for name, value := range set {
		before, had := os.LookupEnv(name)
		var err error
		if value == "" {
			err = os.Unsetenv(name)
		} else {
			err = os.Setenv(name, value)
		}
		if err != nil {
			return err
		}
		defer func() {
			if had {
				_ = os.Setenv(name, before)
			} else {
				_ = os.Unsetenv(name)
			}
		}()
	}
	provider := kind.ProviderWithPodman()
	if m.engine.Kind() == engine.Docker {
		provider = kind.ProviderWithDocker()
	}
	return use(kind.NewProvider(provider, kind.ProviderWithLogger(kindLogger{m.log})))
}

// provision lets kind make the containers. kind cannot be cancelled: when ctx
// ends, its containers are taken from under it until it gives up.
func (m *Manager) provision(ctx context.Context, cfg *v1alpha4.Cluster) error {
	ctx, cancel := context.WithTimeoutCause(ctx, provisionTimeout, fmt.Errorf("kind did not finish in %s", provisionTimeout))
	defer cancel()
	done := make(chan error, 1)
	go func() {
		done <- m.withKind(cfg.Name, func(p *kind.Provider) error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return p.Create(cfg.Name, kind.CreateWithV1Alpha4Config(cfg), kind.CreateWithRetain(true),
				kind.CreateWithStopBeforeSettingUpKubernetes(true), kind.CreateWithKubeconfigPath(m.KubeconfigPath(cfg.Name)))
		})
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	after, stop := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer stop()
	for {
		if err := m.deleteFromEngine(after, cfg.Name); err != nil {
			fmt.Fprintln(m.log, err)
		}
		select {
		case <-done:
			return context.Cause(ctx)
		case <-after.Done():
			return errors.Join(context.Cause(ctx), errors.New("kind did not stop"))
		case <-time.After(time.Second):
		}
	}
}

// withBalancerImage lends our load balancer the name that kind starts, for as
// long as kind needs it. If the user's own kind has an image of this name, it
// gets the name back.
func (m *Manager) withBalancerImage(ctx context.Context, b Bits, use func() error) (err error) {
	ours, err := m.loadBalancerImage(ctx, b)
	if err != nil {
		return err
	}
	// The name is the engine's, so the lock is not the state directory's.
	unlock, err := lockFile(ctx, filepath.Join(os.TempDir(), "slipway-kind-"+m.engine.Kind()+".lock"))
	if err != nil {
		return err
	}
	defer unlock()
	own, _, err := m.engine.Image(ctx, ours)
	if err != nil {
		return err
	}
	before, had, err := m.engine.Image(ctx, balancerKindImage)
	if err != nil {
		return err
	}
	if err := m.engine.Tag(ctx, ours, balancerKindImage); err != nil {
		return err
	}
	defer func() {
		after, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		if had && before.ID != own.ID {
			err = errors.Join(err, m.engine.Tag(after, before.ID, balancerKindImage))
			return
		}
		err = errors.Join(err, m.engine.RemoveImages(after, balancerKindImage))
	}()
	return use()
}

// loadBalancerImage gives the engine the payload's load balancer and returns its tag.
func (m *Manager) loadBalancerImage(ctx context.Context, b Bits) (string, error) {
	if b.LoadBalancer == nil {
		return "", errors.New("the payload has no load balancer")
	}
	digest, err := b.LoadBalancer.Digest()
	if err != nil {
		return "", err
	}
	tag := "localhost/slipway-balancer:" + m.engine.State() + "-" + digest.Hex[:24]
	if _, found, err := m.engine.Image(ctx, tag); err != nil || found {
		return tag, err
	}
	img, err := labelled(b.LoadBalancer, map[string]string{engine.StateLabel: m.engine.State(), balancerLabel: digest.Hex})
	if err != nil {
		return "", err
	}
	return tag, m.engine.Load(ctx, img, tag)
}

// kindLogger writes what kind says to a writer.
type kindLogger struct{ w io.Writer }

var _ log.Logger = kindLogger{}

func (l kindLogger) Warn(message string)            { fmt.Fprintln(l.w, "kind:", message) }
func (l kindLogger) Warnf(format string, a ...any)  { l.Warn(fmt.Sprintf(format, a...)) }
func (l kindLogger) Error(message string)           { l.Warn(message) }
func (l kindLogger) Errorf(format string, a ...any) { l.Warn(fmt.Sprintf(format, a...)) }

// V enables what a user of kind's own command would see, and kubeadm's configuration.
func (l kindLogger) V(level log.Level) log.InfoLogger {
	return kindInfo{kindLogger: l, enabled: level <= 2}
}

type kindInfo struct {
	kindLogger
	enabled bool
}

func (l kindInfo) Enabled() bool { return l.enabled }
func (l kindInfo) Info(message string) {
	if l.enabled {
		l.Warn(strings.TrimSpace(message))
	}
}
func (l kindInfo) Infof(format string, a ...any) {
	if l.enabled {
		l.Info(fmt.Sprintf(format, a...))
	}
}

// lockedWriter lets several goroutines write, a call at a time.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
