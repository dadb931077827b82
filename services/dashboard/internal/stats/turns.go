package stats

import (
	"context"
	"sync"

	"github.com/jackc/pgx/v5"

	"loom.internal/pkg/store"
)

// turns bound how many sums are read at a time, in all and of a tenant: they may take as
// long as a request may, and what is quick is not to wait for a connection until then.
type turns struct {
	all  chan struct{}
	each int

	mu      sync.Mutex
	tenants map[string]*turn
}

// turn is that of a tenant. It is there as long as somebody has it or waits for it.
type turn struct {
	taken chan struct{}
	users int
}

// newTurns leaves some connections of a pool to others, and to a tenant some of the turns.
func newTurns(connections int) *turns {
	all := max(1, connections*3/5)
	return &turns{all: make(chan struct{}, all), each: max(1, all*2/3), tenants: map[string]*turn{}}
}

// take waits for a turn of a tenant, and then for one of all.
func (t *turns) take(ctx context.Context, tenantID string) (done func(), err error) {
	own := t.enter(tenantID)
	select {
	case own.taken <- struct{}{}:
	case <-ctx.Done():
		t.leave(tenantID, own)
		return nil, ctx.Err()
	}
	select {
	case t.all <- struct{}{}:
	case <-ctx.Done():
		<-own.taken
		t.leave(tenantID, own)
		return nil, ctx.Err()
	}
	return func() {
		<-t.all
		<-own.taken
		t.leave(tenantID, own)
	}, nil
}

func (t *turns) enter(tenantID string) *turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	own := t.tenants[tenantID]
	if own == nil {
		own = &turn{taken: make(chan struct{}, t.each)}
		t.tenants[tenantID] = own
	}
	own.users++
	return own
}

func (t *turns) leave(tenantID string, own *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if own.users--; own.users == 0 {
		delete(t.tenants, tenantID)
	}
}

// read runs fn in a transaction of the tenant, when it is its turn.
func (r *Reader) read(ctx context.Context, tenantID string, fn func(pgx.Tx) error) error {
	done, err := r.turns.take(ctx, tenantID)
	if err != nil {
		return err
	}
	defer done()
	return store.InTenant(ctx, r.db, tenantID, fn)
}
