package dashboard

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"

	"loom.internal/pkg/store"
)

// Pools makes the two pools of Deps, which connect when they are first used. Whoever
// calls it closes them.
func (c *Config) Pools(ctx context.Context) (db, adminDB *pgxpool.Pool, err error) {
	if db, err = store.New(ctx, c.DatabaseURL.Reveal(), store.Options{Name: "dashboard"}); err != nil {
		return nil, nil, err
	}
	if adminDB, err = store.New(ctx, c.AdminDatabaseURL.Reveal(), store.Options{Name: "dashboard-admin"}); err != nil {
		db.Close()
		return nil, nil, err
	}
	return db, adminDB, nil
}
