package main

import (
	"os"

	"github.com/spf13/cobra"

	"loom.internal/cmd/loom/internal/up"
	"loom.internal/pkg/config"
	"loom.internal/pkg/telemetry"
)

func newUp() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Run all of Loom in this process",
		Long: `Run all of Loom in this process: gateway, recorder, analytics and dashboard, an
embedded NATS, and Postgres as a child. All data is in one directory.

The first start makes an admin key, a tenant "demo" with a key, and a provider that
answers without any account; the keys are in dev.env in the data directory. With
OPENAI_API_KEY in the environment, OpenAI's models are there too. Every flag is also
an environment variable.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := applyFlags(cmd); err != nil {
				return err
			}
			var s up.Settings
			if err := config.Load("LOOM", &s); err != nil {
				return err
			}
			log, err := telemetry.NewLogger(os.Stderr, s.LogLevel, s.LogFormat)
			if err != nil {
				return err
			}
			return up.Run(cmd.Context(), s, cmd.OutOrStdout(), log)
		},
	}
	settingFlag(cmd, "data-dir", ".loom", "directory of all data and keys")
	settingFlag(cmd, "gateway-addr", "127.0.0.1:8080", "where the gateway listens")
	settingFlag(cmd, "dashboard-addr", "127.0.0.1:8081", "where the dashboard and its API listen")
	settingFlag(cmd, "ops-addr", "", "where /metrics, /healthz and /readyz listen; off without it")
	settingFlag(cmd, "nats-addr", "", "where the embedded NATS listens; nowhere without it")
	settingFlag(cmd, "database-url", "", "a running Postgres to use, instead of a child; its role must own the database and be able to create roles")
	settingFlag(cmd, "pg-bin", "", "directory of initdb and postgres; searched for without it")
	settingFlag(cmd, "config", "", "manifest (loom.yaml) to apply at the start")
	settingFlag(cmd, "log-level", "warn", "debug, info, warn or error")
	settingFlag(cmd, "log-format", "text", "text or json")
	settingFlag(cmd, "drain", "1s", "how long open requests may go on after Ctrl-C")
	switchFlag(cmd, "gateway-allow-private-upstreams", "true", "let providers be on this machine or a private network")
	return cmd
}
