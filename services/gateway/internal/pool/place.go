package pool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"loom.internal/services/gateway/internal/spool"
	"loom.internal/services/gateway/internal/spool/disk"
)

// ErrLayout is of a directory that is a spool itself, instead of a place for spools.
var ErrLayout = errors.New("it is a spool itself, as gateways of before had one each, and not a place for spools")

// Dir is a directory of the operating system, made when it is first used.
func Dir(path string) Place { return dir(path) }

type dir string

func (d dir) Names() ([]string, error) {
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(string(d))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.Name() == "state" || strings.HasSuffix(e.Name(), ".seg") {
			return nil, fmt.Errorf("%w: stop its gateway and move all that is in %s into %s, which has to be new, or name another place",
				ErrLayout, d, filepath.Join(string(d), nameOf(0)))
		}
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

func (d dir) path(name string) string { return filepath.Join(string(d), name) }

func (d dir) Read(name string, do func(disk.Dir) error) error { return spool.Read(d.path(name), do) }

func (d dir) Held(name string) (bool, error) { return spool.Held(d.path(name)) }

func (d dir) Open(name string, o spool.Options) (*spool.Spool, error) {
	return spool.Open(d.path(name), o)
}

// noLocks are what a file system answers that cannot lock a file.
var noLocks = []error{syscall.ENOLCK, syscall.ENOTSUP, syscall.ENOSYS}

func isAny(err error, of ...error) bool {
	for _, e := range of {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func isFull(err error) bool { return isAny(err, syscall.ENOSPC, syscall.EDQUOT) }

// isOfPlace reports an error that every spool of the place has as well.
func isOfPlace(err error) bool {
	return isFull(err) || isAny(err, syscall.EROFS, syscall.EMFILE, syscall.ENFILE) || isAny(err, noLocks...)
}

// explain adds what to do.
func explain(err error) error {
	what := ""
	switch {
	case isFull(err):
		what = "free some space there, or name another place"
	case isAny(err, noLocks...):
		what = "its file system cannot lock files; name a place on a local disk"
	case isAny(err, syscall.EROFS, fs.ErrPermission):
		what = "make it writable for this account, or name another place"
	case isAny(err, syscall.ENOTDIR):
		what = "name a directory, or what can become one"
	default:
		return err
	}
	return fmt.Errorf("%w: %s", err, what)
}
