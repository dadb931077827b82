package up

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Doors are the ways into a running loom up for commands of the same account.
type Doors struct {
	Database   string `json:"database,omitempty"` // its own Postgres as the owner; a given one is not named
	NATSSocket string `json:"nats_socket"`        // see local.DialNATS
}

func doorsFile(dataDir string) string { return filepath.Join(dataDir, "doors.json") }

// ReadDoors finds those of the loom up that runs in a data directory; empty if none does.
func ReadDoors(dataDir string) (Doors, error) {
	var d Doors
	data, err := os.ReadFile(doorsFile(dataDir))
	if errors.Is(err, fs.ErrNotExist) {
		return d, nil
	}
	if err != nil {
		return d, fmt.Errorf("find loom up: %w", err)
	}
	if err := json.Unmarshal(data, &d); err != nil {
		return d, fmt.Errorf("find loom up: %s: %w", doorsFile(dataDir), err)
	}
	return d, nil
}

// openDoors opens the ways in and writes them down, readable by this account alone; close
// takes both back.
func (e *engines) openDoors(dataDir string) (closeDoors func(), err error) {
	socket, stop, err := e.nats.ServeSocket(dataDir)
	if err != nil {
		return nil, err
	}
	d := Doors{NATSSocket: socket}
	if e.postgres != nil {
		d.Database = e.owner
	}
	data, err := json.Marshal(d)
	if err == nil {
		err = writePrivate(doorsFile(dataDir), data)
	}
	if err != nil {
		stop()
		return nil, fmt.Errorf("write down how to reach the engines: %w", err)
	}
	return func() {
		_ = os.Remove(doorsFile(dataDir))
		stop()
	}, nil
}

// writePrivate replaces a file as a whole.
func writePrivate(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".doors-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
