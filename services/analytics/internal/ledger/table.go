package ledger

import (
	"fmt"
	"strings"
	"time"

	"loom.internal/pkg/store"
)

// table is where sums are kept.
type table struct {
	name   string
	grains []grain
	key    []keyColumn // its primary key
	rows   store.Rows[rollup]

	read   string // the rows of a time and, unless it is "", of a tenant
	upsert string // adds rows to those that are there
	remove string // the row of a key
}

// grain is the length of a bucket of time. Each divides a day, so that no bucket reaches
// over midnight UTC.
type grain struct {
	name   string
	length time.Duration
}

// The tables of sums: of all requests, and of those with a tag, once for each tag.
var (
	rollupTable = newTable("rollups", []grain{{"minute", time.Minute}, {"hour", time.Hour}, {"day", 24 * time.Hour}})
	tagTable    = newTable("tag_rollups", []grain{{"hour", time.Hour}, {"day", 24 * time.Hour}},
		textColumn("tag", func(k *key) *string { return &k.tag }), textColumn("value", func(k *key) *string { return &k.value }))
	tables = []*table{rollupTable, tagTable}
)

// keyColumn is a column of the primary key.
type keyColumn struct {
	name             string
	selected, wanted string // as it is read, and what it is compared with: a verb for the parameter's number
	column           store.Column[rollup]
	part             func(*key) any // where a key holds it
}

func textColumn(name string, part func(*key) *string) keyColumn {
	return keyColumn{
		name: name, selected: name, wanted: "$%d", part: func(k *key) any { return part(k) },
		column: store.Col(name, "text", func(r rollup) string { return *part(&r.key) }),
	}
}

func newTable(name string, grains []grain, more ...keyColumn) *table {
	bucket := keyColumn{
		name: "bucket", selected: "extract(epoch FROM bucket)::bigint", wanted: "to_timestamp($%d::bigint)",
		part:   func(k *key) any { return &k.bucket },
		column: store.Col("bucket", "timestamptz", func(r rollup) time.Time { return r.start() }),
	}
	t := &table{name: name, grains: grains, key: append([]keyColumn{
		textColumn("tenant_id", func(k *key) *string { return &k.tenant }),
		textColumn("grain", func(k *key) *string { return &k.grain }),
		bucket,
		textColumn("key_id", func(k *key) *string { return &k.keyID }),
		textColumn("provider", func(k *key) *string { return &k.provider }),
		textColumn("model", func(k *key) *string { return &k.model }),
		textColumn("route", func(k *key) *string { return &k.route }),
		textColumn("outcome", func(k *key) *string { return &k.outcome }),
	}, more...)}
	var (
		columns                 []store.Column[rollup]
		names, selected, equals []string
	)
	for i, c := range t.key {
		columns = append(columns, c.column)
		names, selected = append(names, c.name), append(selected, c.selected)
		equals = append(equals, c.name+" = "+fmt.Sprintf(c.wanted, i+1))
	}
	for _, m := range measures {
		columns = append(columns, store.TextCol(m.name, m.sqlType, func(r rollup) string { return m.text(r.sums) }))
		selected = append(selected, m.name+"::text")
	}
	t.rows = store.NewRows(columns...)
	t.read = `SELECT ` + strings.Join(selected, ", ") + ` FROM ` + name + ` WHERE bucket >= $1 AND bucket < $2 AND ($3 = '' OR tenant_id = $3)`
	t.upsert = t.rows.Insert(name) + `ON CONFLICT (` + strings.Join(names, ", ") + `) DO UPDATE SET ` + additions(name)
	t.remove = `DELETE FROM ` + name + ` WHERE ` + strings.Join(equals, " AND ")
	return t
}

// additions is the SET list that adds a new row to the one that is there.
func additions(name string) string {
	set := make([]string, len(measures))
	for i, m := range measures {
		set[i] = fmt.Sprintf("%s = %s.%[1]s + EXCLUDED.%[1]s", m.name, name)
		if m.sqlType == "bigint[]" {
			set[i] = fmt.Sprintf("%s = hist_add(%s.%[1]s, EXCLUDED.%[1]s)", m.name, name)
		}
	}
	return strings.Join(set, ", ")
}

// parts are where k holds the columns of the table's key.
func (t *table) parts(k *key) []any {
	all := make([]any, len(t.key))
	for i, c := range t.key {
		all[i] = c.part(k)
	}
	return all
}
