package simulation

import (
	"bytes"
	"encoding/binary"
	"strings"

	"google.golang.org/protobuf/proto"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/event"
)

// check compares what clients and providers saw with what both consumers have.
func (w *world) check() {
	recorder, analytics := w.stores[bus.ConsumerRecorder], w.stores[bus.ConsumerAnalytics]
	for id, r := range w.requests {
		row := recorder.rows[id]
		if !proto.Equal(row, analytics.rows[id]) {
			w.fail("trace %s: recorder has\n%v\nanalytics has\n%v", id, row, analytics.rows[id])
		}
		if why := r.disagrees(row); why != "" {
			w.fail("trace %s: %s: the row is\n%v", id, why, row)
		}
	}
	for life, word := range w.broker.words {
		if n := recorder.lives[life]; !n.has(word.Highest) {
			w.fail("its gateway says that epoch %d has given %d numbers; the recorder has %v", life.Epoch, word.Highest, n)
		}
	}
	for _, s := range w.stores {
		for id := range s.rows {
			if w.requests[id] == nil {
				w.fail("%s has trace %s, which nobody sent", s.name, id)
			}
		}
		for life, n := range s.lives {
			other := analytics.lives[life]
			if len(n) != 1 || n[0][0] != 1 || len(other) != 1 || n[0] != other[0] {
				w.fail("%s: epoch %d has the numbers %v; analytics has %v", s.name, life.Epoch, n, other)
			}
		}
	}
}

// disagrees says what is wrong with the row of a request; nil is none.
func (r *request) disagrees(row *event.TraceEvent) string {
	interrupted := row.GetOutcome() == event.Outcome_OUTCOME_INTERRUPTED
	switch {
	case row == nil && r.sent:
		return "its provider was called"
	case row == nil:
		return ""
	case !r.sent && !r.mayHave:
		return "it was refused"
	case interrupted && r.released:
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

// removed is called when a file goes from the gateway's disk: both consumers have the
// ends in it, and what is begun in it is ended or in another file.
func (w *world) removed(name string, data []byte, rest map[string][]byte) {
	if !strings.HasSuffix(name, ".seg") {
		return
	}
	elsewhere := map[[16]byte]bool{}
	for other, data := range rest {
		if strings.HasSuffix(other, ".seg") {
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
			if !s.hasSeq(r.epoch, r.seq) {
				w.fail("segment %s is gone with epoch %d number %d, which %s has not", name, r.epoch, r.seq, s.name)
			}
		}
	}
	for _, r := range all {
		if r.begin && !ended[r.id] && !elsewhere[r.id] {
			for _, s := range w.stores {
				if !s.hasTrace(r.id) {
					w.fail("segment %s is gone with the beginning of %x", name, r.id)
				}
			}
		}
	}
	w.note("segment %s goes, with %d records", name, len(all))
}

// hasSeq is has for the one gateway there is.
func (s *store) hasSeq(epoch, seq uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for life, n := range s.lives {
		if uint64(life.Epoch) == epoch {
			return n.has(int64(seq))
		}
	}
	return false
}

func (s *store) hasTrace(id [16]byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.rows[uuidText(id)]
	return ok
}

type found struct {
	id         [16]byte
	epoch, seq uint64
	begin      bool
}

// records finds the records of a segment, as docs of the package spool describe them.
func records(data []byte) (all []found) {
	magic := []byte{0xFF, 'l', 's', 0xFE}
	for {
		i := bytes.Index(data, magic)
		if i < 0 || len(data) < i+64 {
			return all
		}
		b := data[i:]
		all = append(all, found{
			id: [16]byte(b[16:32]), epoch: binary.LittleEndian.Uint64(b[32:]), seq: binary.LittleEndian.Uint64(b[40:]), begin: b[56] == 1,
		})
		data = b[64:]
	}
}
