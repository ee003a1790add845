package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"

	"github.com/slipway-release/slipway/pipelines/inplace"
	"github.com/slipway-release/slipway/release/sign"
	"github.com/slipway-release/slipway/upgradetest"
	"github.com/slipway-release/slipway/upgradetest/driver"
)

// The values of --driver.
const (
	driverKind           = "kind"
	driverClusterVersion = "clusterversion"
	driverExec           = "exec"
)

var drivers = []string{driverKind, driverClusterVersion, driverExec}

// probedFlags say how a cluster that Slipway did not make is reached, and what its
// probed workloads run.
type probedFlags struct {
	kubeconfig, kubeContext string
	image, server           string
}

func (f *probedFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.kubeconfig, "kubeconfig", "", "kubeconfig of the cluster (default: KUBECONFIG, then ~/.kube/config)")
	flags.StringVar(&f.kubeContext, "context", "", "context of the kubeconfig")
	flags.StringVar(&f.image, "image", "", "image of agnhost, for the service")
	flags.StringVar(&f.server, "server-image", "", "image of slipway, for the TCP and stateful workloads and the pollers inside the cluster")
}

// selection is what can be probed with the images that are named.
func (f *probedFlags) selection(backends []string) (upgradetest.Selection, error) {
	selected := upgradetest.Selection(backends)
	switch {
	case f.image != "":
	case len(selected) == 0:
		return upgradetest.APIBackends(), nil
	case selected.NeedsImages():
		return nil, usage(errors.New("reading --backends: those that are no part of the API run pods; name the image of agnhost by --image"))
	}
	return selected, nil
}

// foreignFlags are those of drivers of clusters that Slipway did not make.
type foreignFlags struct {
	probedFlags
	force bool
}

func (f *foreignFlags) add(cmd *cobra.Command) {
	f.probedFlags.add(cmd)
	cmd.Flags().BoolVar(&f.force, "force", false, "of clusterversion: take a release that the cluster cannot verify, or that its preconditions speak against")
}

// checkDriver refuses flags that the chosen driver would pass over.
func (o upgradeTestOptions) checkDriver() error {
	if !slices.Contains(drivers, o.driver) {
		return usage(fmt.Errorf("reading --driver: %q is none of %s", o.driver, strings.Join(drivers, ", ")))
	}
	own := o.driver == driverKind
	var problems []error
	refuse := func(given bool, what string) {
		if given {
			problems = append(problems, usage(fmt.Errorf("upgrading by driver %q: %s", o.driver, what)))
		}
	}
	refuse(own && o.cluster == "", "name one of slipway's clusters with --cluster")
	refuse(own && o.foreign.probedFlags != probedFlags{}, "--kubeconfig, --context, --image and --server-image are for other drivers; the cluster and its payload know them")
	refuse(!own && o.cluster != "", "--cluster names one of slipway's clusters; name another by --kubeconfig")
	refuse(!own && (len(o.route.reconfigure) > 0 || o.route.rotate), "--reconfigure and --rotate-certificates are for slipway's clusters")
	refuse(!own && o.logDir != "", "--log-dir is for slipway's clusters; of others no logs are collected")
	refuse(o.driver != driverClusterVersion && o.foreign.force, "--force is for driver "+driverClusterVersion)
	refuse(o.driver == driverClusterVersion && len(o.route.to) == 0, "name a version or a pull spec with --to")
	refuse(o.driver == driverExec && len(o.program) == 0, "name the program behind two dashes, such as -- ./upgrade.sh")
	refuse(o.driver == driverExec && (len(o.route.to) > 1 || o.route.rollback || o.route.abortAt != ""), "one --to is all that the program is told; --abort-at and --rollback are up to it")
	refuse(o.driver != driverExec && len(o.program) > 0, "a program is for driver "+driverExec)
	return errors.Join(problems...)
}

// preparedTest is an upgrade that is about to be measured.
type preparedTest struct {
	config        *rest.Config
	driver        driver.Driver
	image, server string
	selected      upgradetest.Selection

	attach      func(context.Context, upgradetest.Result) error
	collectLogs func(context.Context) error
	close       func()
}

