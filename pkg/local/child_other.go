//go:build !linux

package local

import (
	"context"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// dieWithParent does nothing: this system has no such signal. The next start
// finds the orphan by its pid file.
func dieWithParent(*syscall.SysProcAttr) {}

// isPostmaster reports whether pid is a live Postgres server of the data directory.
func isPostmaster(pid int, data string) bool {
	out, err := exec.CommandContext(context.Background(), "ps", "-o", "command=", "-p", strconv.Itoa(pid)).Output() //nolint:gosec // a number
	return err == nil && strings.Contains(string(out), "-D "+data)
}
