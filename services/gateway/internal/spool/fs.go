package spool

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"syscall"
)

// filesystem is what the spool asks of its directory. Names are within it.
type filesystem interface {
	Names() ([]string, error)
	Open(name string) (file, error)   // to read
	Create(name string) (file, error) // to read and write; what was there is gone
	Update(name string) (file, error) // to read and write what is there
	Remove(name string) error
	Rename(from, to string) error
	Sync() error // makes names durable
}

type file interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)
	Truncate(size int64) error
	Sync() error              // makes content durable
	Reserve(size int64) error // takes disk space up to size, without changing the size
}

// isFull reports an error that goes away when there is space again. A sync that failed
// for lack of space is not one: what it lost stays lost.
func isFull(err error) bool {
	return !errors.Is(err, ErrFailed) &&
		(errors.Is(err, ErrFull) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT))
}

// osFS is a directory of the operating system.
type osFS struct{ root *os.Root }

func (f osFS) Names() ([]string, error) {
	entries, err := fs.ReadDir(f.root.FS(), ".")
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

func (f osFS) Open(name string) (file, error) { return f.open(name, os.O_RDONLY) }

func (f osFS) Create(name string) (file, error) {
	if dir := path.Dir(name); dir != "." {
		if err := f.root.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	return f.open(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
}

func (f osFS) Update(name string) (file, error) { return f.open(name, os.O_RDWR) }

func (f osFS) open(name string, flag int) (file, error) {
	o, err := f.root.OpenFile(name, flag, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{o}, nil
}

func (f osFS) Remove(name string) error     { return f.root.Remove(name) }
func (f osFS) Rename(from, to string) error { return f.root.Rename(from, to) }

func (f osFS) Sync() error {
	d, err := f.root.Open(".")
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	return d.Sync()
}

type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// readFile reads a small file whole.
func readFile(disk filesystem, name string) ([]byte, error) {
	f, err := disk.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	b := make([]byte, size)
	n, err := f.ReadAt(b, 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return b[:n], err
}

// writeFile writes a file whole and makes its content durable.
func writeFile(disk filesystem, name string, b []byte) error {
	f, err := disk.Create(name)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
