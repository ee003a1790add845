// Slipway takes a Kubernetes distribution from source to a tested, signed
// release that clusters can update to.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], stdio{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}, os.Getenv)
	stop()
	if dir := os.Getenv("SLIPWAY_MEMORY_DIR"); dir != "" {
		recordPeak(dir)
	}
	os.Exit(code)
}

// run is the whole program; main only gives it the world.
func run(ctx context.Context, args []string, io stdio, getenv func(string) string) int {
	a := &app{stdio: io, getenv: getenv}
	root := newRoot(a)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	a.close()
	if err != nil {
		fmt.Fprintln(io.Err, "Error:", err)
	}
	return exitCode(err)
}

// recordPeak leaves this process's peak memory for the run's report, which can
// do without.
func recordPeak(dir string) {
	if err := os.MkdirAll(dir, 0o755); err == nil {
		_ = os.WriteFile(filepath.Join(dir, strconv.Itoa(os.Getpid())), []byte(strconv.FormatInt(residentPeak(), 10)), 0o644)
	}
}
