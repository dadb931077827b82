package analytics

import (
	"errors"
	"fmt"
	"time"

	"loom.internal/pkg/config"
)

// Prefix of the variables Config is read from.
const Prefix = "LOOM_ANALYTICS"

// Config are the settings of analytics.
type Config struct {
	NATSURL        config.Secret `envconfig:"NATS_URL" default:"nats://127.0.0.1:4222" desc:"Address of NATS, such as nats://analytics:password@nats:4222."`
	DatabaseURL    config.Secret `split_words:"true" desc:"Postgres, as the role loom_analytics."`
	OpsAddr        string        `split_words:"true" desc:"Address that serves /metrics, /healthz and /readyz; empty for none."`
	ReconcileEvery time.Duration `split_words:"true" default:"24h" desc:"How often the rollups of the last 31 days are compared with the ledger, from some minutes after the start; 0 for never."`
	LogLevel       string        `split_words:"true" default:"info" desc:"debug, info, warn or error."`
	LogFormat      string        `split_words:"true" default:"json" desc:"json or text."`
}

// Validate reports every setting that is missing, joined.
func (c *Config) Validate() error {
	var errs []error
	if c.NATSURL == "" {
		errs = append(errs, errors.New(Prefix+"_NATS_URL is empty: give the address of NATS, such as nats://127.0.0.1:4222"))
	}
	if c.DatabaseURL == "" {
		errs = append(errs, errors.New(Prefix+"_DATABASE_URL is missing: give a postgres:// URL for the role loom_analytics"))
	}
	if c.ReconcileEvery < 0 {
		errs = append(errs, fmt.Errorf(Prefix+"_RECONCILE_EVERY %s: give 0 for never, or a duration such as 24h", c.ReconcileEvery))
	}
	return errors.Join(errs...)
}
