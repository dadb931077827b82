package bus

import (
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"time"
)

const (
	denialEvery = time.Minute // a line for each subject
	maxDenials  = 64          // subjects at a time: some have a random part
)

// violation is how the broker words it.
var violation = regexp.MustCompile(`(?i)permissions violation for (publish|subscription) to "([^"]*)"`)

// denials tells what the broker does not let this connection do. Who waits for the answer
// to a denied request learns nothing of it but that none comes.
type denials struct {
	log *slog.Logger

	mu   sync.Mutex
	told map[string]time.Time // by the operation and the subject
}

// tell logs a violation, unless it was just told.
func (d *denials) tell(err error) {
	operation, subject := "", err.Error()
	if m := violation.FindStringSubmatch(subject); m != nil {
		operation, subject = strings.ToLower(m[1]), m[2]
	}
	if d.isNew(operation+" "+subject, time.Now()) {
		d.log.Error("NATS denies this: the user of the connection lacks the right, which deploy/nats/permissions.conf gives to each service's own user",
			slog.String("operation", operation), slog.String("subject", subject))
	}
}

func (d *denials) isNew(what string, now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if last, ok := d.told[what]; ok && now.Sub(last) < denialEvery {
		return false
	}
	if d.told == nil {
		d.told = make(map[string]time.Time)
	}
	if len(d.told) >= maxDenials {
		for what, last := range d.told {
			if now.Sub(last) >= denialEvery {
				delete(d.told, what)
			}
		}
		if len(d.told) >= maxDenials {
			return false // enough to go by
		}
	}
	d.told[what] = now
	return true
}
