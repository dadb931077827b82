// Package traffic makes up what a few tenants send through a gateway in a month: who
// asks which model when, what comes of it and what is said. The same seed makes the
// same traffic.
package traffic

import (
	"cmp"
	"container/heap"
	"encoding/binary"
	"encoding/hex"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"loom.internal/pkg/event"
)

// Options of Make.
type Options struct {
	Seed  uint64
	Count int
	Days  int
	Until time.Time      // every request is over by then
	Keys  map[Key]string // ids of the keys
}

// Request is one of them, with what came of it.
type Request struct {
	*event.TraceEvent // without a place and without bodies

	said func(*Request) (request, response []byte) // nil where nothing is kept
	seed uint64                                    // of what is said
	turn int                                       // of its session
	app  *app
}

// Bodies are what was sent and what came back, whole; nil where there is none or it is
// not to be kept. They also set how many bytes the event tells of.
func (r *Request) Bodies() (request, response []byte) {
	if r.said == nil {
		return nil, nil
	}
	request, response = r.said(r)
	r.RequestBytes, r.ResponseBytes = int64(len(request)), int64(len(response))
	return request, response
}

// maker is one run of Make.
type maker struct {
	Options
	rng      *rand.Rand
	incident window
	due      sessions // those that have another turn
	tags     map[*app][]map[string]string
	made     int // yielded
	drawn    int // the last of them may not have been yielded yet
	odd      int // odd ones made
	oddAt    int // when the next is due
}

// window is a span of time.
type window struct{ from, to time.Time }

func (w window) has(t time.Time) bool { return !t.Before(w.from) && t.Before(w.to) }

// session is a conversation that goes on.
type session struct {
	app  *app
	m    *model
	id   string
	user string
	tags map[string]string
	seed uint64
	turn int
	at   time.Time // of its next turn
}

// Make yields the requests in the order of their beginning, one after the other: what it
// holds does not grow with their number.
func Make(o Options) iter.Seq[*Request] {
	return func(yield func(*Request) bool) {
		m := &maker{Options: o, rng: rand.New(rand.NewPCG(o.Seed, 0x6c6f6f6d)), oddAt: oddEvery / 2, tags: make(map[*app][]map[string]string)} //nolint:gosec // to be foreseen
		day := o.Until.UTC().Truncate(24*time.Hour).AddDate(0, 0, -3)
		m.incident = window{day.Add(14 * time.Hour), day.Add(16 * time.Hour)}
		for _, a := range apps {
			for _, f := range a.features {
				m.tags[a] = append(m.tags[a], map[string]string{"env": a.env, "feature": f, "team": a.team})
			}
		}
		m.run(yield)
	}
}

// run goes through the minutes. Each has its share of the count; what sessions have to
// say in it comes first.
func (m *maker) run(yield func(*Request) bool) {
	from := m.Until.UTC().AddDate(0, 0, -m.Days).Truncate(time.Minute)
	parts := make([]float64, len(apps))
	var all, sofar float64
	for minute := from; minute.Before(m.Until); minute = minute.Add(time.Minute) {
		all += busy(minute, m.Until, parts)
	}
	var batch []*Request
	given, owed := 0, 0
	for minute := from; minute.Before(m.Until); minute = minute.Add(time.Minute) {
		end := minute.Add(time.Minute)
		if end.After(m.Until) {
			end = m.Until
		}
		sofar += busy(minute, m.Until, parts)
		share := int(math.Round(sofar/all*float64(m.Count))) - given
		given, owed = given+share, owed+share
		for batch = batch[:0]; ; owed-- {
			if len(m.due) > 0 && m.due[0].at.Before(end) {
				batch = append(batch, m.next(heap.Pop(&m.due).(*session)))
			} else if owed > 0 {
				at := minute.Add(time.Duration(m.rng.Int64N(int64(end.Sub(minute)))))
				batch = append(batch, m.next(m.open(m.pick(parts), at)))
			} else {
				break
			}
		}
		slices.SortStableFunc(batch, func(a, b *Request) int { return cmp.Compare(a.GetStartedAtUs(), b.GetStartedAtUs()) })
		for _, r := range batch {
			if m.made == m.Count {
				return
			}
			m.made++
			if !yield(r) {
				return
			}
		}
	}
}

// pick draws an app, by what each is expected to do now.
func (m *maker) pick(parts []float64) *app {
	at := m.rng.Float64() * parts[len(parts)-1]
	i, _ := slices.BinarySearch(parts, at)
	return apps[min(i, len(apps)-1)]
}

// open begins a session; most have one turn.
func (m *maker) open(a *app, at time.Time) *session {
	s := &session{app: a, m: a.models[m.rng.IntN(len(a.models))], tags: m.tags[a][m.rng.IntN(len(a.features))], seed: m.rng.Uint64(), at: at}
	if a.goesOn > 0 {
		s.id = "sess_" + hex.EncodeToString(binary.BigEndian.AppendUint64(nil, s.seed))[:12]
	}
	if a.users > 0 {
		s.user = "u-" + hex.EncodeToString(binary.BigEndian.AppendUint32(nil, uint32(m.rng.IntN(a.users)*7919+4096)))[2:] //nolint:gosec // small
	}
	return s
}

// next is the next request of a session.
func (m *maker) next(s *session) *Request {
	r := m.request(s)
	s.turn++
	calls := len(r.GetToolNames()) > 0 && r.GetOutcome() == event.Outcome_OUTCOME_COMPLETED
	if calls || m.rng.Float64() < s.app.goesOn && s.turn < 24 {
		pause := time.Duration(m.rng.ExpFloat64()*45+4) * time.Second // reads and types
		if calls {
			pause = time.Duration(m.rng.ExpFloat64()*700+80) * time.Millisecond // the tool works
		}
		if s.at = s.at.Add(time.Duration(r.GetDurationUs())*time.Microsecond + pause); s.at.Before(m.Until) {
			heap.Push(&m.due, s)
		}
	}
	return r
}

// sessions is a heap by the time of the next turn.
type sessions []*session

func (s sessions) Len() int           { return len(s) }
func (s sessions) Less(i, j int) bool { return s[i].at.Before(s[j].at) }
func (s sessions) Swap(i, j int)      { s[i], s[j] = s[j], s[i] }

// Push implements heap.Interface.
func (s *sessions) Push(x any) { *s = append(*s, x.(*session)) }

// Pop implements heap.Interface.
func (s *sessions) Pop() any {
	old := *s
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*s = old[:len(old)-1]
	return last
}

// traceID is a UUIDv7 of that time.
func (m *maker) traceID(at time.Time) string {
	var id [16]byte
	binary.BigEndian.PutUint64(id[:], uint64(at.UnixMilli())<<16|m.rng.Uint64()&0xfff|0x7000)
	binary.BigEndian.PutUint64(id[8:], m.rng.Uint64()&^(3<<62)|2<<62)
	var text [36]byte
	hex.Encode(text[:8], id[:4])
	hex.Encode(text[9:13], id[4:6])
	hex.Encode(text[14:18], id[6:8])
	hex.Encode(text[19:23], id[8:10])
	hex.Encode(text[24:], id[10:])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return string(text[:])
}

// around draws from a log-normal distribution.
func (m *maker) around(median, sigma float64) float64 {
	return median * math.Exp(m.rng.NormFloat64()*sigma)
}
