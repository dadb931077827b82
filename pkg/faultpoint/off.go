//go:build !faultpoints

package faultpoint

// Hit is a point. The name is one of Names. In this build it is nothing.
func Hit(string) {}

// HitIn is the point name of a part of Loom that shares its code with others. In this
// build it is nothing.
func HitIn(part, name string) {}
