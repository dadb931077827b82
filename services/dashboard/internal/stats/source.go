package stats

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"loom.internal/services/dashboard/internal/query"
)

// source is the requests of a window that fit a filter, as rows of sums and as rows of the
// ledger, which a statement adds up alike:
//
//	model, provider, key, outcome ──▶ rollups
//	the same and one tag ───────────▶ tag_rollups, and the ledger below an hour
//	anything else ──────────────────▶ the ledger
//
// Where it is split by a tag without a filter on that, requests without the tag are what
// all requests are more than those with it: these count as negative there.
type source struct {
	sums   []string // SELECTs of sumColumns
	ledger []string // SELECTs of rows of usage_facts, and value
	args   pgx.NamedArgs
}

// sumColumns are of rollups and of tag_rollups, beside the dimensions.
var sumColumns = []string{
	"requests", "unpriced", "no_usage", "input_uncached", "cache_read", "cache_write", "output", "reasoning", "cost", "duration_us",
	"duration_hist", "ttft_hist",
}

// dimensions of the rows of a source; value is that of the tag it is split by, or empty.
const dimensions = "key_id, provider, model, outcome"

// selection is what a source is made of.
type selection struct {
	tenantID string
	window   query.Window
	coarsest time.Duration // of what is read, as in segments
	filter   query.Filter
	tag      string // that values are told apart of; empty: none
	name     string // part of the names of its arguments, for statements of two sources
}

// onTag is the only tag that s has to do with; empty if there is none, or more than one.
func (s selection) onTag() (name string, ok bool) {
	switch tags := s.filter.Tags; {
	case len(tags) == 0:
		return s.tag, true
	case len(tags) == 1 && (s.tag == "" || s.tag == tags[0].Name):
		return tags[0].Name, true
	default:
		return "", false
	}
}

// byMinute reports whether s has sums of minutes to read, which only requests without a
// tag have.
func (s selection) byMinute() bool {
	tag, ok := s.onTag()
	return ok && tag == "" && s.filter.OfRollups()
}

func (s selection) source() source {
	out := source{args: pgx.NamedArgs{"tenant": s.tenantID, "errors": query.Errors()}}
	tag, one := s.onTag()
	if !one || !s.filter.OfRollups() {
		out.addLedger(s, "0", s.window.From, s.window.To)
		return out
	}
	for i, part := range segments(s.window, s.coarsest) {
		n := fmt.Sprint(i)
		switch {
		case tag == "":
			out.addSums(s, part, n, "rollups", query.Rollups, "''", false)
		case part.grain == "minute":
			out.addLedger(s, n, part.from, part.to)
		default:
			table := query.TagRollups(tag)
			out.args["tag"] = tag
			out.addSums(s, part, n, "tag_rollups", table, "value", false)
			if s.filter.Tags == nil {
				out.addSums(s, part, n, "rollups", query.Rollups, "''", false)
				out.addSums(s, part, n, "tag_rollups", table, "''", true)
			}
		}
	}
	return out
}

// addSums adds the sums in a part of the window, or takes them off.
func (o *source) addSums(s selection, part segment, n, from string, table query.Table, value string, minus bool) {
	columns := sumColumns
	if minus {
		columns = negative()
	}
	at := o.between(s, n, part.from, part.to)
	tag := ""
	if from == "tag_rollups" {
		tag = " AND tag = @tag"
	}
	o.sums = append(o.sums, fmt.Sprintf(`
SELECT bucket AS at, %s, %s AS value, %t AS minus, %s
FROM %s
WHERE tenant_id = @tenant AND grain = '%s'%s AND bucket >= @from%s AND bucket < @to%s%s`,
		dimensions, value, minus, strings.Join(columns, ", "), from, part.grain, tag, at, at, s.filter.Where(table, o.args)))
}

// addLedger adds the facts between two times.
func (o *source) addLedger(s selection, n string, from, to time.Time) {
	at := o.between(s, n, from, to)
	value := "''"
	if s.tag != "" {
		value = "coalesce(tags ->> @by_tag::text, '')"
		o.args["by_tag"] = s.tag
	}
	o.ledger = append(o.ledger, fmt.Sprintf(`
SELECT started_at AS at, %s, %s AS value, tags, duration_us, ttft_us, input_uncached, cache_read, cache_write, cache_write_1h, output, reasoning,
       cost, cost_status
FROM usage_facts
WHERE tenant_id = @tenant AND started_at >= @from%s AND started_at < @to%s%s`,
		dimensions, value, at, at, s.filter.Where(query.Ledger, o.args)))
}

// between puts two times into the arguments and returns the end of their names.
func (o *source) between(s selection, n string, from, to time.Time) string {
	at := s.name + n
	o.args["from"+at], o.args["to"+at] = from, to
	return at
}

// negative are sumColumns of what is to be taken off. Histograms say so in minus.
func negative() []string {
	columns := slices.Clone(sumColumns)
	for i, c := range columns {
		if !strings.HasSuffix(c, "_hist") {
			columns[i] = "-" + c + " AS " + c
		}
	}
	return columns
}

// measure is a sum: over rows of sums, over rows of the ledger, and over sums of both.
type measure struct{ name, sums, ledger, total string }

