package oracle

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"loom.internal/bench/internal/ledger"
	"loom.internal/bench/internal/script"
)

// During is how clients fared who asked within a time.
type During struct {
	All      int
	Planned  int // were to get a whole answer
	Answered int // of those planned

	P50, P99             time.Duration // until the answer began, where the provider did not wait
	BeforeP50, BeforeP99 time.Duration // likewise, of those who asked before

	Examples []string // of those not answered, the first 20
}

// Meanwhile looks at the requests that began from and till.
func Meanwhile(lines []ledger.Line, from, till time.Time) During {
	var d During
	var meanwhile, before []time.Duration
	for i := range lines {
		l := &lines[i]
		planned := answers(l.Kind, l.Stream)
		switch {
		case l.At.Before(from):
			if prompt(l) {
				before = append(before, l.First)
			}
		case l.At.Before(till):
			d.All++
			if !planned {
				continue
			}
			d.Planned++
			if l.Answered() {
				d.Answered++
			} else if len(d.Examples) < maxExamples {
				d.Examples = append(d.Examples, fmt.Sprintf("%s: not answered: %s, status %d: %s", l.ID, l.Kind, l.Status, l.Fault))
			}
			if prompt(l) {
				meanwhile = append(meanwhile, l.First)
			}
		}
	}
	d.P50, d.P99 = percentiles(meanwhile)
	d.BeforeP50, d.BeforeP99 = percentiles(before)
	return d
}

// answers reports whether a client is to get a whole answer with its end.
func answers(k script.Kind, stream bool) bool {
	return whole(k) && k != script.Abandoned && (k != script.Endless || !stream)
}

// prompt reports whether the provider answered at once, and the client got it.
func prompt(l *ledger.Line) bool { return l.Kind == script.Answer && l.Status == 200 }

func percentiles(all []time.Duration) (p50, p99 time.Duration) {
	if len(all) == 0 {
		return 0, 0
	}
	slices.Sort(all)
	return all[len(all)/2], all[len(all)*99/100]
}

// Lacking is how many of the traces are not in both projections.
func Lacking(ctx context.Context, db *pgx.Conn, traces []string) (n int, err error) {
	err = db.QueryRow(ctx, `
		SELECT count(*) FROM unnest($1::uuid[]) AS told (id)
		WHERE NOT EXISTS (SELECT FROM traces WHERE trace_id = id) OR NOT EXISTS (SELECT FROM usage_facts WHERE trace_id = id)`, traces).Scan(&n)
	return n, err
}
