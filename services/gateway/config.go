package gateway

import (
	"errors"
	"fmt"
	"net"
	"time"

	"loom.internal/pkg/config"
	"loom.internal/pkg/envelope"
	"loom.internal/pkg/event"
	"loom.internal/services/gateway/internal/record"
	"loom.internal/services/gateway/internal/spool"
)

// Prefix of the variables that Config is loaded from.
const Prefix = "LOOM_GATEWAY"

// Config of the gateway. Sizes are in bytes.
type Config struct {
	Addr      string `default:"127.0.0.1:8080" desc:"Address the API is served on"`
	OpsAddr   string `split_words:"true" desc:"Address of /metrics, /healthz and /readyz; empty turns it off"`
	LogLevel  string `split_words:"true" default:"info" desc:"debug, info, warn or error"`
	LogFormat string `split_words:"true" default:"json" desc:"json or text"`

	NATSURL    config.Secret          `envconfig:"NATS_URL" default:"nats://127.0.0.1:4222" desc:"Where NATS is, such as nats://gateway:password@nats:4222"`
	MasterKey  config.VersionedSecret `envconfig:"ENCRYPTION_MASTER_KEY" global:"true" desc:"32 random bytes as hex or base64, of each version: unwraps the data keys of tenants and the secrets of providers"`
	Drain      time.Duration          `default:"10s" desc:"How long open requests, and then publishing, may take at the end"`
	DrainDelay time.Duration          `split_words:"true" default:"0s" desc:"How long requests are still taken at the end while /readyz says no: longer than a balancer needs to learn of it"`

	AllowPrivateUpstreams bool          `split_words:"true" desc:"Let providers be on loopback and private networks, and use plain http"`
	ConnectTimeout        time.Duration `split_words:"true" default:"10s" desc:"To connect to a provider"`
	HeaderTimeout         time.Duration `split_words:"true" default:"10m" desc:"For a provider to begin its answer"`
	IdleTimeout           time.Duration `split_words:"true" default:"5m" desc:"For a provider to send the next bytes"`
	WriteTimeout          time.Duration `split_words:"true" default:"1m" desc:"For a client to take what it was sent"`
	BodyTimeout           time.Duration `split_words:"true" default:"2m" desc:"For a client to send its request"`
	MaxBody               int64         `split_words:"true" default:"33554432" desc:"Of a request"`
	BodyMemory            int64         `split_words:"true" default:"1073741824" desc:"Of all requests being served; beyond it they are refused with 503"`

	CaptureLimit int `split_words:"true" default:"16777216" desc:"Of each body kept in a trace; what is longer is cut there. At most 16777216"`

	SpoolDir      string           `split_words:"true" default:"/var/lib/loom/spool" desc:"Directory in which gateways keep traces until Postgres has them, each in a directory of its own in it (gw-000, …); on a local disk that survives them, the same for all gateways of a host"`
	SpoolMaxBytes int64            `split_words:"true" default:"2147483648" desc:"Of all traces in the spool of one gateway; beyond it TRACE_POLICY decides"`
	Durability    spool.Durability `default:"process" desc:"What a trace survives once its answer is out: process (the death of every process) or power (the loss of power, at a sync of the disk a group)"`
	TracePolicy   record.Policy    `split_words:"true" default:"required" desc:"When a trace cannot be kept: required refuses the request with 503, best_effort serves and counts it. A disk that fails ends the gateway under either"`
	ResendAfter   time.Duration    `split_words:"true" default:"2m" desc:"Traces not confirmed by recorder and analytics for so long are sent again"`

	KeyCache    int           `split_words:"true" default:"10000" desc:"API keys kept in memory"`
	NegativeTTL time.Duration `split_words:"true" default:"5s" desc:"How long an unknown API key is refused without looking again"`
}

// minSpool has room for a few of the largest traces, with two bodies each.
func (c *Config) minSpool() int64 { return max(16<<20, 8*int64(c.CaptureLimit)) }

// ring is the master keys.
func (c *Config) ring() (*envelope.Ring, error) {
	ring, err := envelope.NewRing(c.MasterKey.Reveal())
	if err != nil {
		return nil, fmt.Errorf("ENCRYPTION_MASTER_KEY: %w", err)
	}
	return ring, nil
}

// Validate reports every fault, joined.
func (c *Config) Validate() error {
	var faults []error
	check := func(ok bool, name, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(Prefix+"_"+name+": "+format, args...))
		}
	}
	_, _, err := net.SplitHostPort(c.Addr)
	check(err == nil, "ADDR", "want host:port, got %q", c.Addr)
	if c.OpsAddr != "" {
		_, _, err = net.SplitHostPort(c.OpsAddr)
		check(err == nil, "OPS_ADDR", "want host:port or nothing, got %q", c.OpsAddr)
	}
	if _, err := c.ring(); err != nil {
		faults = append(faults, err)
	}
	check(c.NATSURL != "", "NATS_URL", "is empty")
	for _, d := range []struct {
		name string
		d    time.Duration
	}{
		{"DRAIN", c.Drain},
		{"CONNECT_TIMEOUT", c.ConnectTimeout},
		{"HEADER_TIMEOUT", c.HeaderTimeout},
		{"IDLE_TIMEOUT", c.IdleTimeout},
		{"WRITE_TIMEOUT", c.WriteTimeout},
		{"BODY_TIMEOUT", c.BodyTimeout},
		{"NEGATIVE_TTL", c.NegativeTTL},
		{"RESEND_AFTER", c.ResendAfter},
	} {
		check(d.d > 0, d.name, "must be over 0, got %s", d.d)
	}
	check(c.DrainDelay >= 0, "DRAIN_DELAY", "must be 0 or over, got %s", c.DrainDelay)
	check(c.MaxBody >= 1<<10, "MAX_BODY", "must be at least 1024, got %d", c.MaxBody)
	check(c.BodyMemory >= c.MaxBody, "BODY_MEMORY", "must be at least MAX_BODY, which is %d, got %d", c.MaxBody, c.BodyMemory)
	check(c.CaptureLimit >= 0 && c.CaptureLimit <= event.MaxBody, "CAPTURE_LIMIT", "must be 0 to %d, got %d", event.MaxBody, c.CaptureLimit)
	check(c.SpoolDir != "", "SPOOL_DIR", "is empty: name a directory that survives the process")
	check(c.SpoolMaxBytes >= c.minSpool(), "SPOOL_MAX_BYTES", "must be at least %d with this CAPTURE_LIMIT, got %d", c.minSpool(), c.SpoolMaxBytes)
	check(c.Durability == spool.Process || c.Durability == spool.Power, "DURABILITY", "want %s or %s, got %q", spool.Process, spool.Power, c.Durability)
	check(c.TracePolicy == record.Required || c.TracePolicy == record.BestEffort, "TRACE_POLICY", "want %s or %s, got %q", record.Required, record.BestEffort, c.TracePolicy)
	check(c.KeyCache >= 1, "KEY_CACHE", "must be at least 1, got %d", c.KeyCache)
	return errors.Join(faults...)
}
