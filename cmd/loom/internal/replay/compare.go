package replay

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"loom.internal/pkg/store"
)

// maxExamples is how many traces a comparison names.
const maxExamples = 5

// compare compares the shadow with the live tables, in scope. It is for the moment when all
// events that were in the stream at the run's beginning have been applied, and nothing has
// been carried over: then a live row from before the run that has no counterpart is one the
// stream has not, and a shadow row of an event up to the floor that has none is one the
// live table lacks. Both tables are compared as of one moment, day by day.
func (r *run) compare(ctx context.Context) ([]Comparison, error) {
	var all []Comparison
	for _, table := range r.opt.rows() {
		c := Comparison{Table: table}
		there, err := r.sh.live(ctx, []string{"traces", table})
		if err != nil {
			return nil, err
		}
		sql := ""
		if slices.Contains(there, table) && (stamped(table) != "" || slices.Contains(there, "traces")) {
			if sql, err = r.comparison(ctx, table); err != nil {
				return nil, err
			}
		}
		days, err := r.sh.days(ctx, table)
		if err != nil {
			return nil, err
		}
		for _, d := range days {
			if !r.opt.holdsDay(d) {
				continue
			}
			if err := c.day(ctx, r, sql, d); err != nil {
				return nil, fmt.Errorf("compare %s of %s: %w", table, d.Format(time.DateOnly), store.Wrap(err))
			}
		}
		all = append(all, c)
	}
	return all, nil
}

// day adds one UTC day. Without a query the live table is not there: all is new.
func (c *Comparison) day(ctx context.Context, r *run, sql string, d time.Time) error {
	args := pgx.NamedArgs{"from": d, "to": d.Add(day), "tenant": r.opt.Tenant, "began": r.st.Began, "floored": r.st.Floored, "examples": maxExamples}
	if sql == "" {
		var n int64
		err := r.sh.pool.QueryRow(ctx, `SELECT count(*) FROM `+c.Table+` WHERE started_at >= @from AND started_at < @to
			AND (@tenant = '' OR tenant_id = @tenant)`, args).Scan(&n)
		c.New += n
		c.OnlyNew += n
		return err
	}
	var (
		old, now, onlyOld, onlyNew, different int64
		oldCost, newCost                      string
		examples                              []string
	)
	err := r.sh.pool.QueryRow(ctx, sql, args).Scan(&old, &now, &onlyOld, &onlyNew, &different, &oldCost, &newCost, &examples)
	if err != nil {
		return err
	}
	c.Old += old
	c.New += now
	c.OnlyOld += onlyOld
	c.OnlyNew += onlyNew
	c.Different += different
	c.Examples = append(c.Examples, examples...)
	c.Examples = c.Examples[:min(len(c.Examples), maxExamples)]
	if c.Table == "usage_facts" {
		c.OldCost, c.NewCost = addText(c.OldCost, oldCost), addText(c.NewCost, newCost)
	}
	return nil
}

// comparison is the query for one day of a table. A body is compared by its length and by
// the digest that was sealed with it: to read all of them would take longer than the rest.
func (r *run) comparison(ctx context.Context, table string) (string, error) {
	columns, err := r.sh.columns(ctx, table)
	if err != nil {
		return "", err
	}
	var old, now []string
	for _, c := range columns {
		name := pgx.Identifier{c.Name}.Sanitize()
		form := "%s." + name
		switch {
		case c.Name == stamped(table):
			continue
		case c.Type == "json":
			form += "::text"
		case c.Type == "bytea" && strings.HasSuffix(c.Name, "_body"):
			form = "octet_length(" + form + ")"
		}
		old, now = append(old, fmt.Sprintf(form, "o")), append(now, fmt.Sprintf(form, "n"))
	}
	// When rows came: a body with its trace.
	from := func(schema string) string {
		rows := schema + "." + table + " AS r"
		stamp, more := "r."+stamped(table), ""
		if stamped(table) == "" {
			rows += " JOIN " + schema + ".traces AS t USING (tenant_id, started_at, trace_id)"
			stamp, more = "t.recorded_at", " AND t.started_at >= @from AND t.started_at < @to"
		}
		return `SELECT r.*, ` + stamp + ` AS came FROM ` + rows + `
			WHERE r.started_at >= @from AND r.started_at < @to AND (@tenant = '' OR r.tenant_id = @tenant)` + more
	}
	cost := "0"
	if table == "usage_facts" {
		cost = "%s.cost"
	}
	costOf := func(side string) string { return strings.ReplaceAll(cost, "%s", side) }
	return `
		WITH o AS (SELECT * FROM (` + from("public") + `) AS rows WHERE came <= @began),
		     n AS (` + from(schema) + `),
		both_sides AS (
			SELECT coalesce(o.trace_id, n.trace_id) AS trace_id, o.trace_id IS NOT NULL AS is_old, n.trace_id IS NOT NULL AS is_new,
			       (` + strings.Join(old, ", ") + `) IS DISTINCT FROM (` + strings.Join(now, ", ") + `) AS differs,
			       ` + costOf("o") + ` AS old_cost, ` + costOf("n") + ` AS new_cost
			FROM o FULL JOIN n ON n.tenant_id = o.tenant_id AND n.started_at = o.started_at AND n.trace_id = o.trace_id
			WHERE o.trace_id IS NOT NULL OR n.came < coalesce(@floored::timestamptz, 'infinity')
		)
		SELECT count(*) FILTER (WHERE is_old), count(*) FILTER (WHERE is_new),
		       count(*) FILTER (WHERE NOT is_new), count(*) FILTER (WHERE NOT is_old),
		       count(*) FILTER (WHERE is_old AND is_new AND differs),
		       coalesce(sum(old_cost) FILTER (WHERE is_old AND is_new), 0)::text, coalesce(sum(new_cost) FILTER (WHERE is_old AND is_new), 0)::text,
		       coalesce((array_agg(trace_id::text ORDER BY trace_id) FILTER (WHERE differs))[1:@examples::int], '{}')
		FROM both_sides`, nil
}
