package proxy

import (
	"sync"

	"loom.internal/services/gateway/internal/openai"
)

// tenantShare is the part of the memory for bodies that one tenant may take.
const tenantShare = 4

// memory is what request bodies may take, all together and of one tenant. A body is held
// until its answer is over: it may have to be sent again.
type memory struct {
	limit, ofTenant int64

	mu   sync.Mutex
	used int64
	by   map[string]int64
}

// newMemory has room for at least one body of the largest size for each tenant.
func newMemory(limit, largest int64) *memory {
	return &memory{limit: limit, ofTenant: max(limit/tenantShare, largest+1), by: make(map[string]int64)}
}

// take sets n bytes aside for a tenant, without waiting for them.
func (m *memory) take(tenant string, n int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.used+n > m.limit || m.by[tenant]+n > m.ofTenant {
		return false
	}
	m.used += n
	m.by[tenant] += n
	return true
}

func (m *memory) give(tenant string, n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.used -= n
	if m.by[tenant] -= n; m.by[tenant] == 0 {
		delete(m.by, tenant)
	}
}

// reserve sets n more bytes aside for the request's body.
func (x *exchange) reserve(n int64) error {
	if !x.p.memory.take(x.who.Tenant.ID, n) {
		return errNoMemory
	}
	x.reserved += n
	return nil
}

// free gives back what was set aside.
func (x *exchange) free() {
	if x.reserved > 0 {
		x.p.memory.give(x.who.Tenant.ID, x.reserved)
		x.reserved = 0
	}
}

// noMemory is for a body that there is no memory for now.
func noMemory() *openai.Error {
	return openai.Unavailable("The gateway holds as many requests as it has memory for. Please try again.")
}
