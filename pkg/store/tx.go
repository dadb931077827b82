package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Beginner starts transactions: a *pgxpool.Pool, a *pgx.Conn, or a pgx.Tx,
// whose transaction within is a savepoint.
type Beginner interface {
	Begin(ctx context.Context) (pgx.Tx, error)
}

// InTx runs fn in a transaction: committed when fn returns nil, else rolled
// back. It runs fn once; after [ErrRetryable] the caller may call it again.
func InTx(ctx context.Context, db Beginner, fn func(pgx.Tx) error) error {
	return Wrap(pgx.BeginFunc(ctx, db, fn))
}

// InTenant is InTx with the setting loom.tenant at tenantID for the length of
// the transaction: row-level security then shows that tenant's rows only. Statements
// are not compiled in it: over many partitions that takes longer than to run them.
func InTenant(ctx context.Context, db Beginner, tenantID string, fn func(pgx.Tx) error) error {
	if tenantID == "" {
		return errors.New("transaction of a tenant without a tenant ID")
	}
	return InTx(ctx, db, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT set_config('loom.tenant', $1, true), set_config('jit', 'off', true)`, tenantID); err != nil {
			return fmt.Errorf("set tenant: %w", err)
		}
		return fn(tx)
	})
}
