package dashboard

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"time"

	"loom.internal/pkg/config"
	"loom.internal/pkg/envelope"
)

// Prefix of the variables Config is read from.
const Prefix = "LOOM_DASHBOARD"

// Config are the dashboard's settings.
type Config struct {
	Addr             string                 `default:"127.0.0.1:8081" desc:"Address that serves the UI and the API."`
	OpsAddr          string                 `split_words:"true" desc:"Address that serves /metrics, /healthz and /readyz; empty for none."`
	NATSURL          config.Secret          `envconfig:"NATS_URL" default:"nats://127.0.0.1:4222" desc:"Address of NATS, such as nats://dashboard:password@nats:4222."`
	NATSReplicas     int                    `envconfig:"NATS_REPLICAS" default:"1" desc:"Copies of what is made again on a NATS that has lost its disk: the same as LOOM_MIGRATE_NATS_REPLICAS."`
	DatabaseURL      config.Secret          `split_words:"true" desc:"Postgres, as the role loom_dashboard."`
	AdminDatabaseURL config.Secret          `split_words:"true" desc:"Postgres, as the role loom_admin."`
	MasterKey        config.VersionedSecret `envconfig:"ENCRYPTION_MASTER_KEY" global:"true" desc:"32 random bytes as hex or base64, of each version: the same as the gateways'. The highest version wraps keys, all of them unwrap."`
	GatewayURL       string                 `split_words:"true" default:"http://127.0.0.1:8080" desc:"Where applications reach the gateway; the UI shows it."`
	PlaygroundURL    string                 `split_words:"true" desc:"Where the dashboard itself reaches a gateway, for its playground; empty: the same address."`
	BasePath         string                 `split_words:"true" desc:"What all paths start with, such as /loom; empty for none."`
	SecureCookies    bool                   `split_words:"true" desc:"Mark session cookies Secure always; without it, where the request came over https or a private proxy says so."`
	TrustProxy       bool                   `split_words:"true" desc:"Take the client's address from X-Forwarded-For where a private address sent it; for a reverse proxy in front."`
	KeyMaxAge        time.Duration          `split_words:"true" default:"720h" desc:"How long a tenant's bodies are sealed with the same data key."`
	Drain            time.Duration          `default:"10s" desc:"How long open requests may go on when the service stops."`
	DrainDelay       time.Duration          `split_words:"true" default:"0s" desc:"How long requests are still taken when the service stops, while /readyz says no: longer than a balancer needs to learn of it."`
	LogLevel         string                 `split_words:"true" default:"info" desc:"debug, info, warn or error."`
	LogFormat        string                 `split_words:"true" default:"json" desc:"json or text."`
}

var basePath = regexp.MustCompile(`^(/[A-Za-z0-9_-]+)*$`)

// ring is the master keys.
func (c *Config) ring() (*envelope.Ring, error) {
	ring, err := envelope.NewRing(c.MasterKey.Reveal())
	if err != nil {
		return nil, fmt.Errorf("ENCRYPTION_MASTER_KEY: %w", err)
	}
	return ring, nil
}

// Validate reports every setting that is missing or wrong, joined.
func (c *Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.Addr != "", Prefix+"_ADDR is empty: give an address such as 127.0.0.1:8081")
	check(c.NATSURL != "", Prefix+"_NATS_URL is empty: give the address of NATS, such as nats://127.0.0.1:4222")
	check(c.NATSReplicas >= 1 && c.NATSReplicas <= 5, Prefix+"_NATS_REPLICAS %d: between 1 and 5", c.NATSReplicas)
	check(c.DatabaseURL != "", Prefix+"_DATABASE_URL is missing: give a postgres:// URL for the role loom_dashboard")
	check(c.AdminDatabaseURL != "", Prefix+"_ADMIN_DATABASE_URL is missing: give a postgres:// URL for the role loom_admin")
	if _, err := c.ring(); err != nil {
		errs = append(errs, err)
	}
	check(isAddress(c.GatewayURL), Prefix+"_GATEWAY_URL must be an http:// or https:// address without a password")
	check(c.PlaygroundURL == "" || isAddress(c.PlaygroundURL), Prefix+"_PLAYGROUND_URL must be an http:// or https:// address without a password")
	check(basePath.MatchString(c.BasePath), Prefix+"_BASE_PATH %q: start with /, end without, such as /loom", c.BasePath)
	check(c.KeyMaxAge >= time.Hour, Prefix+"_KEY_MAX_AGE %s: must be at least 1h", c.KeyMaxAge)
	check(c.Drain > 0, Prefix+"_DRAIN %s: must be longer than 0", c.Drain)
	check(c.DrainDelay >= 0, Prefix+"_DRAIN_DELAY %s: must be 0 or longer", c.DrainDelay)
	return errors.Join(errs...)
}

func isAddress(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil
}
