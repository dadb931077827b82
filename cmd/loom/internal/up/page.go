package up

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"loom.internal/cmd/loom/internal/devenv"
)

// startPage is what a start has to say to the person in front of it.
type startPage struct {
	settings   Settings
	key        masterKey
	configured configured
	ops        net.Listener // nil: off
	took       time.Duration
}

// write prints the page. The demo key is on it when this start has made it, or when a
// person reads along; a log of later starts does not collect it. The admin key is
// only in dev.env.
func (p startPage) write(w io.Writer) error {
	env, envFile := p.configured.env, devenv.Path(p.settings.DataDir)
	showKey := env.APIKey != "" && (p.configured.first || isTerminal(w))

	var b strings.Builder
	line := func(name, value string) { fmt.Fprintf(&b, "  %-10s  %s\n", name, value) }
	fmt.Fprintf(&b, "\nLoom is ready (%.1f s).\n\n", p.took.Seconds())
	line("Gateway", env.BaseURL)
	line("Dashboard", env.DashboardURL)
	if p.ops != nil {
		line("Metrics", address(p.ops)+"/metrics")
	}
	if showKey {
		line("API key", env.APIKey)
	}
	line("All keys", envFile+" (admin key too)")
	line("Data", p.settings.DataDir+" ("+p.database()+", NATS JetStream)")
	if p.settings.OpenAIKey != "" {
		line("OpenAI", "on: OPENAI_API_KEY is set")
	}
	if p.key.made {
		line("Master key", "made in "+p.key.path+"; without it no recorded body can be read: keep a copy elsewhere")
	}
	if len(p.configured.keys) > 0 {
		fmt.Fprintf(&b, "\nNew keys of %s. Their secrets are shown only now:\n\n", p.settings.Config)
		for _, k := range p.configured.keys {
			fmt.Fprintf(&b, "  %s/%s  %s\n", k.Tenant, k.Name, k.Secret)
		}
	}

	if env.AdminKey == "" {
		fmt.Fprintf(&b, "\nThe database has an admin key already, and %s does not know it: loom apply, tenant and\nkey need it in LOOM_ADMIN_KEY.\n", envFile)
	}

	b.WriteString("\nTry it:\n\n")
	shown := env.APIKey
	if !showKey {
		shown = "$LOOM_API_KEY"
	}
	if !showKey && env.APIKey != "" {
		fmt.Fprintf(&b, "  . %s\n", envFile)
	}
	fmt.Fprintf(&b, `  curl -N %s/chat/completions \
    -H "Authorization: Bearer %s" \
    -H "Content-Type: application/json" \
    -d '{"model":"loom-demo","stream":true,"messages":[{"role":"user","content":"Hello, Loom!"}]}'
`, env.BaseURL, shown)
	fmt.Fprintf(&b, "\nThen see the trace, and what it cost, at %s\nCtrl-C stops Loom.\n\n", env.DashboardURL)
	_, err := io.WriteString(w, b.String())
	return err
}

func (p startPage) database() string {
	if p.settings.DatabaseURL != "" {
		return "Postgres of LOOM_DATABASE_URL"
	}
	return "Postgres"
}

// isTerminal reports whether a person reads what is written to w.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0
}
