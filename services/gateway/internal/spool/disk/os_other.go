//go:build !linux

package disk

// Reserve does nothing: the disk may be full when an end comes.
func (f osFile) Reserve(int64) error { return nil }
