// Slipway-load asks an update server for graphs as often as it can or is told to, for a
// bounded time, and says how long the answers took:
//
//	slipway-load -address 127.0.0.1:8080 -path '/graph?channel=stable' -gzip -connections 32 -duration 10s -rate 10000
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/slipway-release/slipway/release/updates/load"
)

func main() {
	var o load.Options
	var target load.Target
	var known string
	var gzip bool
	flag.StringVar(&o.Address, "address", "127.0.0.1:8080", "HOST:PORT of the server")
	flag.StringVar(&target.Path, "path", "/graph?channel=stable", "path and query to ask for")
	flag.BoolVar(&gzip, "gzip", false, "accept compressed answers")
	flag.StringVar(&known, "if-none-match", "", "ETag to send; 304 is then the good answer")
	flag.IntVar(&o.Connections, "connections", 32, "connections open at once")
	flag.IntVar(&o.Rate, "rate", 0, "requests a second; 0 means as many as are answered")
	flag.IntVar(&o.Requests, "requests", 0, "requests in all; 0 means as many as fit in the duration")
	flag.DurationVar(&o.Duration, "duration", 10*time.Second, "how long, 10 minutes at most")
	flag.Parse()
	if gzip {
		target.Headers = append(target.Headers, "Accept-Encoding: gzip")
	}
	if known != "" {
		target.Headers = append(target.Headers, "If-None-Match: "+known)
		target.Want = 304
	}
	o.Targets = []load.Target{target}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	got, err := load.Run(ctx, o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(2)
	}
	fmt.Println(got)
	if got.Errors > 0 {
		fmt.Fprintln(os.Stderr, "first error:", got.Problem)
		os.Exit(1)
	}
}
