package spool

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"slices"

	"loom.internal/pkg/faultpoint"
	"loom.internal/services/gateway/internal/spool/disk"
)

// Left is how much a spool holds, as its files tell.
type Left struct {
	Segments int
	Bytes    int64 // of records
}

// Any reports whether there is something for the next owner to send. More than one segment
// without a record is: numbers of theirs may be lost, and have to be told as lost.
func (l Left) Any() bool { return l.Bytes > 0 || l.Segments > 1 }

// LeftOn looks at the files in a directory and changes nothing. Somebody may own it.
func LeftOn(dir disk.Dir) (l Left, err error) {
	err = each(dir, func(_ disk.File, size int64) error {
		l.Segments++
		l.Bytes += max(size-segmentHeaderSize, 0)
		return nil
	})
	return l, err
}

// CountOn reads how many events there are in a directory that nobody owns: what has ended,
// and what has begun and will have to end as interrupted. What is damaged counts for nothing.
func CountOn(dir disk.Dir) (uint64, error) {
	var ends uint64
	opens := map[[16]byte]bool{}
	err := each(dir, func(f disk.File, size int64) error {
		sc := scanner{window: window{r: f}, off: segmentHeaderSize, end: size, from: math.MaxUint64}
		for {
			r, err := sc.next()
			switch {
			case errors.Is(err, io.EOF):
				return nil
			case err != nil:
				return err
			case r.wrong != "":
			case r.kind.isEnd():
				ends++
				delete(opens, r.id)
			default:
				opens[r.id] = true
			}
		}
	})
	return ends + uint64(len(opens)), err
}

// each calls do with each segment, in order. One that goes meanwhile is left out.
func each(dir disk.Dir, do func(f disk.File, size int64) error) error {
	numbers, err := numbersOn(dir)
	if err != nil {
		return err
	}
	for _, number := range numbers {
		f, err := dir.Open(segmentName(number))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		size, err := f.Size()
		if err == nil {
			err = do(f, size)
		}
		_ = f.Close() // only read
		if err != nil {
			return fmt.Errorf("read %s: %w", segmentName(number), err)
		}
	}
	return nil
}

// numbersOn lists the segments.
func numbersOn(dir disk.Dir) ([]uint64, error) {
	names, err := dir.Names()
	if err != nil {
		return nil, err
	}
	var numbers []uint64
	for _, name := range names {
		if n, ok := segmentNumber(name); ok {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// Read calls do with the directory of a spool, whoever owns it. It is for looking only.
func Read(dir string, do func(disk.Dir) error) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	return do(disk.OS(root))
}

// Clear removes every segment if all that was in them is confirmed, so that nobody sends it
// again, and reports whether it was. Run must have returned; what may follow is Close.
func (s *Spool) Clear() (bool, error) {
	if st := s.Stats(); st.Events > 0 || st.Open > 0 {
		return false, nil
	}
	for _, g := range s.segments {
		if err := s.unlink(g); err != nil {
			return false, err
		}
	}
	return true, nil
}

// unlink removes a segment from the disk.
func (s *Spool) unlink(g *segment) error {
	if err := s.disk.Remove(g.name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", g.name(), err)
	}
	faultpoint.Hit("spool.after_remove")
	if s.opt.Durability == Power { // in order: a hole in the numbers would look like loss
		if err := s.disk.Sync(); err != nil {
			return fmt.Errorf("%w: sync: %w", ErrFailed, err)
		}
	}
	return nil
}
