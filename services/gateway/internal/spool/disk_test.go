package spool

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
)

var errCrash = errors.New("the machine is down")

// simDisk is a disk in memory that can stop at any step, lose what was not synced,
// tear writes, run full and fail to sync.
type simDisk struct {
	mu       sync.Mutex
	rng      *rand.Rand
	names    map[string]*simFile // as the process sees them
	durable  map[string]*simFile // as a power loss leaves them
	left     int                 // steps until the crash; negative: none comes
	crashed  bool
	capacity int64 // bytes; 0: no end of it
	badSync  int   // syncs until one fails; negative: none does
}

type simFile struct {
	data     []byte
	synced   []byte
	reserved int64
}

func newSimDisk(rng *rand.Rand) *simDisk {
	return &simDisk{rng: rng, names: map[string]*simFile{}, durable: map[string]*simFile{}, left: -1, badSync: -1}
}

// step is before each change. It reports whether the change happens, and the error.
func (d *simDisk) step() (bool, error) {
	if d.crashed {
		return false, errCrash
	}
	if d.left == 0 {
		d.crashed = true
		return d.rng.IntN(2) == 0, errCrash
	}
	d.left--
	return true, nil
}

// restart is the process (or with power, the machine) coming back.
func (d *simDisk) restart(power bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.crashed, d.left, d.badSync = false, -1, -1
	if !power {
		return
	}
	names := map[string]*simFile{}
	for _, name := range slices.Sorted(maps.Keys(d.durable)) {
		if _, still := d.names[name]; still || d.rng.IntN(2) == 0 {
			names[name] = d.durable[name]
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.names)) {
		if f := d.names[name]; d.durable[name] != f && d.rng.IntN(2) == 0 {
			names[name] = f
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		names[name].lose(d.rng)
	}
	d.names, d.durable = names, maps.Clone(names)
}

// lose makes of a file what a power loss may: some of what was not synced is there,
// some is zero, and a truncation may not have happened.
func (f *simFile) lose(rng *rand.Rand) {
	if len(f.data) < len(f.synced) {
		if rng.IntN(2) == 0 {
			f.data = slices.Clone(f.synced)
		}
	} else {
		f.data = f.data[:len(f.synced)+rng.IntN(len(f.data)-len(f.synced)+1)]
		if rng.IntN(2) == 0 {
			const block = 96
			for at := len(f.synced); at < len(f.data); at += block {
				if rng.IntN(2) == 0 {
					clear(f.data[at:min(at+block, len(f.data))])
				}
			}
		}
	}
	f.synced = slices.Clone(f.data)
	f.reserved = 0
}

// room reports whether f may take size bytes.
func (d *simDisk) room(f *simFile, size int64) bool {
	if d.capacity == 0 || size <= max(f.reserved, int64(len(f.data))) {
		return true
	}
	return d.used()-max(f.reserved, int64(len(f.data)))+size <= d.capacity
}

func (d *simDisk) used() int64 {
	var used int64
	for _, g := range d.names {
		used += max(g.reserved, int64(len(g.data)))
	}
	return used
}

func (d *simDisk) Names() ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Collect(maps.Keys(d.names)), nil
}

func (d *simDisk) Open(name string) (file, error) { return d.Update(name) }

func (d *simDisk) Update(name string) (file, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.names[name]
	if f == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return simHandle{d, f}, nil
}

func (d *simDisk) Create(name string) (file, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	do, err := d.step()
	if do {
		f := &simFile{}
		d.names[name] = f
		if err == nil {
			return simHandle{d, f}, nil
		}
	}
	return nil, err
}

func (d *simDisk) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	do, err := d.step()
	if do {
		delete(d.names, name)
	}
	return err
}

func (d *simDisk) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	do, err := d.step()
	if do {
		d.names[to] = d.names[from]
		delete(d.names, from)
	}
	return err
}

func (d *simDisk) Sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	do, err := d.sync()
	if do {
		d.durable = maps.Clone(d.names)
	}
	return err
}

func (d *simDisk) sync() (bool, error) {
	if d.badSync == 0 {
		d.badSync = -1
		return false, syscall.EIO
	}
	d.badSync--
	return d.step()
}

type simHandle struct {
	d *simDisk
	f *simFile
}

func (h simHandle) Close() error { return nil }

func (h simHandle) Size() (int64, error) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	return int64(len(h.f.data)), nil
}

func (h simHandle) ReadAt(b []byte, off int64) (int, error) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if off >= int64(len(h.f.data)) {
		return 0, io.EOF
	}
	n := copy(b, h.f.data[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (h simHandle) WriteAt(b []byte, off int64) (int, error) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if off > int64(len(h.f.data)) {
		panic("write beyond the end")
	}
	do, err := h.d.step()
	if err != nil {
		if !do {
			return 0, err
		}
		b = b[:h.d.rng.IntN(len(b)+1)]
	}
	var full error
	for len(b) > 0 && !h.d.room(h.f, off+int64(len(b))) {
		b, full = b[:len(b)/2], syscall.ENOSPC
	}
	h.f.data = append(h.f.data[:off:off], b...)
	return len(b), errors.Join(err, full)
}

func (h simHandle) Truncate(size int64) error {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	do, err := h.d.step()
	if do {
		h.f.data = h.f.data[:size]
		h.f.reserved = 0
	}
	return err
}

func (h simHandle) Sync() error {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	do, err := h.d.sync()
	if do {
		h.f.synced = slices.Clone(h.f.data)
	}
	return err
}

func (h simHandle) Reserve(size int64) error {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if h.d.crashed {
		return errCrash
	}
	if !h.d.room(h.f, size) {
		return syscall.ENOSPC
	}
	h.f.reserved = max(h.f.reserved, size)
	return nil
}
