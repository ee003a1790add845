package oci

import "time"

// GateClosed reports whether clients have taken note that a host wants to be left alone.
func GateClosed(host string) bool {
	g := gateOf(host)
	g.mu.Lock()
	defer g.mu.Unlock()
	return time.Now().Before(g.closed)
}
