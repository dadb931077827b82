package verify

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// givenUp counts what the database has lost and nobody has any more.
func (r *Report) givenUp(ctx context.Context, tx pgx.Tx) error {
	err := tx.QueryRow(ctx, `
		SELECT coalesce(sum(upper(gap) - lower(gap)), 0)::bigint
		FROM producers, unnest(given_up - recorded) AS gap`).Scan(&r.gone)
	if err != nil {
		return fmt.Errorf("count what is given up: %w", err)
	}
	return nil
}

// mourn says what is gone.
func (r *Report) mourn() {
	if r.gone > 0 {
		r.State = Missing
		r.find("producers", "The database has lost them, as after a failover to a replica that lagged or a restore from a backup, and neither the stream "+
			"nor the spool of their gateway has them. `producer_gaps` names them. Only a better copy of the database has their traces; start a gateway "+
			"with a copy of the spool's directory if there is one, and it sends what is in it.",
			"%d events are lost for good", r.gone)
	}
}
