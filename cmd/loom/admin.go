package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"loom.internal/cmd/loom/internal/client"
	"loom.internal/cmd/loom/internal/devenv"
	"loom.internal/pkg/config"
)

// adminSettings say where the admin API is and with which key to call it.
type adminSettings struct {
	DashboardURL string        `split_words:"true" desc:"dashboard to administer, for loom apply, tenant, key, verify and dead; the one of dev.env in LOOM_DATA_DIR when empty"`
	AdminKey     config.Secret `split_words:"true" desc:"admin key, for loom apply, tenant, key, verify and dead; the one of dev.env in LOOM_DATA_DIR when empty"`
	DataDir      string        `split_words:"true" default:".loom" desc:"directory of loom up, whose dev.env holds its keys"`
}

// adminFlags adds the flags of a command that calls the admin API.
func adminFlags(cmd *cobra.Command) {
	settingFlag(cmd, "dashboard-url", "", "dashboard to administer; without it, the one in dev.env")
	settingFlag(cmd, "data-dir", "", "directory of loom up, whose dev.env holds the address and the key")
}

// adminClient is for the dashboard the command line and environment name, else for the
// one that loom up runs from the data directory.
func adminClient(cmd *cobra.Command) (*client.Client, error) {
	if err := applyFlags(cmd); err != nil {
		return nil, err
	}
	var s adminSettings
	if err := config.Load("LOOM", &s); err != nil {
		return nil, err
	}
	env, err := devenv.Read(s.DataDir)
	if err != nil {
		return nil, err
	}
	url, key := s.DashboardURL, s.AdminKey.Reveal()
	if url == "" {
		url = env.DashboardURL
	}
	if url == "" {
		return nil, fmt.Errorf("no dashboard to talk to: set --dashboard-url or LOOM_DASHBOARD_URL, or start `loom up` (there is no %s)", devenv.Path(s.DataDir))
	}
	if key == "" && url == env.DashboardURL { // a key goes only to the dashboard it is for
		key = env.AdminKey
	}
	if key == "" {
		return nil, errors.New("no admin key: set LOOM_ADMIN_KEY (loom up writes it to dev.env in its data directory)")
	}
	return client.New(url, key)
}
