//go:build !linux

package upgradetest

func setPriority(bool) {}
