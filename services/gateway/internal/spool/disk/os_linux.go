package disk

import (
	"errors"
	"syscall"
)

// Sync is fdatasync: content and size.
func (f osFile) Sync() error {
	return f.control(syscall.Fdatasync)
}

// Reserve is fallocate; on a file system without it, nothing is reserved.
func (f osFile) Reserve(size int64) error {
	const keepSize = 1
	err := f.control(func(fd int) error { return syscall.Fallocate(fd, keepSize, 0, size) })
	if errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.ENOSYS) {
		return nil
	}
	return err
}

func (f osFile) control(call func(fd int) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	err2 := conn.Control(func(fd uintptr) {
		for {
			if err = call(int(fd)); !errors.Is(err, syscall.EINTR) {
				return
			}
		}
	})
	return errors.Join(err2, err)
}
