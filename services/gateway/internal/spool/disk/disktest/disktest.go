// Package disktest is a disk in memory that does what disks do at the worst time.
package disktest

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"

	"loom.internal/services/gateway/internal/spool/disk"
)

// ErrCrashed is what everything returns from a crash to the restart.
var ErrCrashed = errors.New("the machine is down")

// Disk is a directory that can stop at any step, lose what was not synced, tear writes,
// run full, fail to write and to sync, and become read-only.
type Disk struct {
	// OnCrash, if set, is called in the step that is the last. It must not use the disk.
	OnCrash func()
	// OnRemove, if set, is called before a file goes, with what is in it and in the
	// others. It must not use the disk.
	OnRemove func(name string, data []byte, rest map[string][]byte)

	mu       sync.Mutex
	rng      *rand.Rand
	names    map[string]*content // as the process sees them
	durable  map[string]*content // as a power loss leaves them
	left     int                 // steps until the crash; negative: none comes
	crashed  bool
	capacity int64 // bytes; 0: no end of it
	badSync  int   // syncs until one fails; negative: none does
	badWrite int   // writes until one fails; negative: none does
	why      error // it fails
	readOnly bool
	badRead  bool // reads fail
}

type content struct {
	data     []byte
	synced   []byte
	reserved int64
}

var _ disk.Dir = (*Disk)(nil)

// New makes an empty disk that takes its chances from rng.
func New(rng *rand.Rand) *Disk {
	return &Disk{rng: rng, names: map[string]*content{}, durable: map[string]*content{}, left: -1, badSync: -1, badWrite: -1}
}

// CrashAfter has the disk stop n changes from now, in the midst of the next.
func (d *Disk) CrashAfter(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left = n
}

// Crash stops the disk between two changes.
func (d *Disk) Crash() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.crash()
}

func (d *Disk) crash() {
	if d.crashed {
		return
	}
	if d.crashed = true; d.OnCrash != nil {
		d.OnCrash()
	}
}

// Crashed reports whether the disk has stopped.
func (d *Disk) Crashed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.crashed
}

// FailSync has the sync after n more fail.
func (d *Disk) FailSync(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.badSync = n
}

// FailWrite has the write after n more fail with EIO, when some of it is written, or with
// EROFS: then the disk is read-only from there on, as a file system makes itself when it
// finds that it is damaged.
func (d *Disk) FailWrite(n int, err syscall.Errno) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.badWrite, d.why = n, err
}

// FailReads has all reads fail, until it is called with false.
func (d *Disk) FailReads(fail bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.badRead = fail
}

// Restore makes the disk what it was when Files was called.
func (d *Disk) Restore(files map[string][]byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.names)
	for name, data := range files {
		d.names[name] = &content{data: slices.Clone(data), synced: slices.Clone(data)}
	}
	d.durable = maps.Clone(d.names)
}

// Limit sets the size of the disk in bytes; 0 is without limit.
func (d *Disk) Limit(capacity int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.capacity = capacity
}

// Used is how many bytes are taken.
func (d *Disk) Used() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.used()
}

// Put makes a file, or replaces it.
func (d *Disk) Put(name string, data []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := &content{data: slices.Clone(data), synced: slices.Clone(data)}
	d.names[name], d.durable[name] = f, f
}

// Flip damages the byte at off of a file.
func (d *Disk) Flip(name string, off int64, mask byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.names[name].data[off] ^= mask
}

// Files is what the disk holds.
func (d *Disk) Files() map[string][]byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.files()
}

func (d *Disk) files() map[string][]byte {
	files := make(map[string][]byte, len(d.names))
	for name, f := range d.names {
		files[name] = bytes.Clone(f.data)
	}
	return files
}

// step is before each change. It reports whether the change happens, and the error.
func (d *Disk) step() (bool, error) {
	if d.readOnly && !d.crashed {
		return false, syscall.EROFS
	}
	if d.crashed {
		return false, ErrCrashed
	}
	if d.left == 0 {
		d.crash()
		return d.rng.IntN(2) == 0, ErrCrashed
	}
	d.left--
	return true, nil
}

