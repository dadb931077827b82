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
		rows, err := tx.Query(ctx, `
			SELECT t.trace_id::text AS id, t.started_at, t.outcome, t.http_status, t.error_class, t.endpoint,
			       t.model, t.model_requested, t.provider, t.key_id, k.name AS key_name,
			       u.tokens_in, u.tokens_out, u.cached_tokens,
			       t.ttft_us AS ttft, t.duration_us AS latency, f.cost, coalesce(f.cost_status, 'pending') AS cost_status,
			       t.stream, jsonb_array_length(t.attempts) AS attempts, t.tags
			FROM (
			    SELECT *, coalesce(nullif(model_answered, ''), nullif(model_upstream, ''), model_requested) AS model
			    FROM traces
			    WHERE tenant_id = @tenant AND started_at >= @from
			      AND started_at <= @at AND (started_at, trace_id) < (@at, @id)
			      AND (@models::text[] IS NULL OR
			           coalesce(nullif(model_answered, ''), nullif(model_upstream, ''), model_requested) = ANY (@models))
			      AND (@providers::text[] IS NULL OR provider = ANY (@providers))
			      AND (@keys::text[] IS NULL OR key_id = ANY (@keys))
			      AND (@outcomes::text[] IS NULL OR outcome = ANY (@outcomes))
			    ORDER BY started_at DESC, trace_id DESC
			    LIMIT @limit
			) t
			LEFT JOIN usage_facts f ON f.tenant_id = @tenant AND f.started_at = t.started_at AND f.trace_id = t.trace_id
			LEFT JOIN LATERAL (
			    SELECT f.input_uncached + f.cache_read + f.cache_write + f.cache_write_1h AS tokens_in,
			           f.output AS tokens_out, f.cache_read AS cached_tokens
			    WHERE f.cost_status <> 'no_usage' AND f.unpriced_why <> 'usage_unreadable'
			) u ON true
			LEFT JOIN api_keys k ON k.id = t.key_id
			ORDER BY t.started_at DESC, t.trace_id DESC`,
			pgx.NamedArgs{
				"tenant": q.TenantID, "from": from.window.From, "at": from.at, "id": from.id,
				"models": q.Filter.Models, "providers": q.Filter.Providers,
				"keys": q.Filter.Keys, "outcomes": q.Filter.Outcomes, "limit": q.Limit + 1,
			})
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
