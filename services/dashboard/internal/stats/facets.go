package stats

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"loom.internal/services/dashboard/internal/query"
)

// Bounds of facets.
const (
	maxValues   = 50 // of a dimension
	maxTagNames = 10
	maxLookedAt = 200 // names of tags that are looked at for the most frequent ones
)

// Facets are the values there are to filter by.
type Facets struct {
	query.Window
	Total  int64   `json:"total"` // requests that fit all of the filter
	Facets []Facet `json:"facets"`
}

// Facet is a dimension and its most frequent values.
type Facet struct {
	Dim    string  `json:"dim"` // one of Groups, or "tag:" and a name
	Values []Value `json:"values"`
	More   bool    `json:"more"` // there are further values
}

// Value is what a filter takes, and how many requests would fit.
type Value struct {
	Value    string `json:"value"`
	Label    string `json:"label"` // the value, but the name of an API key
	Requests int64  `json:"requests"`
}

// Facets counts the tenant's requests in the window by what they can be filtered by. For
// each dimension the filter holds without what it says of that dimension.
func (r *Reader) Facets(ctx context.Context, tenantID string, w query.Window, f query.Filter) (Facets, error) {
	out := Facets{Window: w.Minutes(), Facets: []Facet{}}
	s := selection{tenantID: tenantID, window: out.Window, filter: f, coarsest: day}
	err := r.read(ctx, tenantID, func(tx pgx.Tx) error {
		if err := out.dimensions(ctx, tx, s); err != nil {
			return err
		}
		return out.tags(ctx, tx, s)
	})
	if err != nil {
		return Facets{}, fmt.Errorf("facets: %w", err)
	}
	return out, nil
}

// dimensions reads those that every request has. Those the filter says nothing of are read
// together, and the total with them.
func (o *Facets) dimensions(ctx context.Context, tx pgx.Tx, s selection) error {
	var free []string
	found := map[string]Facet{}
	for _, dim := range Groups() {
		filter, asked := without(s.filter, dim)
		if !asked {
			free = append(free, dim)
			continue
		}
		all := s
		all.filter = filter
		facets, _, err := readFacets(ctx, tx, all, []string{dim})
		if err != nil {
			return err
		}
		found[dim] = facets[dim]
	}
	facets, total, err := readFacets(ctx, tx, s, free)
	if err != nil {
		return err
	}
	o.Total = total
	for _, dim := range Groups() {
		facet, ok := found[dim]
		if !ok {
			facet = facets[dim]
		}
		facet.Dim = dim
		if dim == "key" {
			if err := facet.label(ctx, tx); err != nil {
				return err
			}
		}
		o.add(facet)
	}
	return nil
}

// without is f without what it asks of a dimension, and whether that is anything.
func without(f query.Filter, dim string) (query.Filter, bool) {
	asked := map[string]*[]string{"model": &f.Models, "provider": &f.Providers, "key": &f.Keys, "outcome": &f.Outcomes}[dim]
	was := *asked
	*asked = nil
	return f, was != nil
}

func (o *Facets) add(f Facet) {
	if f.Values == nil {
		f.Values = []Value{}
	}
	o.Facets = append(o.Facets, f)
}

// label puts in the names of keys.
func (f *Facet) label(ctx context.Context, tx pgx.Tx) error {
	var ids []string
	for _, v := range f.Values {
		ids = append(ids, v.Value)
	}
	names, err := keyNames(ctx, tx, ids)
	if err != nil {
		return err
	}
	for i, v := range f.Values {
		if name, ok := names[v.Value]; ok {
			f.Values[i].Label = name
		}
	}
	return nil
}

// ranked counts what v has, rows of dim, value and requests, for the most frequent values.
const ranked = `
	SELECT dim, value, requests, values > @most AS more FROM (
	    SELECT *, row_number() OVER (PARTITION BY dim ORDER BY requests DESC, value) AS rank, count(*) OVER (PARTITION BY dim) AS values
	    FROM v WHERE requests > 0
	) r WHERE rank <= @most ORDER BY dim, rank`

// collect reads rows of ranked.
func collect(rows pgx.Rows) (map[string]Facet, error) {
	facets := map[string]Facet{}
	var (
		dim string
		v   Value
		f   Facet
	)
	_, err := pgx.ForEachRow(rows, []any{&dim, &v.Value, &v.Requests, &f.More}, func() error {
		v.Label = v.Value
		facets[dim] = Facet{Dim: dim, More: f.More, Values: append(facets[dim].Values, v)}
		return nil
	})
	return facets, err
}

// readFacets counts what s selects, in all and by each of dims.
func readFacets(ctx context.Context, tx pgx.Tx, s selection, dims []string) (map[string]Facet, int64, error) {
	src := s.source()
	src.args["most"] = maxValues
	grouped := []string{"0 AS nothing"}
	counts := []string{"SELECT '' AS dim, '' AS value, coalesce(sum(requests), 0)::bigint AS requests FROM g"}
	for _, dim := range dims {
		grouped = append(grouped, columns[dim]+" AS by_"+dim)
		counts = append(counts, fmt.Sprintf("SELECT '%s', by_%s, sum(requests)::bigint FROM g GROUP BY by_%s", dim, dim, dim))
	}
	rows, err := tx.Query(ctx, "WITH g AS MATERIALIZED ("+src.grouped(grouped, []measure{requests})+"), v AS (\n"+
		strings.Join(counts, "\nUNION ALL ")+")"+ranked, src.args)
	if err != nil {
		return nil, 0, fmt.Errorf("count by dimension: %w", err)
	}
	facets, err := collect(rows)
	if err != nil {
		return nil, 0, fmt.Errorf("count by dimension: %w", err)
	}
	total := int64(0)
	for _, v := range facets[""].Values {
		total = v.Requests
	}
	return facets, total, nil
}

