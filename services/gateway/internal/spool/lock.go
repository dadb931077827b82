package spool

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

const lockName = "lock"

// Held reports whether a process owns the directory of a spool. To know it has to share the
// lock for an instant, in which nobody can take the directory.
func Held(dir string) (bool, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // of the operator's choice
	if err != nil {
		return false, err
	}
	defer func() { _ = f.Close() }() // and the lock with it
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("lock spool: %w", err)
	}
	return false, nil
}

// lock takes the directory for this process until the file is closed.
func lock(root *os.Root) (*os.File, error) {
	f, err := root.OpenFile(lockName, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return f, nil
	}
	defer func() { _ = f.Close() }()
	if !errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, fmt.Errorf("lock spool: %w", err)
	}
	holder := "another process"
	b, _ := io.ReadAll(io.LimitReader(f, 32))
	if pid, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil {
		holder = fmt.Sprintf("process %d", pid)
	}
	return nil, fmt.Errorf("%w: %s has %s; stop it, or give this one a directory of its own", ErrLocked, holder, root.Name())
}

// sign writes the process id into the lock file, for whoever finds it taken.
func sign(lock *os.File) error {
	if err := lock.Truncate(0); err != nil {
		return err
	}
	_, err := lock.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	if isFull(err) {
		return nil // a name tag is not worth a refusal
	}
	return err
}
