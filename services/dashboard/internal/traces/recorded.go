package traces

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"loom.internal/pkg/store"
	"loom.internal/services/dashboard/internal/query"
)

// lately is how long ago a trace that is recorded now may have started, to be seen by
// those who watch: it bounds where is looked.
const lately = 48 * time.Hour

// Recorded is a trace and when it was recorded.
type Recorded struct {
	Trace
	RecordedAt time.Time `json:"-"`
}

// Place is where a trace stands in the order of recording.
type Place struct {
	At time.Time
	ID uuid.UUID
}

// Place is that of r.
func (r *Recorded) Place() Place {
	id, _ := uuid.Parse(r.ID) // the database's own text of one
	return Place{At: r.RecordedAt, ID: id}
}

// String is the form that ParsePlace reads.
func (p Place) String() string { return strconv.FormatInt(p.At.UnixMicro(), 10) + "." + p.ID.String() }

// ParsePlace reads a place, as String writes it and in no other way.
func ParsePlace(text string) (Place, bool) {
	at, id, _ := strings.Cut(text, ".")
	us, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		return Place{}, false
	}
	var p Place
	if p.ID, err = uuid.Parse(id); err != nil {
		return Place{}, false
	}
	p.At = time.UnixMicro(us).UTC()
	return p, p.String() == text && us >= 0
}

// Now is the time by which traces are recorded.
func (r *Reader) Now(ctx context.Context) (now time.Time, err error) {
	if err := r.db.QueryRow(ctx, `SELECT now()`).Scan(&now); err != nil {
		return time.Time{}, fmt.Errorf("time of recording: %w", store.Wrap(err))
	}
	return now, nil
}

// Latest reads the traces of a tenant that were recorded from a time on, the oldest first;
// of more than limit those recorded last. It says up to when they are.
func (r *Reader) Latest(ctx context.Context, tenantID string, from time.Time, limit int) (all []Recorded, now time.Time, err error) {
	err = store.InTenant(ctx, r.db, tenantID, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, `SELECT now()`).Scan(&now); err != nil {
			return fmt.Errorf("time of recording: %w", err)
		}
		all, err = readRecorded(ctx, tx, `ORDER BY recorded_at DESC, trace_id DESC`,
			pgx.NamedArgs{"tenant": tenantID, "since": from, "id": uuid.UUID{}, "until": now.Add(lately), "limit": limit, "from": now.Add(-lately), "at": now.Add(lately)})
		return err
	})
	return all, now, err
}

// After reads the traces of a tenant that follow a place, up to a time, the oldest first.
func (r *Reader) After(ctx context.Context, tenantID string, place Place, until time.Time, limit int) (all []Recorded, err error) {
	err = store.InTenant(ctx, r.db, tenantID, func(tx pgx.Tx) error {
		all, err = readRecorded(ctx, tx, `ORDER BY recorded_at, trace_id`,
			pgx.NamedArgs{"tenant": tenantID, "since": place.At, "id": place.ID, "until": until, "limit": limit, "from": until.Add(-lately), "at": until.Add(lately)})
		return err
	})
	return all, err
}

func readRecorded(ctx context.Context, tx pgx.Tx, order string, args pgx.NamedArgs) ([]Recorded, error) {
	rows, err := tx.Query(ctx, list(`
		SELECT * FROM traces
		WHERE tenant_id = @tenant AND started_at >= @from AND started_at <= @at AND recorded_at >= @since AND recorded_at < @until
		  AND (recorded_at, trace_id) > (@since, @id)
		`+order+` LIMIT @limit`, ", t.recorded_at"), args)
	if err != nil {
		return nil, fmt.Errorf("recorded traces: %w", err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByName[Recorded])
	if err != nil {
		return nil, fmt.Errorf("recorded traces: %w", err)
	}
	for i := range all {
		all[i].StartedAt, all[i].RecordedAt = all[i].StartedAt.UTC(), all[i].RecordedAt.UTC()
	}
	slices.SortFunc(all, func(a, b Recorded) int {
		if c := a.RecordedAt.Compare(b.RecordedAt); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return all, nil
}

// Request is what a filter asks of a trace.
func (t *Trace) Request() query.Request {
	r := query.Request{
		Model: t.Model, Provider: t.Provider, Key: t.KeyID, Outcome: t.Outcome, Tags: t.Tags, Session: t.SessionID,
		HTTPStatus: t.HTTPStatus, CostStatus: t.CostStatus, Stream: t.Stream, Attempts: t.Attempts, Latency: int64(t.Latency),
		Cached: t.CachedTokens != nil && *t.CachedTokens > 0,
	}
	if t.Cost != nil {
		r.Cost = int64(*t.Cost)
	}
	return r
}