const (
	count = "coalesce(sum(%s), 0)::bigint"
	// costOf is null where there were requests and none could be priced.
	costOf = `CASE WHEN sum(unpriced) > 0 AND sum(requests) = sum(unpriced) + sum(no_usage) THEN NULL
	               ELSE coalesce(sum(cost), 0) END`
	// usd is an exact amount of dollars as text, of one in picodollars.
	usd = "trim_scale((%s) * 0.000000000001)::text"
)

var (
	requests  = measure{"requests", "sum(requests)", "count(*)", count}
	failed    = measure{"errors", "sum(requests) FILTER (WHERE outcome = ANY (@errors::text[]))", "count(*) FILTER (WHERE outcome = ANY (@errors::text[]))", count}
	canceled  = measure{"canceled", "sum(requests) FILTER (WHERE outcome = 'canceled')", "count(*) FILTER (WHERE outcome = 'canceled')", count}
	unpriced  = measure{"unpriced", "sum(unpriced)", "count(*) FILTER (WHERE cost_status = 'unpriced')", count}
	noUsage   = measure{"no_usage", "sum(no_usage)", "count(*) FILTER (WHERE cost_status = 'no_usage')", count}
	input     = measure{"input", "sum(input_uncached + cache_read + cache_write)", "sum(input_uncached + cache_read + cache_write + cache_write_1h)", count}
	cached    = measure{"cached", "sum(cache_read)", "sum(cache_read)", count}
	output    = measure{"output", "sum(output)", "sum(output)", count}
	reasoning = measure{"reasoning", "sum(reasoning)", "sum(reasoning)", count}
	duration  = measure{"duration", "sum(duration_us)", "sum(duration_us)", count}
	cost      = measure{"cost", "sum(cost)", "sum(cost)", fmt.Sprintf(usd, costOf)}

	// Histograms are in the form of array_send, one after the other: the cheapest way out. A
	// mark is before those to be taken off.
	latency = measure{"latency", "string_agg(CASE WHEN minus THEN '\\xffffffff'::bytea || array_send(duration_hist) ELSE array_send(duration_hist) END, '')", "array_send(ARRAY[duration_bucket, count(*)])", "string_agg(%s, '')"}
	ttft    = measure{"ttft", "string_agg(CASE WHEN minus THEN '\\xffffffff'::bytea || array_send(ttft_hist) ELSE array_send(ttft_hist) END, '')", "array_send(ARRAY[ttft_bucket, count(*)])", "string_agg(%s, '')"}
)

// buckets are the columns of the ledger's rows that histograms count, by measure.
var buckets = map[string]string{"latency": "duration_bucket", "ttft": "ttft_bucket"}

// totals are the columns of ms over rows that grouped has made.
func totals(ms []measure) string {
	var b strings.Builder
	for i, m := range ms {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(strings.ReplaceAll(m.total, "%s", m.name) + " AS " + m.name)
	}
	return b.String()
}

// grouped is a SELECT of measures by dims, expressions over the rows of a source that have
// a name. What belongs together may come in several rows.
func (o *source) grouped(dims []string, ms []measure) string {
	var names []string
	for _, d := range dims {
		names = append(names, d[strings.LastIndex(d, " ")+1:])
	}
	by := strings.Join(names, ", ")
	var parts []string
	if len(o.sums) > 0 {
		columns := make([]string, len(ms))
		for i, m := range ms {
			columns[i] = m.sums + " AS " + m.name
		}
		parts = append(parts, fmt.Sprintf("SELECT %s, %s FROM (%s\n) r GROUP BY %s",
			strings.Join(dims, ", "), strings.Join(columns, ", "), strings.Join(o.sums, "\nUNION ALL"), by))
	}
	if len(o.ledger) > 0 {
		parts = append(parts, o.groupedLedger(dims, by, ms))
	}
	return strings.Join(parts, "\nUNION ALL\n")
}

// groupedLedger counts what histograms are asked for by bucket, in the same scan as sums.
func (o *source) groupedLedger(dims []string, by string, ms []measure) string {
	sets, hists := []string{"(" + by + ")"}, []string{}
	for _, m := range ms {
		if bucket, ok := buckets[m.name]; ok {
			sets, hists = append(sets, "("+by+", "+bucket+")"), append(hists, bucket)
		}
	}
	columns := make([]string, len(ms))
	for i, m := range ms {
		columns[i] = m.ledger
		if bucket, ok := buckets[m.name]; ok {
			columns[i] = fmt.Sprintf("CASE WHEN grouping(%s) = 0 AND %s IS NOT NULL THEN %s END", bucket, bucket, m.ledger)
		} else if len(hists) > 0 {
			columns[i] = fmt.Sprintf("CASE WHEN grouping(%s) = %d THEN %s END", strings.Join(hists, ", "), 1<<len(hists)-1, m.ledger)
		}
		columns[i] += " AS " + m.name
	}
	return fmt.Sprintf("SELECT %s, %s FROM (SELECT %s, outcome, cost_status, cost, input_uncached, cache_read, cache_write, cache_write_1h, output, reasoning, duration_us,\n"+
		"hist_bucket(duration_us) AS duration_bucket, hist_bucket(ttft_us) AS ttft_bucket FROM (%s\n) f) f GROUP BY GROUPING SETS (%s)",
		by, strings.Join(columns, ", "), strings.Join(dims, ", "), strings.Join(o.ledger, "\nUNION ALL"), strings.Join(sets, ", "))
}
