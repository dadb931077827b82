package publish_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"loom.internal/pkg/event"
	"loom.internal/pkg/testkit"
)

// A large body is put again with every try to send its event: the broker that did not
// answer may be back without its disk.
func TestBodiesArePutAgainWithTheirEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, &broker{mark: -1, err: errors.New("away")}, 1<<20)
		e := testkit.Event("acme", time.Now())
		e.ResponseBody.Ciphertext, e.ResponseBody.PlainLength = make([]byte, event.MaxSize), event.MaxSize-16
		payload, err := proto.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		id := [16]byte{1}
		if err := errors.Join(r.spool.Begin(t.Context(), id, nil, len(payload)), r.spool.End(t.Context(), id, payload)); err != nil {
			t.Fatal(err)
		}
		wait(5 * time.Second)
		tries := r.puts.Load()
		if tries < 3 {
			t.Fatalf("put %d times in 5 s of trying", tries)
		}
		r.set(func() { r.err = nil })
		wait(10 * time.Second)
		if n := r.count(1); n != 1 {
			t.Errorf("sent %d times, want once", n)
		}
		if n := r.puts.Load(); n != tries+1 {
			t.Errorf("put %d times, want %d and once more", n, tries)
		}
	})
}
