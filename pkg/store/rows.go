package store

import (
	"fmt"
	"strings"
)

// Rows sends values of type R to Postgres as one array a column, for statements that
// read them with unnest: one statement, whatever the number of rows.
type Rows[R any] struct{ columns []Column[R] }

// Column is one column of Rows; see [Col].
type Column[R any] struct {
	name, sent, want string
	gather           func([]R) any
}

// Col is the column name of type sqlType, which value reads from a row. value's type
// must be one that pgx encodes as sqlType, or a pointer to one where there may be NULL.
func Col[R, V any](name, sqlType string, value func(R) V) Column[R] {
	return Column[R]{name: name, sent: sqlType, want: sqlType, gather: func(rows []R) any {
		all := make([]V, len(rows))
		for i, r := range rows {
			all[i] = value(r)
		}
		return all
	}}
}

// TextCol is a column that goes over as text and is cast to sqlType by the server: for
// JSON, numeric, uuid, and for arrays, which unnest would flatten.
func TextCol[R, V any](name, sqlType string, value func(R) V) Column[R] {
	c := Col(name, "text", value)
	c.want = sqlType
	return c
}

// NewRows puts columns together, in the order of the statement's parameters.
func NewRows[R any](columns ...Column[R]) Rows[R] { return Rows[R]{columns} }

// Names lists the columns: "a, b".
func (r Rows[R]) Names() string {
	names := make([]string, len(r.columns))
	for i, c := range r.columns {
		names[i] = c.name
	}
	return strings.Join(names, ", ")
}

// Insert is "INSERT INTO table (…) SELECT … FROM unnest(…)" with the parameters $1 and
// on, to which the caller may append: ON CONFLICT, RETURNING. Rows are inserted in the
// order given.
func (r Rows[R]) Insert(table string) string {
	var wants, params []string
	for i, c := range r.columns {
		wants = append(wants, c.name+"::"+c.want)
		params = append(params, fmt.Sprintf("$%d::%s[]", i+1, c.sent))
	}
	return "INSERT INTO " + table + " (" + r.Names() + ")\nSELECT " + strings.Join(wants, ", ") +
		"\nFROM unnest(" + strings.Join(params, ", ") + ") WITH ORDINALITY AS rows (" + r.Names() + ", ordinality)\nORDER BY ordinality\n"
}

// Args are the parameters for rows, one array a column.
func (r Rows[R]) Args(rows []R) []any {
	args := make([]any, len(r.columns))
	for i, c := range r.columns {
		args[i] = c.gather(rows)
	}
	return args
}
