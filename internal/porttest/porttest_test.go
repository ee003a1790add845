package porttest_test

import (
	"errors"
	"net"
	"syscall"
	"testing"

	"github.com/slipway-release/slipway/internal/porttest"
)

func TestKeep(t *testing.T) {
	address := porttest.Keep(t)
	refused := func(when string) {
		t.Helper()
		if c, err := net.Dial("tcp", address); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%s: %v, %v, want %v", when, c, err, syscall.ECONNREFUSED)
		}
	}
	refused("before anybody listens")
	for range 3 {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		accepted, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		accepted.Close() // first, so that its end lingers on the port
		l.Close()
		c.Close()
		refused("when it was closed")
	}
}
