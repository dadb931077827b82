package spool

import (
	"fmt"
	"log/slog"

	"loom.internal/services/gateway/internal/spool/disk"
)

// maxQuarantine bounds the bytes one Open copies; of more, only the place and the
// reason are noted.
const maxQuarantine = 64 << 20

// quarantine keeps bytes of a segment that are no intact record, and raises the alarm.
// It never fails: what can be read goes on.
func (s *Spool) quarantine(f disk.File, g *segment, bad found) {
	s.counts.quarantined.Inc()
	name := fmt.Sprintf("quarantine/%010d-%d", g.number, bad.off)
	err := s.setAside(f, name, bad)
	s.opt.Log.Error("damaged bytes in the spool; the rest goes on",
		slog.String("segment", g.name()), slog.Int64("offset", bad.off), slog.Int64("bytes", bad.to-bad.off),
		slog.String("reason", bad.wrong), slog.String("kept_as", name), slog.Any("error", err))
}

func (s *Spool) setAside(f disk.File, name string, bad found) error {
	length := bad.to - bad.off
	reason := fmt.Sprintf("offset %d\nbytes  %d\nreason %s\n", bad.off, length, bad.wrong)
	if err := disk.WriteFile(s.disk, name+".txt", []byte(reason)); err != nil {
		return err
	}
	if s.aside += length; s.aside > maxQuarantine {
		return fmt.Errorf("over %d bytes in quarantine, not copied", maxQuarantine)
	}
	b := make([]byte, length)
	n, err := f.ReadAt(b, bad.off)
	if int64(n) < length {
		return err
	}
	return disk.WriteFile(s.disk, name, b)
}
