package event

import (
	"math"
	"regexp"
	"strconv"
	"strings"
)

// Place is where an event stands in the sequence of the gateway process that made it.
type Place struct {
	ProducerID string
	Epoch      int64
	Seq        int64 // contiguous from 1 within an epoch
}

// Place is where e stands.
func (e *TraceEvent) Place() Place {
	p := e.GetProducer()
	return Place{p.GetId(), int64(p.GetEpoch()), int64(p.GetSeq())} //nolint:gosec // Decode keeps both under 2^63
}

// ParsePlace reads a place from the headers of a message; false if they hold none.
func ParsePlace(producer, seq string) (Place, bool) {
	slash := strings.LastIndexByte(producer, '/')
	if slash < 0 || !ValidProducer(producer[:slash]) {
		return Place{}, false
	}
	epoch, err := strconv.ParseInt(producer[slash+1:], 10, 64)
	if err != nil || epoch < 0 {
		return Place{}, false
	}
	n, err := strconv.ParseInt(seq, 10, 64)
	if err != nil || n < 1 || n == math.MaxInt64 {
		return Place{}, false
	}
	return Place{producer[:slash], epoch, n}, true
}

// Life is one life of a gateway process: its numbers begin at 1.
type Life struct {
	ProducerID string
	Epoch      int64
}

// Life is the one that p stands in.
func (p Place) Life() Life { return Life{p.ProducerID, p.Epoch} }

// Watermarks are the highest numbers below which a consumer lacks none.
type Watermarks map[Life]int64

var producerPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// ValidProducer reports whether id can be a producer's: 1 to 64 of A-Z, a-z, 0-9, '-'
// and '_'. Such an id is one token of a key on the bus.
func ValidProducer(id string) bool { return producerPattern.MatchString(id) }
