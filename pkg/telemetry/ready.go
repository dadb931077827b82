package telemetry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Readiness says whether a service can do its work now. It is a set of named
// conditions, each fine or failing; a service is ready when none fails. Set
// every condition as failing before it is first checked: the zero value has no
// conditions, and is ready.
type Readiness struct {
	mu      sync.Mutex
	failing map[string]error
}

// Set records the condition name as failing with err, or as fine when err is nil.
func (r *Readiness) Set(name string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		delete(r.failing, name)
		return
	}
	if r.failing == nil {
		r.failing = make(map[string]error)
	}
	r.failing[name] = err
}

// checkEvery is the pause between checks in Watch, and the most that one may take.
const checkEvery = 2 * time.Second

// Watch checks every condition again and again until ctx ends, and logs each time one
// begins to fail or is fine again.
func (r *Readiness) Watch(ctx context.Context, log *slog.Logger, checks map[string]func(context.Context) error) {
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	failing := make(map[string]bool)
	for {
		for name, check := range checks {
			attempt, cancel := context.WithTimeout(ctx, checkEvery)
			err := check(attempt)
			cancel()
			if ctx.Err() != nil {
				return
			}
			r.Set(name, err)
			switch {
			case err != nil && !failing[name]:
				log.LogAttrs(ctx, slog.LevelWarn, "not ready, checking again", slog.String("condition", name), slog.Any("error", err))
			case err == nil && failing[name]:
				log.LogAttrs(ctx, slog.LevelInfo, "ready again", slog.String("condition", name))
			}
			failing[name] = err != nil
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Err returns nil when the service is ready, else all that fails, ordered by name.
func (r *Readiness) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	for _, name := range r.names() {
		errs = append(errs, fmt.Errorf("%s: %w", name, r.failing[name]))
	}
	return errors.Join(errs...)
}

// names lists what fails, never nil; the caller holds mu.
func (r *Readiness) names() []string {
	names := slices.AppendSeq(make([]string, 0, len(r.failing)), maps.Keys(r.failing))
	slices.Sort(names)
	return names
}

// ReadyHandler serves /readyz: 200 or 503, with {"ready":false,"failing":["nats"]}
// as its body. It names what fails but not why: errors hold addresses.
func (r *Readiness) ReadyHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		r.mu.Lock()
		failing := r.names()
		r.mu.Unlock()
		status := http.StatusOK
		if len(failing) > 0 {
			status = http.StatusServiceUnavailable
		}
		writeJSON(w, status, map[string]any{"ready": len(failing) == 0, "failing": failing})
	})
}

// HealthHandler serves /healthz: 200 as long as the process answers at all.
func HealthHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]any{"healthy": true})
	})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that left cannot be told
}
