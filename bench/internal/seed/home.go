package seed

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"loom.internal/pkg/config"
	"loom.internal/pkg/envelope"
)

// Home is a data directory of loom up, as it tells how the running Loom is reached.
type Home struct {
	Dir        string
	Dashboard  string // base URL
	AdminKey   string
	Database   string // its Postgres as the owner; empty where it has none of its own
	NATSSocket string
}

// Open reads the data directory of a Loom that runs.
func Open(dir string) (Home, error) {
	h := Home{Dir: dir}
	env, err := readPairs(filepath.Join(dir, "dev.env"))
	if err != nil {
		return h, fmt.Errorf("find loom up: %w", err)
	}
	h.Dashboard, h.AdminKey = env["LOOM_DASHBOARD_URL"], env["LOOM_ADMIN_KEY"]
	if h.Dashboard == "" || h.AdminKey == "" {
		return h, fmt.Errorf("%s has no LOOM_DASHBOARD_URL or no LOOM_ADMIN_KEY: start Loom with make start", filepath.Join(dir, "dev.env"))
	}
	var doors struct {
		Database   string `json:"database"`
		NATSSocket string `json:"nats_socket"`
	}
	data, err := os.ReadFile(filepath.Join(dir, "doors.json")) //nolint:gosec // the caller's directory
	if err == nil {
		err = json.Unmarshal(data, &doors)
	}
	if err != nil {
		return h, fmt.Errorf("no Loom runs in %s: %w", dir, err)
	}
	h.Database, h.NATSSocket = doors.Database, doors.NATSSocket
	return h, nil
}

// ring is the master key: of the environment and of the data directory, as loom up takes it.
func (h Home) ring() (*envelope.Ring, error) {
	var s struct {
		MasterKey config.VersionedSecret `envconfig:"ENCRYPTION_MASTER_KEY" global:"true"`
	}
	if err := config.Load("LOOM", &s); err != nil {
		return nil, err
	}
	versions := s.MasterKey.Reveal()
	text, err := os.ReadFile(filepath.Join(h.Dir, "master.key"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read master key: %w", err)
	}
	if err == nil {
		versions[1] = strings.TrimSpace(string(text))
	}
	return envelope.NewRing(versions)
}

// keysFile holds what to log in with, by tenant: secrets are shown only when they are made.
func (h Home) keysFile() string { return filepath.Join(h.Dir, "seed.env") }

func (h Home) readKeys() (map[string]string, error) {
	keys, err := readPairs(h.keysFile())
	if errors.Is(err, fs.ErrNotExist) {
		return make(map[string]string), nil
	}
	return keys, err
}

func (h Home) writeKeys(keys map[string]string, order []string) error {
	var b strings.Builder
	b.WriteString("# Written by seed: keys to log in with at the dashboard, by tenant.\n")
	for _, tenant := range order {
		fmt.Fprintf(&b, "%s=%s\n", tenant, keys[tenant])
	}
	return os.WriteFile(h.keysFile(), []byte(b.String()), 0o600)
}

// readPairs reads a file of lines name=value.
func readPairs(path string) (map[string]string, error) {
	f, err := os.Open(path) //nolint:gosec // in the caller's directory
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	pairs := make(map[string]string)
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if name, value, ok := strings.Cut(lines.Text(), "="); ok && !strings.HasPrefix(name, "#") {
			pairs[name] = value
		}
	}
	return pairs, lines.Err()
}
