package event

import (
	"cmp"
	"math"
	"regexp"
	"slices"
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

// Gap is a run of numbers, both ends included.
type Gap struct{ From, To int64 }

// Gaps are numbers that are not there: by life, in order and apart.
type Gaps map[Life][]Gap

// Has reports whether a place is in a gap.
func (g Gaps) Has(p Place) bool {
	of := g[p.Life()]
	i, found := slices.BinarySearchFunc(of, p.Seq, func(gap Gap, seq int64) int { return cmp.Compare(gap.From, seq) })
	return found || i > 0 && p.Seq <= of[i-1].To
}

// Within reports whether all that is in g is in more as well.
func (g Gaps) Within(more Gaps) bool {
	for life, of := range g {
		for _, gap := range of {
			if !slices.ContainsFunc(more[life], func(m Gap) bool { return m.From <= gap.From && gap.To <= m.To }) {
				return false
			}
		}
	}
	return true
}

// Count is how many numbers are in gaps.
func (g Gaps) Count() (n int64) {
	for _, of := range g {
		for _, gap := range of {
			n += gap.To - gap.From + 1
		}
	}
	return n
}

var producerPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// ValidProducer reports whether id can be a producer's: 1 to 64 of A-Z, a-z, 0-9, '-'
// and '_'. Such an id is one token of a key on the bus.
func ValidProducer(id string) bool { return producerPattern.MatchString(id) }
