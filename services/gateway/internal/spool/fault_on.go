//go:build faultpoints

package spool

import "sync/atomic"

var faultHook atomic.Pointer[func(name string)]

// OnFaultPoint has f called at every named fault point, on the goroutine that gets there:
//
//	spool.after_write    records are in the file, not yet synced nor acknowledged
//	spool.after_sync     records are durable, not yet acknowledged
//	spool.after_carry    open begins are copied, their old segment is still there
//	spool.after_remove   a segment is removed
//	spool.after_state    the epoch of this Open is stored, nothing of it is written
func OnFaultPoint(f func(name string)) { faultHook.Store(&f) }

func faultPoint(name string) {
	if f := faultHook.Load(); f != nil {
		(*f)(name)
	}
}
