package upgradetest

import "sync"

// raised counts the monitors of this process that want priority.
var raised struct {
	mu    sync.Mutex
	users int
}

// raisePriority lets this process go before others until the returned function is
// called. Without the host's leave nothing happens; lateness shows what it costs.
func raisePriority(keep bool) (restore func()) {
	if keep {
		return func() {}
	}
	raised.mu.Lock()
	defer raised.mu.Unlock()
	raised.users++
	setPriority(true)
	return sync.OnceFunc(func() {
		raised.mu.Lock()
		defer raised.mu.Unlock()
		if raised.users--; raised.users == 0 {
			setPriority(false)
		}
	})
}

// keepPriority gives it to threads that were started since as well.
func (m *Monitor) keepPriority() {
	if m.options.KeepPriority {
		return
	}
	raised.mu.Lock()
	defer raised.mu.Unlock()
	if raised.users > 0 {
		setPriority(true)
	}
}
