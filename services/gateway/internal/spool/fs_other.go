//go:build !linux

package spool

// Reserve does nothing: the disk may be full when an end comes.
func (f osFile) Reserve(int64) error { return nil }
