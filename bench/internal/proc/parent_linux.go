package proc

import "syscall"

// dieWithParent makes the kernel kill the child when the runner ends, however it does.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }
