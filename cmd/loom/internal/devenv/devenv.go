// Package devenv keeps the file dev.env of a data directory: the addresses and keys
// of the Loom that `loom up` runs there, for shells to source and for this
// program's other commands to find.
package devenv

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Env is what the file holds. A field is empty when it is not known.
type Env struct {
	BaseURL      string // LOOM_BASE_URL: of the gateway, ends in /v1
	APIKey       string // LOOM_API_KEY: of the tenant demo
	AdminKey     string // LOOM_ADMIN_KEY
	DashboardURL string // LOOM_DASHBOARD_URL
}

const header = "# Written by `loom up`. The keys' secrets are stored nowhere else: keep this file.\n"

// Path is where the file of a data directory is.
func Path(dataDir string) string { return filepath.Join(dataDir, "dev.env") }

// Read reads the file of a data directory; all is empty when there is none.
func Read(dataDir string) (Env, error) {
	var e Env
	f, err := os.Open(Path(dataDir))
	if errors.Is(err, fs.ErrNotExist) {
		return e, nil
	}
	if err != nil {
		return e, fmt.Errorf("read keys: %w", err)
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), "=")
		for _, v := range e.variables() {
			if v.name == name {
				*v.value = value
			}
		}
	}
	if err := lines.Err(); err != nil {
		return e, fmt.Errorf("read %s: %w", f.Name(), err)
	}
	return e, nil
}

// Write puts e in the file of a data directory, readable by its owner alone. The
// file is whole at any moment, and on disk when Write returns.
func Write(dataDir string, e Env) (err error) {
	f, err := os.CreateTemp(dataDir, ".dev.env-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write keys: %w", err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("write keys: %w", err)
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	var text strings.Builder
	text.WriteString(header)
	for _, v := range e.variables() {
		if *v.value != "" {
			fmt.Fprintf(&text, "%s=%s\n", v.name, *v.value)
		}
	}
	if _, err := f.WriteString(text.String()); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), Path(dataDir))
}

type variable struct {
	name  string
	value *string
}

func (e *Env) variables() []variable {
	return []variable{
		{"LOOM_BASE_URL", &e.BaseURL},
		{"LOOM_API_KEY", &e.APIKey},
		{"LOOM_ADMIN_KEY", &e.AdminKey},
		{"LOOM_DASHBOARD_URL", &e.DashboardURL},
	}
}
