package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"loom.internal/cmd/loom/internal/up"
	"loom.internal/pkg/bus"
	"loom.internal/pkg/config"
	"loom.internal/pkg/telemetry"
	"loom.internal/services/dashboard"
)

// Files of the folder of keys.
const (
	adminKeyFile = "admin_key"
	demoKeyFile  = "demo_key"
)

const bootstrapLong = `Make the first admin key, for a Loom that has none, and write it to the file admin_key of
--key-dir, which only this account can read. The key is stored nowhere else. Where there
is an admin key already, nothing is made, and that is no error.

It works with the dashboard's settings, LOOM_DASHBOARD_DATABASE_URL and the others: see
loom config. With --demo it also makes the provider, the models and the tenant that
answer without any account, and a key for the tenant in demo_key.`

// bootstrap is what the command line asks for.
type bootstrap struct {
	demo                     bool
	dir                      string
	dirShown, dashboardShown string // the same for whoever is outside this container
}

func newAdmin() *cobra.Command {
	return group(&cobra.Command{Use: "admin", Short: "Manage admin keys"}, newBootstrap())
}

func newBootstrap() *cobra.Command {
	var b bootstrap
	cmd := &cobra.Command{
		Use:   "bootstrap",
		Short: "Make the first admin key",
		Long:  bootstrapLong,
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if b.dir == "" {
				return &usageError{cmd.CommandPath(), errors.New("--key-dir is missing: want the directory to write the key to")}
			}
			return b.run(cmd.Context(), cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&b.dir, "key-dir", "", "directory to write keys to")
	cmd.Flags().BoolVar(&b.demo, "demo", false, "make the demo tenant, too")
	cmd.Flags().StringVar(&b.dirShown, "key-dir-shown", "", "how to call that directory in what is printed")
	cmd.Flags().StringVar(&b.dashboardShown, "dashboard-shown", "", "address of the dashboard in what is printed")
	return cmd
}

func (b bootstrap) run(ctx context.Context, out io.Writer) error {
	var cfg dashboard.Config
	if err := config.Load(dashboard.Prefix, &cfg); err != nil {
		return err
	}
	log, err := telemetry.NewLogger(os.Stderr, "warn", cfg.LogFormat)
	if err != nil {
		return err
	}
	db, admin, err := cfg.Pools(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	defer admin.Close()
	nc, err := bus.Connect(cfg.NATSURL.Reveal(), "dashboard bootstrap", log)
	if err != nil {
		return err
	}
	defer nc.Close()
	svc, err := dashboard.New(cfg, dashboard.Deps{ //nolint:contextcheck // it serves no requests
		Log: log, NATS: nc, DB: db, AdminDB: admin, Metrics: telemetry.NewRegistry(), Ready: new(telemetry.Readiness),
	})
	if err != nil {
		return err
	}
	made, err := b.adminKey(ctx, svc)
	if err != nil {
		return err
	}
	var demoKey string
	if made && b.demo {
		if demoKey, err = b.demoKey(ctx, svc); err != nil {
			return err
		}
	}
	_, err = io.WriteString(out, b.page(cfg.GatewayURL, made, demoKey))
	return err
}

// adminKey makes the first admin key. The file is there before the key is, so that none is
// made that cannot be written down.
func (b bootstrap) adminKey(ctx context.Context, svc *dashboard.Service) (made bool, err error) {
	f, err := os.CreateTemp(b.dir, ".admin_key-*") // mode 0600
	if err != nil {
		return false, fmt.Errorf("no key was made: %w", err)
	}
	key, made, err := svc.Bootstrap(ctx)
	if err != nil || !made {
		return false, errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	_, err = fmt.Fprintln(f, key)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return true, fmt.Errorf("write %s: %w", f.Name(), err)
	}
	path := filepath.Join(b.dir, adminKeyFile)
	// A key that is there is of another database: none of this one's has been made before.
	if err := os.Rename(path, path+".old"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return true, fmt.Errorf("the key is in %s: %w", f.Name(), err)
	}
	return true, os.Rename(f.Name(), path)
}

// demoKey makes the demo tenant, and returns its key.
func (b bootstrap) demoKey(ctx context.Context, svc *dashboard.Service) (string, error) {
	demo := up.Demo("first")
	done, err := svc.Apply(ctx, &demo, false)
	if err != nil {
		return "", fmt.Errorf("make the demo tenant: %w", err)
	}
	if len(done.Keys) == 0 {
		return "", nil
	}
	key := done.Keys[0].Secret
	return key, os.WriteFile(filepath.Join(b.dir, demoKeyFile), []byte(key+"\n"), 0o600)
}

// page says where to go. Keys of tenants are on it when they are made; the admin key never.
func (b bootstrap) page(gatewayURL string, made bool, demoKey string) string {
	var p strings.Builder
	dir := b.dir
	if b.dirShown != "" {
		dir = b.dirShown
	}
	base := strings.TrimSuffix(gatewayURL, "/") + "/v1"
	p.WriteString("\nLoom is ready.\n\n")
	fmt.Fprintf(&p, "  %-10s  %s\n", "Gateway", base)
	if b.dashboardShown != "" {
		fmt.Fprintf(&p, "  %-10s  %s\n", "Dashboard", b.dashboardShown)
	}
	admin := filepath.Join(dir, adminKeyFile)
	if !made {
		admin += ", if it was made here; there has been one before this start"
	}
	fmt.Fprintf(&p, "  %-10s  %s\n", "Admin key", admin)
	key := "$LOOM_API_KEY"
	if demoKey != "" {
		fmt.Fprintf(&p, "  %-10s  %s (in %s)\n", "API key", demoKey, filepath.Join(dir, demoKeyFile))
		key = demoKey
	}
	if demoKey != "" || !made {
		fmt.Fprintf(&p, `
Try it:

  curl -N %s/chat/completions \
    -H "Authorization: Bearer %s" \
    -H "Content-Type: application/json" \
    -d '{"model":"loom-demo","stream":true,"messages":[{"role":"user","content":"Hello, Loom!"}]}'
`, base, key)
	}
	p.WriteString("\n")
	return p.String()
}
