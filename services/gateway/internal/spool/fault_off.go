//go:build !faultpoints

package spool

// faultPoint marks a place where a crash is interesting. Built with the tag
// faultpoints it calls what OnFaultPoint was given.
func faultPoint(string) {}
