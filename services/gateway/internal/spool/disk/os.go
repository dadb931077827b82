package disk

import (
	"io/fs"
	"os"
	"path"
)

// OS is a directory of the operating system. root stays the caller's.
func OS(root *os.Root) Dir { return osDir{root} }

type osDir struct{ root *os.Root }

func (f osDir) Names() ([]string, error) {
	entries, err := fs.ReadDir(f.root.FS(), ".")
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

func (f osDir) Open(name string) (File, error) { return f.open(name, os.O_RDONLY) }

func (f osDir) Create(name string) (File, error) {
	if dir := path.Dir(name); dir != "." {
		if err := f.root.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	return f.open(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
}

func (f osDir) Update(name string) (File, error) { return f.open(name, os.O_RDWR) }

func (f osDir) open(name string, flag int) (File, error) {
	o, err := f.root.OpenFile(name, flag, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{o}, nil
}

func (f osDir) Remove(name string) error     { return f.root.Remove(name) }
func (f osDir) Rename(from, to string) error { return f.root.Rename(from, to) }

func (f osDir) Sync() error {
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
