package up

import (
	"errors"
	"fmt"
	"net"
	"time"

	"loom.internal/pkg/config"
)

// Settings of Run. They are read with the prefix LOOM.
type Settings struct {
	DataDir       string                 `split_words:"true" default:".loom" desc:"directory of loom up: databases, streams, keys"`
	GatewayAddr   string                 `split_words:"true" default:"127.0.0.1:8080" desc:"where the gateway listens"`
	DashboardAddr string                 `split_words:"true" default:"127.0.0.1:8081" desc:"where the dashboard and its API listen"`
	OpsAddr       string                 `split_words:"true" desc:"where /metrics, /healthz and /readyz of all services listen; empty: nowhere"`
	NATSAddr      string                 `envconfig:"NATS_ADDR" desc:"where the embedded NATS listens; empty: nowhere, Loom itself needs no port for it"`
	DatabaseURL   config.Secret          `split_words:"true" desc:"a running Postgres to use instead of a child process: postgres://owner:password@host/database, whose owner may create roles; one Loom a server, as roles are the server's"`
	PGBin         string                 `envconfig:"PG_BIN" desc:"directory of initdb and postgres; empty: searched for"`
	Config        string                 `desc:"manifest (loom.yaml) to apply at the start"`
	MasterKey     config.VersionedSecret `envconfig:"ENCRYPTION_MASTER_KEY" global:"true" desc:"seals bodies and provider keys; version 1 may be in the data directory, where it is made if there is none at all"`
	OpenAIKey     config.Secret          `envconfig:"OPENAI_API_KEY" global:"true" desc:"if set, provider openai and routes to its models are made"`
	LogLevel      string                 `split_words:"true" default:"warn" desc:"debug, info, warn or error"`
	LogFormat     string                 `split_words:"true" default:"text" desc:"text or json"`
	Drain         time.Duration          `default:"1s" desc:"how long open requests may go on after Ctrl-C; a stop takes at most three times this and two seconds"`

	AllowPrivateUpstreams bool `envconfig:"GATEWAY_ALLOW_PRIVATE_UPSTREAMS" default:"true" desc:"let providers be on this machine or a private network"`
}

// Validate lists what is wrong with the settings.
func (s *Settings) Validate() error {
	var faults []error
	for _, a := range []struct{ addr, variable string }{
		{s.GatewayAddr, "LOOM_GATEWAY_ADDR"},
		{s.DashboardAddr, "LOOM_DASHBOARD_ADDR"},
		{s.OpsAddr, "LOOM_OPS_ADDR"},
		{s.NATSAddr, "LOOM_NATS_ADDR"},
	} {
		if a.addr == "" && a.variable != "LOOM_GATEWAY_ADDR" && a.variable != "LOOM_DASHBOARD_ADDR" {
			continue
		}
		if _, _, err := net.SplitHostPort(a.addr); err != nil {
			faults = append(faults, fmt.Errorf("%s %q: want host:port such as 127.0.0.1:8080", a.variable, a.addr))
		}
	}
	if s.DataDir == "" {
		faults = append(faults, errors.New("LOOM_DATA_DIR is empty: want a directory"))
	}
	if s.Drain <= 0 || s.Drain > time.Minute {
		faults = append(faults, fmt.Errorf("LOOM_DRAIN %v: want more than 0 and at most 1m", s.Drain))
	}
	return errors.Join(faults...)
}
