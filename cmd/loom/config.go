package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"loom.internal/cmd/loom/internal/up"
	"loom.internal/pkg/config"
	"loom.internal/services/analytics"
	"loom.internal/services/dashboard"
	"loom.internal/services/gateway"
	"loom.internal/services/recorder"
)

const configIntro = `# Configuration

Every setting is an environment variable. A secret may also come from a file: put its
path in the variable of the same name with ` + "`_FILE`" + ` at the end. ` + "`loom up`" + ` reads the
services' variables too, but decides itself how they reach Postgres and NATS, where
they listen, and where they log. Its own settings are also flags: ` + "`--gateway-addr`" + ` is
` + "`LOOM_GATEWAY_ADDR`" + `.

This file is what ` + "`loom config`" + ` prints.
`

func newConfig() *cobra.Command {
	return &cobra.Command{
		Use:   "config",
		Short: "Print every setting there is, as Markdown",
		Args:  args(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return writeReference(cmd.OutOrStdout()) },
	}
}

func writeReference(w io.Writer) error {
	if _, err := io.WriteString(w, configIntro); err != nil {
		return err
	}
	for _, part := range []struct {
		title, prefix string
		settings      any
	}{
		{"loom up", "LOOM", &up.Settings{}},
		{"loom apply, tenant, key, verify, dead", "LOOM", &adminSettings{}},
		{"loom replay", "LOOM", &replaySettings{}},
		{"loom migrate", migratePrefix, &migrateSettings{}},
		{"gateway", gateway.Prefix, &gateway.Config{}},
		{"recorder", recorder.Prefix, &recorder.Config{}},
		{"analytics", analytics.Prefix, &analytics.Config{}},
		{"dashboard", dashboard.Prefix, &dashboard.Config{}},
	} {
		if _, err := fmt.Fprintf(w, "\n## %s\n\n", part.title); err != nil {
			return err
		}
		if err := config.Reference(w, part.prefix, part.settings); err != nil {
			return err
		}
	}
	return nil
}
