// Package ledger is what clients know: a line for each request, kept in memory for the
// oracle and in a file for people.
package ledger

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"loom.internal/bench/internal/script"
)

// Line is one request as its client saw it.
type Line struct {
	ID      string        `json:"id"` // also the request's session
	Seed    uint64        `json:"seed"`
	Tenant  string        `json:"tenant"`
	Kind    script.Kind   `json:"kind"`
	Stream  bool          `json:"stream"`
	At      time.Time     `json:"at"`
	Status  int           `json:"status"` // 0: no answer began
	First   time.Duration `json:"first"`  // from At until the answer began
	Ended   bool          `json:"ended"`  // the client saw the end of the answer, be it an error
	Asked   Digest        `json:"asked"`  // of the request
	Text    Digest        `json:"text"`   // of the answer's text, if it is a whole one
	Wrong   bool          `json:"wrong"`  // the text is not what the provider sent
	TraceID string        `json:"trace_id,omitempty"`
	Prompt  int64         `json:"prompt_tokens"`     // of the whole answer, as planned
	Output  int64         `json:"completion_tokens"` // likewise
	Cost    int64         `json:"cost"`              // likewise, picodollars
	Fault   string        `json:"fault,omitempty"`   // the client's error
}

// Answered reports whether the client saw the whole of a good answer.
func (l *Line) Answered() bool { return l.Ended && l.Status == 200 }

// Digest is SHA-256 of a text.
type Digest [sha256.Size]byte

// DigestOf a text.
func DigestOf(text string) Digest { return sha256.Sum256([]byte(text)) }

// MarshalText implements encoding.TextMarshaler.
func (d Digest) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%x", d[:8]), nil }

// Count of lines by what clients saw: a whole answer, a whole error, the beginning of an
// answer, nothing.
type Count struct{ All, Answered, Errors, Cut, Refused int }

// Add counts a line.
func (c *Count) Add(l *Line) {
	c.All++
	switch {
	case l.Answered():
		c.Answered++
	case l.Ended:
		c.Errors++
	case l.Status == 0:
		c.Refused++
	default:
		c.Cut++
	}
}

func (c Count) String() string {
	return fmt.Sprintf("%d: %d answered, %d errors, %d cut, %d refused", c.All, c.Answered, c.Errors, c.Cut, c.Refused)
}

// Ledger collects lines of many goroutines.
type Ledger struct {
	file *os.File
	mu   sync.Mutex
	out  *bufio.Writer
	all  []Line
	now  Count
	err  error // the first of writing
}

// Create makes a ledger whose file is path.
func Create(path string) (*Ledger, error) {
	f, err := os.Create(path) //nolint:gosec // in the run's directory
	if err != nil {
		return nil, err
	}
	return &Ledger{file: f, out: bufio.NewWriter(f)}, nil
}

// Add takes a line.
func (l *Ledger) Add(line Line) {
	b, err := json.Marshal(line)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		_, err = l.out.Write(append(b, '\n'))
	}
	if l.err == nil {
		l.err = err
	}
	l.all = append(l.all, line)
	l.now.Add(&line)
}

// Count of the lines so far.
func (l *Ledger) Count() Count {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now
}

// TraceIDs are those that clients have been told so far.
func (l *Ledger) TraceIDs() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	ids := make([]string, 0, len(l.all))
	for i := range l.all {
		if id := l.all[i].TraceID; id != "" {
			ids = append(ids, id)
		}
	}
	return ids
}

// Close ends the file and gives all lines. Nothing may be added then.
func (l *Ledger) Close() ([]Line, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := errors.Join(l.err, l.out.Flush(), l.file.Close())
	return l.all, err
}
