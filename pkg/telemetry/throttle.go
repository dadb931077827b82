package telemetry

import (
	"sync"
	"time"
)

// throttleEvery is how often a message is said.
const throttleEvery = time.Second

// Throttle lets each message through once a second. The messages must be constants: all
// of them are remembered. The zero value is ready.
type Throttle struct {
	mu   sync.Mutex
	said map[string]*said
}

type said struct {
	at      time.Time
	leftOut int64
}

// Allow reports whether the message may be said now, and how often it was held back
// since it was said last.
func (t *Throttle) Allow(message string) (leftOut int64, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.said == nil {
		t.said = make(map[string]*said)
	}
	s, known := t.said[message]
	if !known {
		s = new(said)
		t.said[message] = s
	}
	if now := time.Now(); !known || now.Sub(s.at) >= throttleEvery {
		leftOut, s.at, s.leftOut = s.leftOut, now, 0
		return leftOut, true
	}
	s.leftOut++
	return 0, false
}
