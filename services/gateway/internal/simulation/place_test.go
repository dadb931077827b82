package simulation

import (
	"crypto/md5"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"loom.internal/services/gateway/internal/spool"
	"loom.internal/services/gateway/internal/spool/disk"
	"loom.internal/services/gateway/internal/spool/disk/disktest"
)

// plot is a directory in the place for spools, on a disk of its own.
type plot struct {
	name string
	disk *disktest.Disk

	mu     sync.Mutex // it is not held while the disk is used
	holder *process   // who has the lock
	copied map[string][]byte
}

// take locks the plot.
func (p *plot) take(by *process) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.holder != nil {
		return false
	}
	p.holder = by
	return true
}

func (p *plot) free() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.holder = nil
}

func (p *plot) heldBy() *process {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.holder
}

// producer is whose spool it is; "" for none.
func producer(files map[string][]byte) string {
	id, _, _ := strings.Cut(strings.TrimPrefix(string(files["state"]), "loom-spool 1 "), " ")
	return id
}

// plots are all there are, by name.
func (w *world) plots() []*plot {
	w.mu.Lock()
	defer w.mu.Unlock()
	names := slices.Sorted(maps.Keys(w.place))
	list := make([]*plot, 0, len(names))
	for _, name := range names {
		list = append(list, w.place[name])
	}
	return list
}

// plot is the one of a name, made if it is not there.
func (w *world) plot(name string) *plot {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.place[name]
	if p == nil {
		p = &plot{name: name, disk: disktest.New(w.dice("disk of " + name))}
		p.disk.OnCrash = func() {
			if by := p.heldBy(); by != nil {
				by.dead()
			}
		}
		p.disk.OnRemove = func(file string, data []byte, rest map[string][]byte) {
			w.removed(name+"/"+file, data, rest)
		}
		// Its id is no matter of luck: consumers put watermarks in the order of ids.
		state := fmt.Sprintf("loom-spool 1 %x 0", md5.Sum([]byte(name)))
		p.disk.Put("state", fmt.Appendf(nil, "%s %08x\n", state, crc32.Checksum([]byte(state), castagnoli)))
		w.place[name] = p
	}
	return p
}

// any is one of the plots; nil if there is none yet.
func (w *world) any(rng *rand.Rand) *plot {
	list := w.plots()
	if len(list) == 0 {
		return nil
	}
	return list[rng.IntN(len(list))]
}

// mooring is the place as a process sees it: what it holds it gives free when it closes it,
// or when it dies.
type mooring struct {
	*process
	rng *rand.Rand
}

func (m mooring) Names() (names []string, err error) {
	for _, p := range m.w.plots() {
		names = append(names, p.name)
	}
	return names, nil
}

func (m mooring) known(name string) (*plot, error) {
	for _, p := range m.w.plots() {
		if p.name == name {
			return p, nil
		}
	}
	return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
}

func (m mooring) Read(name string, do func(disk.Dir) error) error {
	p, err := m.known(name)
	if err != nil {
		return err
	}
	return do(p.disk)
}

func (m mooring) Held(name string) (bool, error) {
	p, err := m.known(name)
	return err == nil && p.heldBy() != nil, err
}

// Open may die in the midst of it, or later.
func (m mooring) Open(name string, o spool.Options) (*spool.Spool, error) {
	if m.killed() {
		return nil, disktest.ErrCrashed
	}
	p := m.w.plot(name)
	if !p.take(m.process) {
		return nil, spool.ErrLocked
	}
	if p.disk.Crashed() {
		p.disk.Restart(false) // while nobody had it
	}
	befalls := !m.w.steady && !m.w.isCalm()
	if befalls && m.rng.IntN(3) == 0 {
		p.disk.CrashAfter(m.rng.IntN(12))
	}
	o.SegmentBytes = m.w.segment
	s, err := spool.OpenOn(guard{p, m.process}, o)
	if err != nil {
		m.w.note("%s cannot open %s: %v", m.name, name, err)
		if !m.killed() {
			p.disk.Restart(false) // as by someone who looked why
			p.free()
		}
		return nil, err
	}
	m.w.note("%s opens %s", m.name, name)
	if befalls {
		p.disk.CrashAfter(-1)
		if m.rng.IntN(3) == 0 {
			p.disk.CrashAfter(m.rng.IntN(300))
		}
	}
	return s, nil
}

