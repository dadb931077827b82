package verify

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// maxDifferences bounds what is listed of one day.
const maxDifferences = 10

// Difference is a rollup that is not what the ledger comes to. Counts and costs are
// null where there is no such row; where both are equal, another column differs.
type Difference struct {
	TenantID       string    `json:"tenant_id"`
	Grain          string    `json:"grain"` // minute, hour or day
	Bucket         time.Time `json:"bucket"`
	Tag            *string   `json:"tag"`   // of tag_rollups, else null
	Value          *string   `json:"value"` // likewise
	KeyID          string    `json:"key_id"`
	Provider       string    `json:"provider"`
	Model          string    `json:"model"`
	Route          string    `json:"route"`
	Outcome        string    `json:"outcome"`
	LedgerRequests *int64    `json:"ledger_requests"`
	RollupRequests *int64    `json:"rollup_requests"`
	LedgerCost     *string   `json:"ledger_cost"` // picodollars, decimal text
	RollupCost     *string   `json:"rollup_cost"`
}

//go:embed rollups.sql
var compareRollups string

// rollups compares the sums of a day with the ledger, in every column.
func (d *Day) rollups(ctx context.Context, tx pgx.Tx, day time.Time) error {
	args := pgx.NamedArgs{"from": day, "to": day.AddDate(0, 0, 1), "limit": maxDifferences}
	err := tx.QueryRow(ctx, `
		SELECT (SELECT count(*) FROM rollups WHERE bucket >= @from AND bucket < @to)
		     + (SELECT count(*) FROM tag_rollups WHERE bucket >= @from AND bucket < @to)`, args).Scan(&d.Rollups)
	if err != nil {
		return fmt.Errorf("count rollups: %w", err)
	}
	rows, err := tx.Query(ctx, compareRollups, args)
	if err != nil {
		return fmt.Errorf("compare rollups: %w", err)
	}
	d.Differences, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (f Difference, err error) {
		err = row.Scan(&d.WrongRollups, &f.TenantID, &f.Grain, &f.Bucket, &f.Tag, &f.Value, &f.KeyID, &f.Provider, &f.Model, &f.Route, &f.Outcome,
			&f.LedgerRequests, &f.RollupRequests, &f.LedgerCost, &f.RollupCost)
		f.Bucket = f.Bucket.UTC()
		return f, err
	})
	if err != nil {
		return fmt.Errorf("compare rollups: %w", err)
	}
	return nil
}
