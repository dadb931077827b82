package seed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"loom.internal/bench/internal/traffic"
	"loom.internal/pkg/event"
	"loom.internal/pkg/pricing"
)

// asOwner lets the owner of the tables see and write rows, which row security forbids
// otherwise; see the migrations.
const asOwner = `SET loom.replay = 'on'`

const (
	chunkRows  = 1000
	chunksKept = 4                      // on their way to a table
	arrival    = 800 * time.Millisecond // from a request's end to its row
)

// ErrFilled is of a database that has traffic of these tenants: sums are only made whole.
var ErrFilled = errors.New("the database has traffic of these tenants already: take an empty one")

// Write puts the traffic into the tables of recorder and analytics, as they would hold it.
// dsn is the database as its owner. Whoever reads meanwhile sees nothing of it until all
// is there. What it holds in memory does not grow with the count.
func Write(ctx context.Context, dsn string, o traffic.Options, progress func(int)) error {
	if dsn == "" {
		return errors.New("this Loom has no database of its own: say which with -database")
	}
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, asOwner); err != nil {
		return err
	}
	var filled bool
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM rollups WHERE tenant_id = ANY ($1))`, traffic.Tenants()).Scan(&filled); err != nil {
		return fmt.Errorf("look into rollups: %w", err)
	}
	if filled {
		return ErrFilled
	}
	from := o.Until.UTC().AddDate(0, 0, -o.Days)
	if _, err := conn.Exec(ctx, `SELECT loom_ensure_partitions($1::date, $2)`, from, o.Days+1); err != nil {
		return fmt.Errorf("make partitions: %w", err)
	}
	book, err := readBook(ctx, conn)
	if err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	tables := make(map[string]*table)
	for name, columns := range columnsOf {
		t := &table{name: name, columns: columns, chunks: make(chan [][]any, chunksKept)}
		tables[name] = t
		g.Go(func() error { return t.copy(gctx, dsn) })
	}
	g.Go(func() error { return fill(gctx, o, book, tables, progress) })
	if err := g.Wait(); err != nil {
		return err
	}
	g, gctx = errgroup.WithContext(ctx)
	for name := range tables {
		g.Go(func() error { return analyze(gctx, dsn, name) })
	}
	return g.Wait()
}

// analyze has the planner know a table: there are partitions that nobody has looked at.
func analyze(ctx context.Context, dsn, table string) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, `ANALYZE `+pgx.Identifier{table}.Sanitize()); err != nil {
		return fmt.Errorf("analyze %s: %w", table, err)
	}
	return nil
}

// fill makes the rows of all tables.
func fill(ctx context.Context, o traffic.Options, book *pricing.Book, tables map[string]*table, progress func(int)) error {
	life := time.Now().Unix()
	s, texts, n := newSums(tables), make(tagTexts), 0
	for r := range traffic.Make(o) {
		n++
		r.Producer = &event.Producer{Id: "seed-facts", Epoch: uint64(life), Seq: uint64(n)} //nolint:gosec // neither is negative
		f := newFact(r.TraceEvent, book)
		f.tags = texts.of(r)
		if err := errors.Join(tables["traces"].add(ctx, f.trace()), tables["usage_facts"].add(ctx, f.row()), s.add(ctx, f)); err != nil {
			return err
		}
		if n%10_000 == 0 {
			progress(n)
		}
	}
	if err := s.end(ctx); err != nil {
		return err
	}
	for _, t := range tables {
		if err := t.flush(ctx); err != nil {
			return err
		}
	}
	for _, t := range tables { // only now is what is there to be kept
		close(t.chunks)
	}
	progress(n)
	return nil
}

// table is one that rows are copied into, in chunks and in the order they come.
type table struct {
	name    string
	columns []string
	rows    [][]any // the chunk that is not full
	chunks  chan [][]any
}

func (t *table) add(ctx context.Context, row []any) error {
	if t.rows = append(t.rows, row); len(t.rows) < chunkRows {
		return nil
	}
	return t.flush(ctx)
}

func (t *table) flush(ctx context.Context) error {
	select {
	case t.chunks <- t.rows:
		t.rows = make([][]any, 0, chunkRows)
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// copy copies what comes, until there is no more.
func (t *table) copy(ctx context.Context, dsn string) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, asOwner); err != nil {
		return err
	}
	var chunk [][]any
	_, err = conn.CopyFrom(ctx, pgx.Identifier{t.name}, t.columns, pgx.CopyFromFunc(func() ([]any, error) {
		for len(chunk) == 0 {
			var ok bool
			select {
			case chunk, ok = <-t.chunks:
				if !ok {
					return nil, nil
				}
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		}
		row := chunk[0]
		chunk = chunk[1:]
		return row, nil
	}))
	if err != nil {
		return fmt.Errorf("copy into %s: %w", t.name, err)
	}
	return nil
}

var columnsOf = map[string][]string{
	"traces": {
		"tenant_id", "started_at", "trace_id", "key_id", "endpoint", "route", "model_requested", "model_upstream", "model_answered", "provider",
		"provider_kind", "stream", "outcome", "http_status", "error_class", "duration_us", "ttft_us", "gap_p50_us", "gap_p99_us", "request_bytes",
		"response_bytes", "chunks", "finish_reasons", "tool_names", "usage_raw", "usage_source", "service_tier", "region", "tags", "end_user",
		"session_id", "content_mode", "attempts", "producer_id", "producer_epoch", "producer_seq", "recorded_at",
	},
	"usage_facts": {
		"tenant_id", "started_at", "trace_id", "key_id", "route", "endpoint", "provider", "provider_kind", "model", "outcome", "http_status", "stream",
		"duration_us", "ttft_us", "usage_source", "input_uncached", "cache_read", "cache_write", "cache_write_1h", "output", "reasoning", "cost",
		"cost_status", "unpriced_why", "price_version", "accounted_at", "tags", "session_id", "attempts",
	},
	"rollups":     append([]string{"tenant_id", "grain", "bucket", "key_id", "provider", "model", "route", "outcome"}, measures...),
	"tag_rollups": append([]string{"tenant_id", "grain", "bucket", "key_id", "provider", "model", "route", "outcome", "tag", "value"}, measures...),
}

// fact is a request, its usage and its cost, as analytics finds them.
type fact struct {
	*event.TraceEvent
	id           [16]byte
	usage        pricing.Usage
	cost         *int64
	status, why  string
	priceVersion string
	tags         string // as JSON
}

func newFact(e *event.TraceEvent, book *pricing.Book) *fact {
	f := &fact{TraceEvent: e, id: uuid.MustParse(e.GetTraceId()), status: "no_usage"}
	if len(e.GetUsageRaw()) == 0 {
		return f
	}
	f.status = "unpriced"
	usage, err := pricing.ParseUsage(e.GetUsageRaw())
	if err != nil {
		f.why = "usage_unreadable"
		return f
	}
	f.usage = usage
	price, ok := book.Lookup(pricing.Query{
		ProviderName: e.GetProvider(), ProviderKind: e.GetProviderKind(), ServiceTier: usage.ServiceTier, At: e.StartedAt(),
		Models: []string{e.GetModelAnswered(), e.GetModelUpstream(), e.GetModelRequested()},
	})
	if !ok {
		f.why = "no_price"
		return f
	}
	cost, err := pricing.Cost(usage, price)
	switch {
	case errors.Is(err, pricing.ErrOverflow):
		f.why = "overflow"
	case err != nil:
		f.why = "no_rate"
	default:
		f.status, f.cost, f.priceVersion = "priced", new(int64(cost)), price.Version
	}
	return f
}

// tagTexts are tags as JSON, by what they have in common: an app has few sets of them.
type tagTexts map[string]string

func (t tagTexts) of(r *traffic.Request) string {
	tags := r.GetTags()
	if len(tags) == 0 || tags[traffic.TagOdd] != "" {
		return r.TagsJSON()
	}
	id := r.GetKeyId() + " " + tags["feature"]
	text, ok := t[id]
	if !ok {
		text = r.TagsJSON()
		t[id] = text
	}
	return text
}

// stored is when the row is there.
func (f *fact) stored() time.Time {
	return f.StartedAt().Add(time.Duration(f.GetDurationUs())*time.Microsecond + arrival)
}

func (f *fact) trace() []any {
	var usage any
	if len(f.GetUsageRaw()) > 0 {
		usage = f.GetUsageRaw()
	}
	p := f.GetProducer()
	return []any{
		f.GetTenantId(), f.StartedAt(), f.id, f.GetKeyId(), f.GetEndpoint(), f.GetRoute(), f.GetModelRequested(), f.GetModelUpstream(),
		f.GetModelAnswered(), f.GetProvider(), f.GetProviderKind(), f.GetStream(), f.GetOutcome().Kind(), f.GetHttpStatus(), f.GetErrorClass(),
		f.GetDurationUs(), f.TtftUs, f.GapP50Us, f.GapP99Us, f.GetRequestBytes(), f.GetResponseBytes(), f.GetChunks(), list(f.GetFinishReasons()),
		list(f.GetToolNames()), usage, f.GetUsageSource().Name(), f.GetServiceTier(), f.GetRegion(), f.tags, f.GetEndUser(), f.GetSessionId(),
		f.GetContentMode().Name(), attempts(f.GetAttempts()), p.GetId(), int64(p.GetEpoch()), int64(p.GetSeq()), f.stored(), //nolint:gosec // small
	}
}

func (f *fact) row() []any {
	u := f.usage
	return []any{
		f.GetTenantId(), f.StartedAt(), f.id, f.GetKeyId(), f.GetRoute(), f.GetEndpoint(), f.GetProvider(), f.GetProviderKind(), f.Model(),
		f.GetOutcome().Kind(), f.GetHttpStatus(), f.GetStream(), f.GetDurationUs(), f.TtftUs, f.GetUsageSource().Name(), u.UncachedInput,
		u.CacheRead, u.CacheWrite, u.CacheWrite1h, u.Output, u.Reasoning, f.cost, f.status, f.why, f.priceVersion, f.stored(), f.tags,
		f.GetSessionId(), len(f.GetAttempts()),
	}
}

// list is never NULL.
func list(texts []string) []string {
	if texts == nil {
		return []string{}
	}
	return texts
}

func attempts(of []*event.Attempt) string {
	type attempt struct {
		Provider   string `json:"provider"`
		Model      string `json:"model"`
		Status     int32  `json:"status"`
		ErrorClass string `json:"error_class"`
		StartUs    int64  `json:"start_us"`
		DurationUs int64  `json:"duration_us"`
	}
	all := make([]attempt, len(of))
	for i, a := range of {
		all[i] = attempt{a.GetProvider(), a.GetModel(), a.GetStatus(), a.GetErrorClass(), a.GetStartUs(), a.GetDurationUs()}
	}
	text, err := json.Marshal(all)
	if err != nil {
		panic(err) // texts and numbers
	}
	return string(text)
}

// readBook is the prices as analytics has them.
func readBook(ctx context.Context, conn *pgx.Conn) (*pricing.Book, error) {
	rows, err := conn.Query(ctx, `SELECT provider, model, from_date, input, cached_input, cache_write, cache_write_1h, output, revision FROM prices`)
	if err != nil {
		return nil, fmt.Errorf("read prices: %w", err)
	}
	operator, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p pricing.Price, err error) {
		var revision int64
		err = row.Scan(&p.Provider, &p.Model, &p.From, &p.Input, &p.CachedInput, &p.CacheWrite, &p.CacheWrite1h, &p.Output, &revision)
		p.From, p.Source = p.From.UTC(), "operator"
		p.Version = fmt.Sprintf("operator-%d@%s", revision, p.From.Format(time.DateOnly))
		return p, err
	})
	if err != nil {
		return nil, fmt.Errorf("read prices: %w", err)
	}
	builtin, err := pricing.Builtin()
	if err != nil {
		return nil, err
	}
	return pricing.NewBook(builtin, operator)
}
