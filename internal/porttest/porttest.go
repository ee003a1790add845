// Package porttest keeps ports of the loopback address for tests whose servers
// come later, or go away for a while. The next program that asks for any port
// would else be given theirs.
package porttest

import (
	"net"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// Keep returns HOST:PORT of a port that nobody is given who asks for any, until
// the test ends. Connections to it are refused while nobody listens on it, and
// net.Listen may do so as often as it likes: the socket that keeps the port
// never listens.
func Keep(t testing.TB) string {
	t.Helper()
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatalf("keeping a port: %v", err)
	}
	t.Cleanup(func() { _ = unix.Close(socket) })
	unix.CloseOnExec(socket)
	// net.Listen sets it too, and sockets that all do share a port of which at
	// most one listens.
	if err := unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		t.Fatalf("keeping a port: %v", err)
	}
	if err := unix.Bind(socket, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatalf("keeping a port: %v", err)
	}
	bound, err := unix.Getsockname(socket)
	if err != nil {
		t.Fatalf("keeping a port: %v", err)
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(bound.(*unix.SockaddrInet4).Port))
}
