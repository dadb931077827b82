package replay

import (
	"fmt"
	"io"
	"time"
)

// progress tells people how far a run is: a line that is written over once a second on a
// terminal, else a line every five seconds.
type progress struct {
	to    io.Writer
	tty   bool
	began time.Time
	from  uint64 // where this process began
	last  time.Time
	total uint64
	wrote bool
}

func newProgress(cfg Config, st *state) *progress {
	return &progress{to: cfg.Progress, tty: cfg.TTY, began: time.Now(), from: st.Applied, total: st.Target}
}

// at tells of events.
func (p *progress) at(st *state) {
	if !p.due() {
		return
	}
	done := st.Applied - p.from
	rate := float64(done) / max(time.Since(p.began).Seconds(), 1e-3)
	left := ""
	if st.Applied < p.total && rate > 0 {
		left = ", " + (time.Duration(float64(p.total-st.Applied)/rate*1e9) * time.Nanosecond).Round(time.Second).String() + " left"
	}
	p.line(fmt.Sprintf("%s: event %d of %d, %.0f/s%s", st.Phase, st.Applied, max(p.total, st.Applied), rate, left))
}

// step tells of a part of a phase.
func (p *progress) step(st *state, what string) {
	if p.due() {
		p.line(st.Phase + ": " + what)
	}
}

func (p *progress) due() bool {
	every := 5 * time.Second
	if p.tty {
		every = time.Second
	}
	if p.to == nil || time.Since(p.last) < every {
		return false
	}
	p.last = time.Now()
	return true
}

func (p *progress) line(text string) {
	p.wrote = true
	if p.tty {
		_, _ = fmt.Fprintf(p.to, "\r\033[K%s", text)
		return
	}
	_, _ = fmt.Fprintln(p.to, text)
}

// end leaves the line of a terminal.
func (p *progress) end() {
	if p.tty && p.wrote {
		_, _ = fmt.Fprintln(p.to)
	}
}
