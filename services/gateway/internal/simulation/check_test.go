package simulation

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"

	"google.golang.org/protobuf/proto"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/event"
)

// check compares what clients and providers saw with what both consumers have.
func (w *world) check() {
	recorder, analytics := w.stores[bus.ConsumerRecorder], w.stores[bus.ConsumerAnalytics]
	for id, r := range w.requests {
		both := true
		for _, s := range w.stores {
			row := s.rows[id]
			if row == nil && w.losses.mayLack(s.name, id) {
				both = false
				continue
			}
			if why := r.disagrees(row, w.losses.isDouble(id)); why != "" {
				w.fail("trace %s: %s: the row of %s is\n%v", id, why, s.name, row)
			}
		}
		if both && !w.losses.isDouble(id) && !proto.Equal(recorder.rows[id], analytics.rows[id]) {
			w.fail("trace %s: recorder has\n%v\nanalytics has\n%v", id, recorder.rows[id], analytics.rows[id])
		}
	}
	for life, word := range w.broker.words {
		last := event.Place{ProducerID: life.ProducerID, Epoch: life.Epoch, Seq: word.Highest}
		if n := recorder.lives[life]; !n.has(word.Highest) && !w.losses.isGone(recorder.name, last) {
			w.fail("its gateway says that epoch %d has given %d numbers; the recorder has %v", life.Epoch, word.Highest, n)
		}
	}
	for _, s := range w.stores {
		for id := range s.rows {
			if w.requests[id] == nil {
				w.fail("%s has trace %s, which nobody sent", s.name, id)
			}
		}
		for _, other := range w.stores {
			for life, n := range other.lives {
				for _, gap := range s.lives[life].without(max(n.highest(), s.given[life].highest())) {
					for seq := gap.From; seq <= gap.To; seq++ {
						if !w.losses.isGone(s.name, event.Place{ProducerID: life.ProducerID, Epoch: life.Epoch, Seq: seq}) {
							w.fail("%s: epoch %d has the numbers %v, and %s has %v: number %d is missing", s.name, life.Epoch, s.lives[life], other.name, n, seq)
						}
					}
				}
			}
		}
		for life, n := range s.given {
			for _, r := range n {
				for seq := r[0]; seq <= r[1]; seq++ {
					if !w.losses.isGone(s.name, event.Place{ProducerID: life.ProducerID, Epoch: life.Epoch, Seq: seq}) {
						w.fail("%s: number %d of epoch %d is given up, and somebody had it", s.name, seq, life.Epoch)
					}
				}
			}
		}
	}
}

// disagrees says what is wrong with the row of a request; nil is none. A trace may have
// ended twice if its gateway's disk is a copy from before it ended.
func (r *request) disagrees(row *event.TraceEvent, twice bool) string {
	interrupted := row.GetOutcome() == event.Outcome_OUTCOME_INTERRUPTED
	switch {
	case row == nil && r.sent:
		return "its provider was called"
	case row == nil:
		return ""
	case !r.sent && !r.mayHave:
		return "it was refused"
	case interrupted && r.released && !twice:
		return "its client has the whole answer"
	case !interrupted && r.end == nil:
		return "it did not end"
	}
	want, got := proto.Clone(r.begin).(*event.TraceEvent), proto.Clone(row).(*event.TraceEvent)
	got.Producer = nil
	if interrupted {
		want.Outcome, want.ErrorClass = event.Outcome_OUTCOME_INTERRUPTED, "gateway_died"
	} else {
		want = r.end
	}
	if r.mayBeBare && !interrupted {
		want = proto.Clone(want).(*event.TraceEvent)
		want.RequestBody, want.ResponseBody = got.GetRequestBody(), got.GetResponseBody()
	}
	if !proto.Equal(got, want) {
		return "it is not what its gateway kept, which is\n" + want.String()
	}
	return ""
}

func (o *outcome) count(w *world, r *request) {
	row := w.stores[bus.ConsumerRecorder].rows[r.begin.GetTraceId()]
	if r.sent {
		o.sent++
	}
	if r.released {
		o.released++
	}
	if row.GetOutcome() == event.Outcome_OUTCOME_INTERRUPTED {
		o.interrupted++
	}
}

// removed is called when a file goes from a gateway's disk: both consumers have the
// ends in it, and what is begun in it is ended or in another file.
func (w *world) removed(name string, data []byte, rest map[string][]byte) {
	if !isSegment(name) {
		return
	}
	of := producer(rest)
	w.losses.vanished(of, rest)
	elsewhere := map[[16]byte]bool{}
	for other, data := range rest {
		if isSegment(other) {
			for _, r := range records(data) {
				elsewhere[r.id] = true
			}
		}
	}
	ended := map[[16]byte]bool{}
	all := records(data)
	for _, r := range all {
		if r.begin {
			continue
		}
		ended[r.id] = true
		for _, s := range w.stores {
			if !s.hasSeq(of, r.epoch, r.seq) && !w.losses.isAstray(s.name, of, r.epoch, r.seq) {
				w.fail("segment %s is gone with epoch %d number %d, which %s has not", name, r.epoch, r.seq, s.name)
			}
		}
	}
	for _, r := range all {
		if r.begin && !ended[r.id] && !elsewhere[r.id] {
			for _, s := range w.stores {
				if !s.hasTrace(r.id) && !w.losses.mayLack(s.name, uuidText(r.id)) {
					w.fail("segment %s is gone with the beginning of %x", name, r.id)
				}
			}
		}
	}
	w.note("segment %s goes, with %d records", name, len(all))
}

// hasSeq reports whether a number is recorded.
func (s *store) hasSeq(producer string, epoch, seq uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lives[event.Life{ProducerID: producer, Epoch: int64(epoch)}].has(int64(seq))
}

func (s *store) hasTrace(id [16]byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.rows[uuidText(id)]
	return ok
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type found struct {
	id         [16]byte
	epoch, seq uint64
	begin      bool
}

// records finds the records of a segment, as docs of the package spool describe them. One
// that is damaged counts for nothing: its write was never acknowledged.
func records(data []byte) (all []found) {
	magic := []byte{0xFF, 'l', 's', 0xFE}
	for {
		i := bytes.Index(data, magic)
		if i < 0 || len(data) < i+64 {
			return all
		}
		b := data[i:]
		data = b[4:]
		size := 64 + uint64(binary.LittleEndian.Uint32(b[8:]))
		if binary.LittleEndian.Uint32(b[4:]) != crc32.Checksum(b[8:64], castagnoli) || uint64(len(b)) < size ||
			binary.LittleEndian.Uint32(b[12:]) != crc32.Checksum(b[64:size], castagnoli) {
			continue
		}
		all = append(all, found{
			id: [16]byte(b[16:32]), epoch: binary.LittleEndian.Uint64(b[32:]), seq: binary.LittleEndian.Uint64(b[40:]), begin: b[56] == 1,
		})
		data = b[size:]
	}
}