// over gives free what a process still holds that has ended, perhaps with its machine.
func (m mooring) over(rng *rand.Rand) {
	for _, p := range m.w.plots() {
		if p.heldBy() != m.process {
			continue
		}
		loss := m.w.power && rng.IntN(3) > 0
		m.w.note("%s is free, power loss %v", p.name, loss)
		p.disk.Restart(loss)
		m.w.restore(p, rng)
		p.free()
	}
}

// guard is the disk of a plot for who holds it: the dead write nothing.
type guard struct {
	*plot
	by *process
}

// Close gives the plot free, unless its holder is dead: then over does.
func (g guard) Close() error {
	if !g.by.killed() {
		g.disk.Restart(false)
		g.free()
	}
	return nil
}

func (g guard) alive() error {
	if g.by.killed() {
		return disktest.ErrCrashed
	}
	return nil
}

func (g guard) Names() ([]string, error) { return g.disk.Names() }

func (g guard) Open(name string) (disk.File, error) { return g.disk.Open(name) }

func (g guard) Create(name string) (disk.File, error) {
	if err := g.alive(); err != nil {
		return nil, err
	}
	return g.file(g.disk.Create(name))
}

func (g guard) Update(name string) (disk.File, error) { return g.file(g.disk.Update(name)) }

func (g guard) file(f disk.File, err error) (disk.File, error) {
	if err != nil {
		return nil, err
	}
	return guarded{f, g}, nil
}

func (g guard) Remove(name string) error {
	if err := g.alive(); err != nil {
		return err
	}
	return g.disk.Remove(name)
}

func (g guard) Rename(from, to string) error {
	if err := g.alive(); err != nil {
		return err
	}
	return g.disk.Rename(from, to)
}

func (g guard) Sync() error {
	if err := g.alive(); err != nil {
		return err
	}
	return g.disk.Sync()
}

type guarded struct {
	disk.File
	g guard
}

func (f guarded) WriteAt(b []byte, off int64) (int, error) {
	if err := f.g.alive(); err != nil {
		return 0, err
	}
	return f.File.WriteAt(b, off)
}

func (f guarded) Truncate(size int64) error {
	if err := f.g.alive(); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

func (f guarded) Sync() error {
	if err := f.g.alive(); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f guarded) Reserve(size int64) error {
	if err := f.g.alive(); err != nil {
		return err
	}
	return f.File.Reserve(size)
}

// copy makes a copy of a disk, at any moment.
func (w *world) copy(p *plot) {
	files := p.disk.Files()
	w.note("%s is copied", p.name)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.copied = files
}

// restore may bring the copy back.
func (w *world) restore(p *plot, rng *rand.Rand) {
	p.mu.Lock()
	files := p.copied
	p.mu.Unlock()
	if files == nil || w.isCalm() || rng.IntN(2) > 0 {
		return
	}
	was := p.disk.Files()
	p.disk.Restore(files)
	w.note("%s is the copy", p.name)
	w.losses.restored(was, files)
}

// empty reports whether nothing is left but in spools that gateways serve with.
func (w *world) empty(served map[string]bool) bool {
	for _, p := range w.plots() {
		files := p.disk.Files()
		if served[producer(files)] {
			continue
		}
		if left, err := spool.LeftOn(p.disk); err != nil || left.Any() {
			return false
		}
	}
	return true
}

// lanes is how many gateways there are at most at once.
func (w *world) lanes() int {
	if w.steady {
		return 1
	}
	return 1 + int(w.seed%3+1)/2 // 1, 2 or 2
}

// isSegment reports whether a file is a segment.
func isSegment(name string) bool { return strings.HasSuffix(name, ".seg") }