// Restart brings the process (or with power, the machine) back, and ends what CrashAfter,
// FailSync and FailWrite began.
func (d *Disk) Restart(power bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.crashed, d.left, d.badSync, d.badWrite, d.readOnly = false, -1, -1, -1, false
	if !power {
		return
	}
	names := map[string]*content{}
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
func (f *content) lose(rng *rand.Rand) {
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
func (d *Disk) room(f *content, size int64) bool {
	if d.capacity == 0 || size <= max(f.reserved, int64(len(f.data))) {
		return true
	}
	return d.used()-max(f.reserved, int64(len(f.data)))+size <= d.capacity
}

func (d *Disk) used() int64 {
	var used int64
	for _, g := range d.names {
		used += max(g.reserved, int64(len(g.data)))
	}
	return used
}

// Names implements disk.Dir.
func (d *Disk) Names() ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Collect(maps.Keys(d.names)), nil
}

// Open implements disk.Dir.
func (d *Disk) Open(name string) (disk.File, error) { return d.Update(name) }

// Update implements disk.Dir.
func (d *Disk) Update(name string) (disk.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.names[name]
	if f == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return handle{d, f}, nil
}

// Create implements disk.Dir.
func (d *Disk) Create(name string) (disk.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	do, err := d.step()
	if do {
		f := &content{}
		d.names[name] = f
		if err == nil {
			return handle{d, f}, nil
		}
	}
	return nil, err
}

// Remove implements disk.Dir.
func (d *Disk) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	do, err := d.step()
	if f := d.names[name]; do && f != nil {
		delete(d.names, name)
		if d.OnRemove != nil {
			d.OnRemove(name, f.data, d.files())
		}
	}
	return err
}

// Rename implements disk.Dir.
func (d *Disk) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	do, err := d.step()
	if do {
		d.names[to] = d.names[from]
		delete(d.names, from)
	}
	return err
}

// Sync implements disk.Dir.
func (d *Disk) Sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	do, err := d.sync()
	if do {
		d.durable = maps.Clone(d.names)
	}
	return err
}

func (d *Disk) sync() (bool, error) {
	if d.badSync == 0 {
		d.badSync = -1
		return false, syscall.EIO
	}
	d.badSync--
	return d.step()
}

// writing is step for a write.
func (d *Disk) writing() (bool, error) {
	if d.badWrite != 0 || d.crashed || d.readOnly {
		d.badWrite--
		return d.step()
	}
	d.badWrite = -1
	d.readOnly = errors.Is(d.why, syscall.EROFS)
	return !d.readOnly, d.why
}

type handle struct {
	d *Disk
	f *content
}

func (h handle) Close() error { return nil }

func (h handle) Size() (int64, error) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	return int64(len(h.f.data)), nil
}

func (h handle) ReadAt(b []byte, off int64) (int, error) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if h.d.badRead {
		return 0, syscall.EIO
	}
	if off >= int64(len(h.f.data)) {
		return 0, io.EOF
	}
	n := copy(b, h.f.data[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (h handle) WriteAt(b []byte, off int64) (int, error) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if off > int64(len(h.f.data)) {
		panic("write beyond the end")
	}
	do, err := h.d.writing()
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

func (h handle) Truncate(size int64) error {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	do, err := h.d.step()
	if do {
		h.f.data = h.f.data[:size]
		h.f.reserved = 0
	}
	return err
}

func (h handle) Sync() error {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	do, err := h.d.sync()
	if do {
		h.f.synced = slices.Clone(h.f.data)
	}
	return err
}

func (h handle) Reserve(size int64) error {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if h.d.crashed {
		return ErrCrashed
	}
	if h.d.readOnly {
		return syscall.EROFS
	}
	if !h.d.room(h.f, size) {
		return syscall.ENOSPC
	}
	h.f.reserved = max(h.f.reserved, size)
	return nil
}
