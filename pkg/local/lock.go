package local

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// ErrLocked means that another process holds a data directory.
var ErrLocked = errors.New("in use by another process")

// LockDir makes this process the only one to use dir, which it makes when it
// is not there, until unlock or the end of the process, however it ends. When
// another process holds dir the error is [ErrLocked] and names that process.
func LockDir(dir string) (unlock func() error, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	unlock, err = lockFile(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("directory %s: %w", dir, err)
	}
	return unlock, nil
}

// lockFile locks the file, made if need be, and writes our pid to it.
func lockFile(path string) (unlock func() error, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // inside the data directory
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = heldBy(f)
	}
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = fmt.Fprintln(f, os.Getpid())
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	// The file stays: to remove it would let two processes lock two files of one name.
	return func() error { return errors.Join(f.Truncate(0), f.Close()) }, nil
}

// heldBy is ErrLocked with the pid the holder wrote, if it has.
func heldBy(f *os.File) error {
	text := make([]byte, 32)
	n, _ := f.Read(text)
	holder := ""
	if pid := strings.TrimSpace(string(text[:n])); pid != "" {
		holder = " (pid " + pid + ")"
	}
	return fmt.Errorf("%w%s: stop that one, or use another directory", ErrLocked, holder)
}