// tags reads one facet for each name of a tag: those the filter has, and the most frequent.
func (o *Facets) tags(ctx context.Context, tx pgx.Tx, s selection) error {
	var all []Facet
	for _, tag := range s.filter.Tags {
		without := s
		without.filter = s.filter.WithoutTag(tag.Name)
		facet, err := readTag(ctx, tx, without, tag.Name)
		if err != nil {
			return err
		}
		all = append(all, facet)
	}
	others, err := readTags(ctx, tx, s, maxTagNames-len(all))
	if err != nil {
		return err
	}
	all = append(all, others...)
	slices.SortFunc(all, func(a, b Facet) int { return strings.Compare(a.Dim, b.Dim) })
	for _, f := range all {
		o.add(f)
	}
	return nil
}

// readTag counts the values of one tag.
func readTag(ctx context.Context, tx pgx.Tx, s selection, name string) (Facet, error) {
	key := s.split(tagged + name)
	src := s.source()
	src.args["most"] = maxValues
	rows, err := tx.Query(ctx, "WITH g AS ("+src.grouped([]string{key}, []measure{requests})+`), v AS (
		SELECT 'tag' AS dim, key AS value, sum(requests)::bigint AS requests FROM g WHERE key <> '' GROUP BY key)`+ranked, src.args)
	if err != nil {
		return Facet{}, fmt.Errorf("count by tag: %w", err)
	}
	facets, err := collect(rows)
	if err != nil {
		return Facet{}, fmt.Errorf("count by tag: %w", err)
	}
	facet := facets["tag"]
	facet.Dim = tagged + name
	return facet, nil
}

// readTags counts the values of the most frequent tags that the filter says nothing of,
// without those that no filter can name: it ends a name at its first colon.
func readTags(ctx context.Context, tx pgx.Tx, s selection, names int) ([]Facet, error) {
	if names <= 0 {
		return nil, nil
	}
	args := pgx.NamedArgs{"tenant": s.tenantID, "most": maxValues, "names": names, "look": maxLookedAt, "known": tagNames(s.filter)}
	rows, err := tx.Query(ctx, "WITH RECURSIVE "+s.everyTag(args)+`, names AS (
		    SELECT tag FROM t WHERE tag <> ALL (@known::text[]) AND position(':' IN tag) = 0 GROUP BY tag ORDER BY sum(requests) DESC, tag LIMIT @names
		), v AS (
		    SELECT tag AS dim, value, sum(requests)::bigint AS requests FROM t JOIN names USING (tag) GROUP BY tag, value
		)`+ranked, args)
	if err != nil {
		return nil, fmt.Errorf("count by tags: %w", err)
	}
	facets, err := collect(rows)
	if err != nil {
		return nil, fmt.Errorf("count by tags: %w", err)
	}
	var all []Facet
	for name, f := range facets {
		f.Dim = tagged + name
		all = append(all, f)
	}
	return all, nil
}

func tagNames(f query.Filter) []string {
	names := []string{}
	for _, t := range f.Tags {
		names = append(names, t.Name)
	}
	return names
}

// everyTag makes t, rows of tag, value and requests. In tag_rollups the names come first
// in the index, so they are looked up one after the other.
func (s selection) everyTag(args pgx.NamedArgs) string {
	if s.filter.Tags != nil || !s.filter.OfRollups() {
		return "t AS MATERIALIZED (" + s.tagsOfLedger("0", s.window.From, s.window.To, args) + ")"
	}
	var parts []string
	for i, part := range segments(s.window, s.coarsest) {
		n := fmt.Sprint(i)
		if part.grain == "minute" {
			parts = append(parts, s.tagsOfLedger(n, part.from, part.to, args))
			continue
		}
		args["from"+n], args["to"+n] = part.from, part.to
		parts = append(parts, fmt.Sprintf(`
		SELECT tag, r.value, r.requests
		FROM looked CROSS JOIN LATERAL (
		    SELECT value, sum(requests) AS requests FROM tag_rollups
		    WHERE tenant_id = @tenant AND grain = '%s' AND tag = looked.tag AND bucket >= @from%s AND bucket < @to%s%s
		    GROUP BY value
		) r`, part.grain, n, n, s.filter.Where(query.TagRollups(""), args)))
	}
	return `next AS (
		    (SELECT tag FROM tag_rollups WHERE tenant_id = @tenant AND grain = 'hour' ORDER BY tag LIMIT 1)
		    UNION ALL
		    SELECT (SELECT r.tag FROM tag_rollups r WHERE r.tenant_id = @tenant AND r.grain = 'hour' AND r.tag > next.tag ORDER BY r.tag LIMIT 1)
		    FROM next WHERE next.tag IS NOT NULL
		), looked AS (
		    SELECT tag FROM next WHERE tag IS NOT NULL LIMIT @look
		), t AS MATERIALIZED (` + strings.Join(parts, "\n\t\tUNION ALL") + ")"
}

func (s selection) tagsOfLedger(n string, from, to time.Time, args pgx.NamedArgs) string {
	args["from"+n], args["to"+n] = from, to
	return fmt.Sprintf(`
		SELECT pair.key AS tag, pair.value, count(*) AS requests
		FROM usage_facts CROSS JOIN LATERAL jsonb_each_text(tags) AS pair
		WHERE tenant_id = @tenant AND started_at >= @from%s AND started_at < @to%s%s
		GROUP BY 1, 2`, n, n, s.filter.Where(query.Ledger, args))
}
