package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"loom.internal/migrations"
	"loom.internal/pkg/bus"
	"loom.internal/pkg/config"
	"loom.internal/pkg/store"
	"loom.internal/pkg/telemetry"
)

const (
	migratePrefix = "LOOM_MIGRATE"
	wrongPassword = "28P01" // SQLSTATE
)

// migrateSettings say what to bring to this version's schema.
type migrateSettings struct {
	DatabaseURL       config.Secret `split_words:"true" desc:"Postgres, as the owner of the database, who may create roles"`
	NATSURL           config.Secret `envconfig:"NATS_URL" desc:"NATS, as the user migrate, for the streams and buckets; empty: only the database"`
	NATSReplicas      int           `envconfig:"NATS_REPLICAS" default:"1" desc:"copies of every stream: 1, or 3 in a cluster"`
	RecorderPassword  config.Secret `split_words:"true" desc:"password to give the role loom_recorder; empty: stays"`
	AnalyticsPassword config.Secret `split_words:"true" desc:"password to give the role loom_analytics; empty: stays"`
	DashboardPassword config.Secret `split_words:"true" desc:"password to give the role loom_dashboard; empty: stays"`
	AdminPassword     config.Secret `split_words:"true" desc:"password to give the role loom_admin; empty: stays"`
	Patience          time.Duration `default:"60s" desc:"how long Postgres and NATS may take to answer"`
	LogLevel          string        `split_words:"true" default:"info" desc:"debug, info, warn or error"`
	LogFormat         string        `split_words:"true" default:"json" desc:"json or text"`
}

// Validate lists what is missing.
func (s *migrateSettings) Validate() error {
	var faults []error
	if s.DatabaseURL == "" && s.NATSURL == "" {
		faults = append(faults, errors.New("LOOM_MIGRATE_DATABASE_URL and LOOM_MIGRATE_NATS_URL are missing: give at least one"))
	}
	if s.NATSReplicas < 1 || s.NATSReplicas > 5 {
		faults = append(faults, errors.New("LOOM_MIGRATE_NATS_REPLICAS: between 1 and 5"))
	}
	return errors.Join(faults...)
}

func newMigrate() *cobra.Command {
	return &cobra.Command{
		Use:   "migrate",
		Short: "Bring the database, its roles and the streams to this version",
		Long: `Bring the database, its roles and the streams to this version. It may run again, and
several at once. Where things are comes from the environment; see loom config.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var s migrateSettings
			if err := config.Load(migratePrefix, &s); err != nil {
				return err
			}
			log, err := telemetry.NewLogger(os.Stderr, s.LogLevel, s.LogFormat)
			if err != nil {
				return err
			}
			if s.DatabaseURL != "" {
				if err := migrateDatabase(cmd.Context(), s, log); err != nil {
					return err
				}
			}
			if s.NATSURL != "" {
				return migrateStreams(cmd.Context(), s, log)
			}
			return nil
		},
	}
}

func migrateDatabase(ctx context.Context, s migrateSettings, log *slog.Logger) error {
	waiting, cancel := context.WithTimeout(ctx, s.Patience)
	defer cancel()
	db, err := store.Open(waiting, s.DatabaseURL.Reveal(), store.Options{MaxConns: 1, Name: "loom migrate", Log: log})
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok && refused.Code == wrongPassword {
		return fmt.Errorf("%w: the password in %s_DATABASE_URL is not that of this database: bring back the one it was made with", err, migratePrefix)
	}
	if err != nil {
		return err
	}
	defer db.Close()
	if err := store.Migrate(ctx, s.DatabaseURL.Reveal(), migrations.FS, log); err != nil {
		return err
	}
	passwords := make(map[string]string)
	for role, password := range map[string]config.Secret{
		"loom_recorder": s.RecorderPassword, "loom_analytics": s.AnalyticsPassword,
		"loom_dashboard": s.DashboardPassword, "loom_admin": s.AdminPassword,
	} {
		if password != "" {
			passwords[role] = password.Reveal()
		}
	}
	if err := store.SetRolePasswords(ctx, db, passwords); err != nil {
		return err
	}
	log.InfoContext(ctx, "the database is at this version", slog.Int("passwords_set", len(passwords)))
	return nil
}

func migrateStreams(ctx context.Context, s migrateSettings, log *slog.Logger) error {
	ctx, cancel := context.WithTimeout(ctx, s.Patience)
	defer cancel()
	nc, err := bus.Connect(s.NATSURL.Reveal(), "migrate", log)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	layout := bus.DefaultLayout()
	layout.Replicas = s.NATSReplicas
	if err := bus.EnsureRetry(ctx, js, layout, log); err != nil {
		return err
	}
	log.InfoContext(ctx, "the streams are at this version")
	return nil
}
