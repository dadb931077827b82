// Package disk is what a spool asks of the directory it lives in, so that a test can put
// it on a disk that fails.
package disk

import (
	"errors"
	"io"
)

// Dir is a directory. Names are within it.
type Dir interface {
	Names() ([]string, error)
	Open(name string) (File, error)   // to read
	Create(name string) (File, error) // to read and write; what was there is gone
	Update(name string) (File, error) // to read and write what is there
	Remove(name string) error
	Rename(from, to string) error
	Sync() error // makes names durable
}

// File is an open file of a Dir.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)
	Truncate(size int64) error
	Sync() error              // makes content durable
	Reserve(size int64) error // takes disk space up to size, without changing the size
}

// ReadFile reads a small file whole.
func ReadFile(d Dir, name string) ([]byte, error) {
	f, err := d.Open(name)
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

// WriteFile writes a file whole and makes its content durable.
func WriteFile(d Dir, name string, b []byte) error {
	f, err := d.Create(name)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
