package up

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"loom.internal/pkg/config"
	"loom.internal/pkg/envelope"
)

// masterKey is what everything is sealed with, in its versions, and where it comes from.
type masterKey struct {
	versions config.VersionedSecret
	path     string // of the file in the data directory, which holds version 1
	made     bool   // by this start
}

// findMasterKey takes the keys of the environment, and version 1 from the data directory
// where the environment has none; where there is none at all, it makes one there.
func findMasterKey(dataDir string, given config.VersionedSecret) (masterKey, error) {
	k := masterKey{versions: maps.Clone(given), path: filepath.Join(dataDir, "master.key")}
	if k.versions == nil {
		k.versions = make(config.VersionedSecret)
	}
	first, isGiven := given[1]
	stored, err := os.ReadFile(k.path)
	text := strings.TrimSpace(string(stored))
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return k, fmt.Errorf("read master key: %w", err)
	case err == nil && isGiven && !sameKey(first.Reveal(), text):
		return k, fmt.Errorf("ENCRYPTION_MASTER_KEY is another key than the one in %s, which sealed what is there: unset it, or use another data directory", k.path)
	case err == nil && !isGiven:
		if _, err := envelope.ParseMasterKey(text); err != nil {
			return k, fmt.Errorf("%s: %w", k.path, err)
		}
		k.versions[1] = config.Secret(text)
	case len(given) == 0:
		return k, k.make()
	}
	if _, err := envelope.NewRing(k.versions.Reveal()); err != nil {
		return k, fmt.Errorf("ENCRYPTION_MASTER_KEY: %w", err)
	}
	return k, nil
}

func (k *masterKey) make() error {
	random := make([]byte, envelope.KeyLength)
	_, _ = rand.Read(random) // never fails
	k.versions[1], k.made = config.Secret(hex.EncodeToString(random)), true
	f, err := os.OpenFile(k.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("make master key: %w", err)
	}
	_, err = fmt.Fprintln(f, k.versions[1].Reveal())
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
