package traces

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"loom.internal/pkg/store"
	"loom.internal/services/dashboard/internal/query"
)

// Query asks for a page of a tenant's traces.
type Query struct {
	TenantID string
	Window   query.Window // of the first page; a cursor brings its own
	Asked    string       // how the window was asked for; a cursor holds only for the same
	Filter   query.Filter
	Cursor   string // NextCursor of the page before
	Limit    int
}

// Page is a part of a walk, newest first. NextCursor is nil on the last one.
type Page struct {
	query.Window
	Items      []Trace `json:"items"`
	NextCursor *string `json:"next_cursor"`
}

// List reads a page. A walk through all pages sees each trace of its window that was
// there at its start exactly once. The error is ErrCursor for a cursor of another query.
func (r *Reader) List(ctx context.Context, q Query) (Page, error) {
	key, err := r.keys.CursorKey(ctx)
	if err != nil {
		return Page{}, err
	}
	from := start(q.Window)
	if q.Cursor != "" {
		if from, err = decode(key, q.Cursor, q); err != nil {
			return Page{}, err
		}
	}
	page := Page{Window: from.window}
	err = store.InTenant(ctx, r.db, q.TenantID, func(tx pgx.Tx) error {
		args := pgx.NamedArgs{"tenant": q.TenantID, "from": from.window.From, "at": from.at, "id": from.id, "limit": q.Limit + 1}
		rows, err := tx.Query(ctx, list(pageOf(q.Filter, args), "")+`
			ORDER BY t.started_at DESC, t.trace_id DESC`, args)
		if err != nil {
			return fmt.Errorf("list traces: %w", err)
		}
		page.Items, err = pgx.CollectRows(rows, pgx.RowToStructByName[Trace])
		if err != nil {
			return fmt.Errorf("list traces: %w", err)
		}
		return nil
	})
	if err != nil {
		return Page{}, err
	}
	if len(page.Items) > q.Limit {
		page.Items = page.Items[:q.Limit]
		last := page.Items[q.Limit-1]
		id, err := uuid.Parse(last.ID)
		if err != nil {
			return Page{}, fmt.Errorf("list traces: id %q: %w", last.ID, err)
		}
		next, err := encode(key, position{window: from.window, at: last.StartedAt, id: id}, q)
		if err != nil {
			return Page{}, err
		}
		page.NextCursor = &next
	}
	for i := range page.Items {
		page.Items[i].StartedAt = page.Items[i].StartedAt.UTC()
	}
	return page, nil
}

// model is what a trace's model is called.
const model = `coalesce(nullif(t.model_answered, ''), nullif(t.model_upstream, ''), t.model_requested)`

// list reads the traces that some makes, a SELECT of rows of traces, as lists show them,
// and more columns of theirs. All of them started from @from to @at.
func list(some, more string) string {
	return `
		SELECT t.trace_id::text AS id, t.started_at, t.outcome, t.http_status, t.error_class, t.endpoint,
		       ` + model + ` AS model, t.model_requested, t.provider, t.key_id, k.name AS key_name,
		       u.tokens_in, u.tokens_out, u.cached_tokens,
		       t.ttft_us AS ttft, t.duration_us AS latency, f.cost, coalesce(f.cost_status, 'pending') AS cost_status,
		       t.stream, jsonb_array_length(t.attempts) AS attempts, t.tags, t.session_id` + more + `
		FROM (` + some + `) t
		LEFT JOIN usage_facts f ON f.tenant_id = @tenant AND f.started_at = t.started_at AND f.trace_id = t.trace_id
		      AND f.started_at >= @from AND f.started_at <= @at
		LEFT JOIN LATERAL (
		    SELECT f.input_uncached + f.cache_read + f.cache_write + f.cache_write_1h AS tokens_in,
		           f.output AS tokens_out, f.cache_read AS cached_tokens
		    WHERE f.cost_status <> 'no_usage' AND f.unpriced_why <> 'usage_unreadable'
		) u ON true
		LEFT JOIN api_keys k ON k.id = t.key_id`
}

// place is where a page goes on.
const place = `tenant_id = @tenant AND started_at >= @from AND started_at <= @at AND (started_at, trace_id) < (@at, @id)`

// pageOf makes the rows of a page. What only the ledger knows is looked for there.
func pageOf(f query.Filter, args pgx.NamedArgs) string {
	if !f.OfLedger() {
		return `SELECT * FROM traces WHERE ` + place + f.Where(query.Traces, args) + `
			ORDER BY started_at DESC, trace_id DESC LIMIT @limit`
	}
	return `SELECT t.* FROM (SELECT started_at, trace_id FROM usage_facts WHERE ` + place + f.Where(query.Ledger, args) + `) f
			JOIN traces t ON t.tenant_id = @tenant AND t.started_at = f.started_at AND t.trace_id = f.trace_id
			     AND t.started_at >= @from AND t.started_at <= @at
			ORDER BY f.started_at DESC, f.trace_id DESC LIMIT @limit`
}