func (o upgradeTestOptions) prepare(ctx context.Context, a *app) (*preparedTest, error) {
	if o.driver == driverKind {
		return o.prepareOwn(ctx, a)
	}
	return o.prepareForeign(ctx, a)
}

func (o upgradeTestOptions) prepareOwn(ctx context.Context, a *app) (*preparedTest, error) {
	w, err := a.open(ctx)
	if err != nil {
		return nil, err
	}
	u, err := a.prepareUpgrade(ctx, w, o.cluster, o.route)
	if err != nil {
		return nil, err
	}
	image, ok := u.payload.Image("agnhost")
	if !ok {
		return nil, usage(errors.New("preparing the upgrade test: the payload has no component \"agnhost\" to run the probed service with"))
	}
	server, _ := u.payload.Image("slipway")
	server, err = upgradetest.ImageOnNodes(ctx, u.config, server)
	if err != nil {
		return nil, err
	}
	signer, err := a.keys(w.state)
	if err != nil {
		return nil, err
	}
	return &preparedTest{
		config: u.config, driver: &inplace.Driver{Config: u.config, Route: u.route, To: u.payload},
		image: image, server: server, selected: o.backends,
		attach: func(ctx context.Context, res upgradetest.Result) error {
			if u.reconfigures() {
				fmt.Fprintf(a.Err, "Note: a reconfiguration says nothing about upgrades; its result is not attached to %s as evidence.\n", res.To.Version)
				return nil
			}
			_, err := signer.Attest(ctx, w.registry, u.payload.Reference, sign.PredicateUpgradeResult, measured{u.cluster.Profile, res})
			return err
		},
		collectLogs: func(ctx context.Context) error { return a.collectLogs(ctx, w.state, o.cluster, o.logDir) },
		close:       func() {},
	}, nil
}

// measured is the predicate of an upgrade result.
type measured struct {
	Profile string `json:"profile"`
	upgradetest.Result
}

func (o upgradeTestOptions) prepareForeign(ctx context.Context, a *app) (*preparedTest, error) {
	selected, err := o.foreign.selection(o.backends)
	if err != nil {
		return nil, err
	}
	var to []driver.Release
	var problems []error
	for _, text := range o.route.to {
		r, err := driver.ParseRelease(text)
		to, problems = append(to, r), append(problems, usage(err))
	}
	abortAt, err := o.route.share()
	if err := errors.Join(append(problems, err)...); err != nil {
		return nil, err
	}
	config, err := kubeconfig(o.foreign.kubeconfig, o.foreign.kubeContext)
	if err != nil {
		return nil, usage(err)
	}
	t := &preparedTest{
		config: config, image: o.foreign.image, server: o.foreign.server, selected: selected,
		// No registry of ours knows these releases, so there is nothing to attach it to.
		attach:      func(context.Context, upgradetest.Result) error { return nil },
		collectLogs: func(context.Context) error { return nil },
		close:       func() {},
	}
	if o.driver == driverClusterVersion {
		t.driver = &driver.ClusterVersion{Config: config, To: to, Force: o.foreign.force, AbortAt: abortAt, Rollback: o.route.rollback}
		return t, nil
	}
	return t, o.addProgram(t, to)
}

// programLog has what a program of driver exec wrote to standard error.
const programLog = "upgrade.log"

// addProgram makes the driver that is a program.
func (o upgradeTestOptions) addProgram(t *preparedTest, to []driver.Release) error {
	dir, err := os.MkdirTemp("", "slipway-kubeconfig-")
	if err != nil {
		return err
	}
	program := &driver.Exec{Program: o.program, Kubeconfig: filepath.Join(dir, "kubeconfig")}
	if len(to) > 0 {
		program.To = to[0]
	}
	err = usage(writeKubeconfig(program.Kubeconfig, o.foreign.kubeconfig, o.foreign.kubeContext))
	var log *os.File
	if err == nil {
		err = os.MkdirAll(o.artifacts, 0o755)
	}
	if err == nil {
		log, err = os.Create(filepath.Join(o.artifacts, programLog))
	}
	if err != nil {
		os.RemoveAll(dir)
		return err
	}
	program.Log, t.driver = log, program
	t.close = func() {
		log.Close()
		os.RemoveAll(dir)
	}
	return nil
}
