package bus_test

import (
	"testing"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/event"
	"loom.internal/pkg/testkit"
)

func TestNumbered(t *testing.T) {
	t.Parallel()
	_, js := ready(t, testkit.NATS(t))
	life, other := event.Life{ProducerID: "gw-a", Epoch: 3}, event.Life{ProducerID: "gw-b", Epoch: 1}
	read := func() map[event.Life]bus.Word {
		words, err := bus.ReadNumbered(t.Context(), js)
		if err != nil {
			t.Fatal(err)
		}
		byLife := make(map[event.Life]bus.Word)
		for _, w := range words {
			byLife[w.Life] = w
		}
		return byLife
	}
	put := func(words map[event.Life]bus.Numbered) {
		if err := bus.PutNumbered(t.Context(), js, words); err != nil {
			t.Fatal(err)
		}
	}
	if got := read(); len(got) != 0 {
		t.Errorf("of nothing: got %v", got)
	}
	put(map[event.Life]bus.Numbered{life: {Highest: 7, Held: 2}, other: {Highest: 1}})
	first := read()
	if len(first) != 2 || first[life].Numbered != (bus.Numbered{Highest: 7, Held: 2}) || first[other].Highest != 1 || first[life].At.IsZero() {
		t.Errorf("got %v", first)
	}
	put(map[event.Life]bus.Numbered{life: {Highest: 7, Held: 2}})
	if got := read(); got[life].At != first[life].At {
		t.Error("the same word has another time")
	}
	put(map[event.Life]bus.Numbered{life: {Highest: 5}})
	if got := read(); got[life].Numbered != (bus.Numbered{Highest: 7}) {
		t.Errorf("after a spool that has lost two: got %v, want 7 all the same", got[life])
	}
	kv, err := js.KeyValue(t.Context(), bus.BucketWatermark)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.PutString(t.Context(), bus.NumberedKey(life), "{"); err != nil {
		t.Fatal(err)
	}
	if got, err := bus.ReadNumbered(t.Context(), js); err == nil {
		t.Errorf("of what no gateway puts: got %v", got)
	}
	put(map[event.Life]bus.Numbered{life: {Highest: 8}})
	if got := read(); got[life].Highest != 8 {
		t.Errorf("put over it: got %v", got[life])
	}
}
