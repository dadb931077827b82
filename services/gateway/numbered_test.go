package gateway_test

import (
	"context"
	"testing"

	"loom.internal/pkg/bus"
)

// words are what gateways have last said of their numbers.
func (w *world) words() []bus.Word {
	w.tb.Helper()
	words, err := bus.ReadNumbered(context.Background(), w.js)
	w.must(err)
	return words
}

// The bus knows which numbers were given, also those that have not arrived, and whether
// the spool has them; a gateway that stops says so at once.
func TestNumbersAreTold(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	equal(t, "words of a gateway without a trace", len(w.words()), 0)
	equal(t, "status", w.chat(demoChat).status, 200)
	first := w.trace()
	w.eventually("the first number", func() bool { words := w.words(); return len(words) == 1 && words[0].Highest == 1 })
	w.confirm(first)
	w.eventually("confirmed", func() bool { return w.words()[0].Held == 0 })
	for range 2 {
		equal(t, "status", w.chat(demoChat).status, 200)
	}
	w.must(w.stop())
	words := w.words()
	equal(t, "lives", len(words), 1)
	equal(t, "life", words[0].Life, first.Place().Life())
	equal(t, "word", words[0].Numbered, bus.Numbered{Highest: 3, Held: 2})

	// The next one on the spool speaks for the life before it, too.
	w.start(nil)
	last := w.traces(3)[2]
	w.confirm(last)
	w.eventually("all confirmed", func() bool { return w.words()[0].Numbered == bus.Numbered{Highest: 3} })
}
