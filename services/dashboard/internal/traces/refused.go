package traces

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"loom.internal/pkg/envelope"
	"loom.internal/services/dashboard/internal/keyring"
)

// Why a recorded body was not shown, as the metric names it.
const (
	refusedTampered      = "tampered"       // it, its row or its data key was changed
	refusedShredded      = "shredded"       // as somebody wanted it
	refusedNoKey         = "no_key"         // its data key was lost
	refusedUnknownMaster = "unknown_master" // its data key is there, the master key for that is not
)

// newRefused registers the counter of payloads that did not open.
func newRefused(reg prometheus.Registerer) (*prometheus.CounterVec, error) {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "loom_dashboard_payload_refused_total",
		Help: "Recorded payloads that did not open, by reason. Whatever is not shredded needs a look: the log has more.",
	}, []string{"reason"})
	if err := reg.Register(c); err != nil {
		return nil, fmt.Errorf("metrics of payloads: %w", err)
	}
	for _, reason := range []string{refusedTampered, refusedShredded, refusedNoKey, refusedUnknownMaster} {
		c.WithLabelValues(reason) // shown from the start, as 0
	}
	return c, nil
}

// reasonOf is why a payload did not open; empty for what says nothing about it, such as a
// database that is away.
func reasonOf(err error) string {
	switch {
	case errors.Is(err, keyring.ErrShredded):
		return refusedShredded
	case errors.Is(err, keyring.ErrNoKey):
		return refusedNoKey
	case errors.Is(err, envelope.ErrUnknownKeyVersion):
		return refusedUnknownMaster
	case errors.Is(err, envelope.ErrOpen), errors.Is(err, ErrUnreadable):
		return refusedTampered
	default:
		return ""
	}
}
