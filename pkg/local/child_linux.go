package local

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// dieWithParent makes the kernel stop the child when the thread that started it
// ends, at the latest with this process, even by kill -9.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGINT }

// isPostmaster reports whether pid is a live Postgres server of the data
// directory: a postmaster works in it. A number that now belongs to some other
// process does not count.
func isPostmaster(pid int, data string) bool {
	cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
	if err != nil {
		return false
	}
	resolved, err := filepath.EvalSymlinks(data)
	return err == nil && cwd == resolved
}
