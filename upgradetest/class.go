//lint:file-ignore SA1019 x/net tells a GOAWAY apart from other ends of an HTTP/2 connection.

package upgradetest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"golang.org/x/net/http2"
)

// Class says how a sample ended. The numbers are part of the sample format.
type Class uint8

// The classes of a sample. All but OK and NotSent are failures.
const (
	OK          Class = 0
	NotSent     Class = 1 // the tester did not send it: too late, or too many open
	Refused     Class = 2
	Reset       Class = 3
	Timeout     Class = 4
	EOF         Class = 5 // the connection ended without an answer
	TLS         Class = 6
	HTTP5xx     Class = 7
	HTTP429     Class = 8
	HTTP4xx     Class = 9 // and everything else that is not 2xx
	DNS         Class = 10
	Unreachable Class = 11
	GoAway      Class = 12 // HTTP/2: the server gave up the connection with the request on it
	Other       Class = 13
	Lost        Class = 14 // answered, but what had been acknowledged or was due was not there
)

var classNames = [...]string{"ok", "not-sent", "refused", "reset", "timeout", "eof", "tls", "http-5xx", "http-429", "http-4xx", "dns", "unreachable", "goaway", "other", "lost"}

// String returns the name of c as in reports, e.g. "refused".
func (c Class) String() string {
	if int(c) < len(classNames) {
		return classNames[c]
	}
	return fmt.Sprintf("class-%d", uint8(c))
}

// Failed reports whether the backend is to blame: it was asked, and did not answer well.
func (c Class) Failed() bool { return c != OK && c != NotSent }

func statusClass(status int) Class {
	switch {
	case status >= 200 && status < 300:
		return OK
	case status >= 500:
		return HTTP5xx
	case status == 429:
		return HTTP429
	}
	return HTTP4xx
}

var errnoClasses = []struct {
	errno syscall.Errno
	class Class
}{
	{syscall.ECONNREFUSED, Refused},
	{syscall.ECONNRESET, Reset}, {syscall.EPIPE, Reset}, {syscall.ECONNABORTED, Reset},
	{syscall.EHOSTUNREACH, Unreachable}, {syscall.ENETUNREACH, Unreachable}, {syscall.ENETDOWN, Unreachable},
	{syscall.ETIMEDOUT, Timeout},
}

// classify names a failure and gives its cause without the addresses and ports
// that would make every message a different one.
func classify(err error) (Class, string) {
	for _, c := range errnoClasses {
		if errors.Is(err, c.errno) {
			return c.class, c.errno.Error()
		}
	}
	var status statusError
	if errors.As(err, &status) {
		return statusClass(int(status)), status.Error()
	}
	var timeout net.Error
	var goAway http2.GoAwayError
	var lookup *net.DNSError
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.Canceled):
		return Timeout, "no answer in time"
	case errors.As(err, &lookup):
		return DNS, lookup.Err
	case errors.As(err, &timeout) && timeout.Timeout():
		return Timeout, "no answer in time"
	case errors.As(err, &goAway):
		return GoAway, "GOAWAY " + goAway.ErrCode.String()
	case isTLS(err):
		return TLS, err.Error()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return EOF, "connection closed"
	}
	return Other, err.Error()
}

func isTLS(err error) bool {
	var alert tls.AlertError
	var record tls.RecordHeaderError
	var verify *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	return errors.As(err, &alert) || errors.As(err, &record) || errors.As(err, &verify) || errors.As(err, &unknown)
}
