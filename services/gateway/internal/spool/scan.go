package spool

import (
	"bytes"
	"errors"
	"io"
)

// window reads a file through one buffer.
type window struct {
	r    io.ReaderAt
	buf  []byte
	from int64 // of buf in the file
}

const windowBytes = 256 << 10

// at returns the n bytes at off, or as many as there are before end. They are valid
// until the next call.
func (w *window) at(off, n, end int64) ([]byte, error) {
	n = min(n, end-off)
	if off >= w.from && off+n <= w.from+int64(len(w.buf)) {
		return w.buf[off-w.from:][:n], nil
	}
	want := min(max(n, windowBytes), end-off)
	if int64(cap(w.buf)) < want {
		w.buf = make([]byte, want)
	}
	w.buf, w.from = w.buf[:want], off
	got, err := w.r.ReadAt(w.buf, off)
	if int64(got) < want && err != nil && !errors.Is(err, io.EOF) {
		w.buf = w.buf[:0]
		return nil, err
	}
	w.buf = w.buf[:got]
	return w.buf[:min(n, int64(got))], nil
}

// scanner walks the records of a segment and the damage between them.
type scanner struct {
	window
	off, end int64

	epoch uint64 // of the segment; 0 until the first record tells
	last  uint64 // sequence number of the last end
	known bool   // last is known
	skip  uint64 // how many numbers damage may have swallowed
	from  uint64 // for a reader of ends: payloads of begins and of ends before it are passed over
}

// found is one step of a scan: a record, or a stretch of bytes that is none.
type found struct {
	record
	off     int64  // of the header
	to      int64  // where the next step starts
	wrong   string // why this is no record; "" for a record
	torn    bool   // no record, and just what a crash within the last write leaves
	payload []byte // of a record whose payload was looked at; valid until the next step
}

// next returns io.EOF at the end; other errors are of reading, not of content.
func (s *scanner) next() (found, error) {
	if s.off >= s.end {
		return found{}, io.EOF
	}
	f, err := s.look(s.off, s.from > 0)
	if err != nil {
		return found{}, err
	}
	if f.wrong != "" {
		if f.to, err = s.resync(s.off + 1); err != nil {
			return found{}, err
		}
		f.torn = f.torn && f.to == s.end
		s.skip += uint64(max((f.to-f.off)/headerSize, 1))
	} else {
		s.epoch = f.epoch
		if f.kind.isEnd() {
			s.last, s.known, s.skip = f.number, true, 0
		}
	}
	s.off = f.to
	return f, nil
}

// look reads what is at off; wrong says why it is no record that can stand there. With
// pass, payloads before s.from are not looked at.
func (s *scanner) look(off int64, pass bool) (found, error) {
	f := found{off: off}
	b, err := s.at(off, headerSize, s.end)
	if err != nil {
		return f, err
	}
	if f.wrong = f.parse(b); f.wrong != "" {
		f.torn = len(b) < headerSize && bytes.HasPrefix(b, magic[:min(len(b), len(magic))])
		if !f.torn {
			f.torn, err = s.zeros(off)
		}
		return f, err
	}
	f.to = off + f.size()
	switch {
	case s.epoch != 0 && f.epoch != s.epoch || f.epoch == 0:
		f.wrong = "record of another epoch"
	case f.kind.isEnd() && (f.number == 0 || s.known && (f.number <= s.last || f.number-s.last-1 > s.skip)):
		f.wrong = "sequence number out of order"
	case f.to > s.end:
		f.wrong, f.torn = "payload cut short", true
	case pass && (f.kind == kindBegin || f.number < s.from):
		return f, nil
	}
	if f.wrong != "" {
		return f, nil
	}
	if f.payload, err = s.at(off+headerSize, f.length, s.end); err != nil {
		return f, err
	}
	if int64(len(f.payload)) < f.length || checksum(f.payload) != f.sum {
		f.wrong = "payload checksum differs"
	}
	return f, nil
}

// resync returns where the next intact record starts, or the end.
func (s *scanner) resync(off int64) (int64, error) {
	skip := s.skip
	defer func() { s.skip = skip }()
	for start := off; off < s.end; {
		b, err := s.at(off, windowBytes, s.end)
		if err != nil {
			return 0, err
		}
		i := bytes.Index(b, magic)
		if i < 0 {
			if off += int64(len(b)); off < s.end && len(b) > len(magic) {
				off -= int64(len(magic)) - 1 // one may lie across the windows
			}
			if len(b) == 0 {
				break // the file is shorter than it was
			}
			continue
		}
		off += int64(i)
		s.skip = skip + uint64(max((off-start+1)/headerSize, 1))
		f, err := s.look(off, false)
		if err != nil {
			return 0, err
		}
		if f.wrong == "" {
			return off, nil
		}
		off++
	}
	return s.end, nil
}

// zeros reports whether nothing but zeros follows: a file made longer by a write that
// a power loss undid.
func (s *scanner) zeros(off int64) (bool, error) {
	for off < s.end {
		b, err := s.at(off, windowBytes, s.end)
		if err != nil || len(b) == 0 {
			return false, err
		}
		if len(bytes.TrimLeft(b, "\x00")) > 0 {
			return false, nil
		}
		off += int64(len(b))
	}
	return true, nil
}
