package up

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"loom.internal/pkg/config"
	"loom.internal/pkg/envelope"
)

// masterKey is the key everything is sealed with, and where it comes from.
type masterKey struct {
	text config.Secret
	path string // of the file in the data directory
	made bool   // by this start
}

// findMasterKey takes the key of the environment, else that of the data directory,
// else makes one there.
func findMasterKey(dataDir string, given config.Secret) (masterKey, error) {
	k := masterKey{text: given, path: filepath.Join(dataDir, "master.key")}
	stored, err := os.ReadFile(k.path)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return k, fmt.Errorf("read master key: %w", err)
	case err == nil && given == "":
		k.text = config.Secret(strings.TrimSpace(string(stored)))
		if _, err := envelope.ParseMasterKey(k.text.Reveal()); err != nil {
			return k, fmt.Errorf("%s: %w", k.path, err)
		}
	case err == nil:
		if !sameKey(given.Reveal(), strings.TrimSpace(string(stored))) {
			return k, fmt.Errorf("ENCRYPTION_MASTER_KEY is another key than the one in %s, which sealed what is there: unset it, or use another data directory", k.path)
		}
	case given != "":
		if _, err := envelope.ParseMasterKey(given.Reveal()); err != nil {
			return k, err
		}
	default:
		return k, k.make()
	}
	return k, nil
}

func (k *masterKey) make() error {
	random := make([]byte, envelope.KeyLength)
	_, _ = rand.Read(random) // never fails
	k.text, k.made = config.Secret(hex.EncodeToString(random)), true
	f, err := os.OpenFile(k.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("make master key: %w", err)
	}
	_, err = fmt.Fprintln(f, k.text.Reveal())
	// What it seals may outlive a crash of the machine: so must the key.
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("make master key: %w", errors.Join(err, os.Remove(k.path)))
	}
	return nil
}

// discard takes back a key that was made and must not be used.
func (k *masterKey) discard() error { return os.Remove(k.path) }

// sameKey compares two keys that may be spelled differently.
func sameKey(a, b string) bool {
	x, errX := envelope.ParseMasterKey(a)
	y, errY := envelope.ParseMasterKey(b)
	return errX == nil && errY == nil && string(x) == string(y)
}
