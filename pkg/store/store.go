// Package store opens Postgres, runs transactions, migrates the schema, and
// turns SQLSTATE codes into errors to branch on.
package store

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	defaultMaxConns = 10
	connectTimeout  = 5 * time.Second
	firstRetry      = 100 * time.Millisecond
	lastRetry       = 5 * time.Second
)

// Options of Open and New; the zero value will do.
type Options struct {
	MaxConns int32        // connections in the pool; 10 when 0
	Name     string       // application_name, as pg_stat_activity shows it
	Log      *slog.Logger // hears of every failed attempt to connect
	Report   func(error)  // called with the outcome of every attempt, nil on success: the place to set readiness
}

// New returns a pool that connects when it is first used. It does no I/O, so
// that a service can start while its database is away; see Wait. dsn is a
// postgres:// URL or key=value pairs.
func New(ctx context.Context, dsn string, opt Options) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("database URL: %w", err) // pgx masks the password
	}
	cfg.MaxConns = defaultMaxConns
	if opt.MaxConns > 0 {
		cfg.MaxConns = opt.MaxConns
	}
	cfg.MinConns, cfg.MinIdleConns = 0, 0
	cfg.MaxConnLifetime = time.Hour
	cfg.MaxConnLifetimeJitter = 10 * time.Minute
	cfg.MaxConnIdleTime = 5 * time.Minute
	cfg.HealthCheckPeriod = 30 * time.Second
	if cfg.ConnConfig.ConnectTimeout == 0 {
		cfg.ConnConfig.ConnectTimeout = connectTimeout
	}
	if opt.Name != "" {
		cfg.ConnConfig.RuntimeParams["application_name"] = opt.Name
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open pool: %w", err)
	}
	return pool, nil
}

// Open returns a pool whose database has answered. While it does not, Open
// tries again, until ctx ends.
func Open(ctx context.Context, dsn string, opt Options) (*pgxpool.Pool, error) {
	pool, err := New(ctx, dsn, opt)
	if err != nil {
		return nil, err
	}
	if err := Wait(ctx, pool, opt); err != nil {
		pool.Close()
		return nil, err
	}
	return pool, nil
}

// Wait returns when the database answers. Until then it tries again, after
// 0.1 s at first and 5 s at last, with a line to opt.Log each time. It gives up
// only when ctx ends: a server that starts up, a role or a database not yet
// made all come right in time, and each failure is logged as what it is.
func Wait(ctx context.Context, pool *pgxpool.Pool, opt Options) error {
	report := opt.Report
	if report == nil {
		report = func(error) {}
	}
	log := opt.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	var last error // the newest failure that says more than that ctx ended
	for attempt, delay := 1, firstRetry; ; attempt, delay = attempt+1, min(2*delay, lastRetry) {
		err := Wrap(ping(ctx, pool))
		report(err)
		if err == nil {
			return nil
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("wait for the database: %w: last attempt: %w", ctx.Err(), last)
		}
		log.WarnContext(ctx, "database not reachable, will try again",
			slog.Int("attempt", attempt), slog.Duration("in", delay), slog.Any("error", err))
		retry := time.NewTimer(delay)
		select {
		case <-retry.C:
		case <-ctx.Done():
			retry.Stop()
			return fmt.Errorf("wait for the database: %w: last attempt: %w", ctx.Err(), last)
		}
	}
}

func ping(ctx context.Context, pool *pgxpool.Pool) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	return pool.Ping(ctx)
}
