package updates

import (
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// limiter lets each client make so many requests in a time.
type limiter struct {
	every rate.Limit
	burst int

	mu      sync.Mutex
	clients map[string]*rate.Limiter
}

// maxClients bounds how many clients are told apart; those that may make a full burst
// again are forgotten first.
const maxClients = 10_000

func newLimiter(perMinute, burst int) *limiter {
	return &limiter{every: rate.Every(time.Minute / time.Duration(perMinute)), burst: burst, clients: map[string]*rate.Limiter{}}
}

// wait is how long a client has to before its next request, zero when it may make it
// now.
func (l *limiter) wait(client string, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.clients[client]
	if c == nil {
		if len(l.clients) >= maxClients {
			l.forget(now)
		}
		c = rate.NewLimiter(l.every, l.burst)
		l.clients[client] = c
	}
	r := c.ReserveN(now, 1)
	delay := r.DelayFrom(now)
	if delay > 0 {
		r.CancelAt(now)
	}
	return delay
}

func (l *limiter) forget(now time.Time) {
	for name, c := range l.clients {
		if c.TokensAt(now) >= float64(l.burst) {
			delete(l.clients, name)
		}
	}
	for name := range l.clients { // all are busy: any will do
		if len(l.clients) < maxClients {
			return
		}
		delete(l.clients, name)
	}
}

// clientOf names who sent a request: its address, of IPv6 the network, for a single
// host has all of it.
func clientOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	addr, err := netip.ParseAddr(host)
	if err != nil || addr.Unmap().Is4() {
		return host
	}
	network, err := addr.WithZone("").Prefix(64)
	if err != nil {
		return host
	}
	return network.String()
}

func tooMany(w http.ResponseWriter, delay time.Duration) *apiError {
	seconds := strconv.Itoa(max(1, int((delay+time.Second-1)/time.Second)))
	w.Header().Set("Retry-After", seconds)
	return &apiError{http.StatusTooManyRequests, kindTooMany, "too many requests; come back in " + seconds + " s"}
}
