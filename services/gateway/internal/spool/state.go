package spool

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"loom.internal/services/gateway/internal/spool/disk"
)

// state is what outlives the segments: one line
//
//	loom-spool <version> <producer id> <epoch> <CRC32C of what is before it>
//
// replaced whole by a rename. Every version starts and ends the line like this.
type state struct {
	producer [16]byte
	epoch    uint64
}

const stateName = "state"

var errStateDamaged = errors.New("state file is damaged")

// loadState returns fs.ErrNotExist for a new directory, errStateDamaged, or ErrVersion.
func loadState(dir disk.Dir) (state, error) {
	b, err := disk.ReadFile(dir, stateName)
	if err != nil {
		return state{}, err
	}
	line := strings.TrimSuffix(string(b), "\n")
	body, sum := line[:max(strings.LastIndexByte(line, ' '), 0)], line[strings.LastIndexByte(line, ' ')+1:]
	if sum != fmt.Sprintf("%08x", checksum([]byte(body))) {
		return state{}, errStateDamaged
	}
	var version int
	if _, err := fmt.Sscanf(body, "loom-spool %d", &version); err == nil && version > formatVersion {
		return state{}, newerVersion(version)
	}
	var st state
	var producer string
	if _, err := fmt.Sscanf(body, "loom-spool %d %s %d", &version, &producer, &st.epoch); err != nil {
		return state{}, errStateDamaged
	}
	id, err := hex.DecodeString(producer)
	if err != nil || len(id) != len(st.producer) {
		return state{}, errStateDamaged
	}
	st.producer = [16]byte(id)
	return st, nil
}

func newerVersion(v int) error {
	return fmt.Errorf("%w: format %d, this program knows %d; run the newer program, or give this one an empty directory",
		ErrVersion, v, formatVersion)
}

// save replaces the state file.
func (st state) save(dir disk.Dir) error {
	line := fmt.Sprintf("loom-spool %d %x %d", formatVersion, st.producer, st.epoch)
	line = fmt.Sprintf("%s %08x\n", line, checksum([]byte(line)))
	const next = stateName + ".new"
	if err := disk.WriteFile(dir, next, []byte(line)); err != nil {
		return fmt.Errorf("write spool state: %w", err)
	}
	if err := dir.Rename(next, stateName); err != nil {
		return fmt.Errorf("write spool state: %w", err)
	}
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("write spool state: %w", err)
	}
	return nil
}
