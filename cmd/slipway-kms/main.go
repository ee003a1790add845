// Command slipway-kms signs with keys that never leave a key management service.
//
// It is a plugin of sigstore: slipway and cosign start it for a key such as
// awskms://…, under the name sigstore-kms-awskms, and likewise for gcpkms,
// azurekms and hashivault; `make kms` makes those names. It is a program of its
// own because the services' clients weigh more than most of slipway, in which
// every command would have to carry them.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/sigstore/sigstore/pkg/signature/kms"
	_ "github.com/sigstore/sigstore/pkg/signature/kms/aws"
	_ "github.com/sigstore/sigstore/pkg/signature/kms/azure"
	"github.com/sigstore/sigstore/pkg/signature/kms/cliplugin/handler"
	_ "github.com/sigstore/sigstore/pkg/signature/kms/gcp"
	_ "github.com/sigstore/sigstore/pkg/signature/kms/hashivault"
)

// namePrefix is what sigstore puts before a key's scheme to find its plugin.
const namePrefix = "sigstore-kms-"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args, os.Stdin, os.Stdout); err != nil {
		// Whoever started the plugin reads its answer from standard output.
		if handler.WriteErrorResponse(os.Stdout, err) != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
}

// run answers one request of the plugin protocol.
func run(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	scheme, err := schemeOf(args[0])
	if err != nil {
		return err
	}
	request, err := handler.GetPluginArgs(args)
	if err != nil {
		return err
	}
	if request.InitOptions == nil || request.MethodArgs == nil {
		return errors.New("reading the request: it names no key or no method")
	}
	if d := request.InitOptions.CtxDeadline; d != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, *d)
		defer cancel()
	}
	key, err := kms.Get(ctx, scheme+request.InitOptions.KeyResourceID, request.InitOptions.HashFunc)
	if err != nil {
		return fmt.Errorf("opening key %q: %w", scheme+request.InitOptions.KeyResourceID, err)
	}
	_, err = handler.Dispatch(out, in, request, key)
	return err
}

// schemeOf tells from the program's name which service is asked for. Services
// that are not linked in are refused here: sigstore would look for another
// plugin, and find this one again.
func schemeOf(program string) (string, error) {
	known := kms.SupportedProviders()
	slices.Sort(known)
	name, ok := strings.CutPrefix(filepath.Base(program), namePrefix)
	if scheme := name + "://"; ok && slices.Contains(known, scheme) {
		return scheme, nil
	}
	var names []string
	for _, scheme := range known {
		names = append(names, namePrefix+strings.TrimSuffix(scheme, "://"))
	}
	return "", fmt.Errorf("starting %q: it must be called by one of the names %s", program, strings.Join(names, ", "))
}
