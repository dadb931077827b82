// Package book keeps the prices that analytics works with in step with the database.
package book

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"loom.internal/pkg/pricing"
	"loom.internal/pkg/store"
)

// Source gives the price book: the operator's prices in the table prices, above the
// built-in ones.
type Source struct {
	db      *pgxpool.Pool
	builtin []pricing.Price

	mu   sync.Mutex
	at   state
	book *pricing.Book // nil before the first load
}

// state tells one content of the table from another: each change takes a higher
// revision than all before it, and a deletion changes the count.
type state struct{ revision, count int64 }

// New returns a source that reads from db; it does no I/O.
func New(db *pgxpool.Pool) (*Source, error) {
	builtin, err := pricing.Builtin()
	if err != nil {
		return nil, err
	}
	return &Source{db: db, builtin: builtin}, nil
}

// Current is the book with every price committed before the call. It costs one small
// query while prices do not change.
func (s *Source) Current(ctx context.Context) (*pricing.Book, error) {
	var now state
	err := s.db.QueryRow(ctx, `SELECT coalesce(max(revision), 0), count(*) FROM prices`).Scan(&now.revision, &now.count)
	if err != nil {
		return nil, fmt.Errorf("read revision of prices: %w", store.Wrap(err))
	}
	if book := s.cached(now); book != nil {
		return book, nil
	}
	operator, at, err := s.load(ctx)
	if err != nil {
		return nil, fmt.Errorf("read prices: %w", store.Wrap(err))
	}
	book, err := pricing.NewBook(s.builtin, operator)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at, s.book = at, book
	return book, nil
}

func (s *Source) cached(now state) *pricing.Book {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at != now {
		return nil
	}
	return s.book
}

func (s *Source) load(ctx context.Context) (prices []pricing.Price, at state, err error) {
	rows, err := s.db.Query(ctx, `SELECT provider, model, from_date, input, cached_input, cache_write, cache_write_1h, output, revision FROM prices`)
	if err != nil {
		return nil, state{}, err
	}
	prices, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (pricing.Price, error) {
		var (
			p        pricing.Price
			revision int64
		)
		err := row.Scan(&p.Provider, &p.Model, &p.From, &p.Input, &p.CachedInput, &p.CacheWrite, &p.CacheWrite1h, &p.Output, &revision)
		p.From = p.From.UTC()
		p.Source = "operator"
		p.Version = fmt.Sprintf("operator-%d@%s", revision, p.From.Format(time.DateOnly))
		at = state{max(at.revision, revision), at.count + 1}
		return p, err
	})
	return prices, at, err
}
