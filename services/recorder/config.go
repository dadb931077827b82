package recorder

import (
	"errors"
	"fmt"
	"time"

	"loom.internal/pkg/config"
)

// Prefix of the variables Config is read from.
const Prefix = "LOOM_RECORDER"

// minRetention leaves yesterday alone: events come late.
const minRetention = 24 * time.Hour

// Config are the recorder's settings.
type Config struct {
	NATSURL     config.Secret `envconfig:"NATS_URL" default:"nats://127.0.0.1:4222" desc:"Address of NATS, such as nats://recorder:password@nats:4222."`
	DatabaseURL config.Secret `split_words:"true" desc:"Postgres, as the role loom_recorder."`
	Retention   time.Duration `default:"0s" desc:"How long traces and their bodies are kept, such as 720h, by whole days in UTC; 0 for ever. Usage facts and rollups stay. Of several recorders the shortest holds, and what is dropped is gone."`
	OpsAddr     string        `split_words:"true" desc:"Address that serves /metrics, /healthz and /readyz; empty for none."`
	LogLevel    string        `split_words:"true" default:"info" desc:"debug, info, warn or error."`
	LogFormat   string        `split_words:"true" default:"json" desc:"json or text."`
}

// Validate reports every setting that is missing, joined.
func (c *Config) Validate() error {
	var errs []error
	if c.NATSURL == "" {
		errs = append(errs, errors.New(Prefix+"_NATS_URL is empty: give the address of NATS, such as nats://127.0.0.1:4222"))
	}
	if c.DatabaseURL == "" {
		errs = append(errs, errors.New(Prefix+"_DATABASE_URL is missing: give a postgres:// URL for the role loom_recorder"))
	}
	if c.Retention != 0 && c.Retention < minRetention {
		errs = append(errs, fmt.Errorf(Prefix+"_RETENTION %s: give 0, which keeps traces for ever, or at least %s", c.Retention, minRetention))
	}
	return errors.Join(errs...)
}
