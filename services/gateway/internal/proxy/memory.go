package proxy

import (
	"golang.org/x/sync/semaphore"

	"loom.internal/services/gateway/internal/openai"
)

// memory is what request bodies may take, all together. A body is held until its answer
// is over: it may have to be sent again.
type memory struct {
	bytes *semaphore.Weighted
	limit int64
}

func newMemory(limit int64) memory { return memory{semaphore.NewWeighted(limit), limit} }

// take sets n bytes aside, without waiting for them.
func (m memory) take(n int64) *openai.Error {
	if !m.bytes.TryAcquire(n) {
		return openai.Unavailable("The gateway holds as many requests as it has memory for. Please try again.")
	}
	return nil
}

// reserve sets aside what the request's body may take.
func (x *exchange) reserve() *openai.Error {
	n := x.r.ContentLength
	if n < 0 {
		n = x.p.opt.MaxBody
	}
	if fault := x.p.memory.take(n); fault != nil {
		return fault
	}
	x.reserved = n
	return nil
}

// trim gives back what the body did not take.
func (x *exchange) trim() {
	if spare := x.reserved - int64(len(x.body)); spare > 0 {
		x.p.memory.bytes.Release(spare)
		x.reserved -= spare
	}
}

// free gives back the rest.
func (x *exchange) free() {
	x.p.memory.bytes.Release(x.reserved)
	x.reserved = 0
}
