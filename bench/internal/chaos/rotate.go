package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"loom.internal/bench/internal/ledger"
	"loom.internal/bench/internal/rig"
)

// rotation is how a change of the master key under load went.
type rotation struct {
	rewrapped int
	took      time.Duration
	opened    int      // views of bodies meanwhile
	refused   []string // those that failed
}

// viewEvery is the time between two views of a body.
const viewEvery = 20 * time.Millisecond

// rotate replaces the master key while the load goes on, as the manual of loom keys rewrap
// says: the second one to the gateways, then to the dashboard, everything rewrapped, the
// first one taken away. All the while, bodies are viewed.
func (r *run) rotate(ctx context.Context, book *ledger.Ledger) error {
	viewing, stop := context.WithCancel(ctx)
	viewed := make(chan struct{})
	done := &rotation{}
	go func() { defer close(viewed); r.view(viewing, book, done) }()
	defer func() { stop(); <-viewed; r.rotated = done }()

	first, second := r.rig.Master, r.second
	steps := []func() error{
		func() error { return r.rig.SetMasters(map[uint32]string{1: first, 2: second}) },
		func() error { return r.rig.Restart(ctx, rig.Gateway) },
		func() error { return r.rig.Restart(ctx, rig.Dashboard) },
		func() error { return r.rewrap(ctx, done) },
		func() error { return r.rig.SetMasters(map[uint32]string{2: second}) },
		func() error { return r.rig.Restart(ctx, rig.Gateway) },
		func() error { return r.rig.Restart(ctx, rig.Dashboard) },
	}
	began := time.Now()
	for _, step := range steps {
		select { // some load between any two
		case <-time.After(r.Duration / time.Duration(2*len(steps))):
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := step(); err != nil {
			return fmt.Errorf("rotate the master key: %w", err)
		}
	}
	done.took = time.Since(began)
	<-time.After(r.Duration / 10) // some views with the new key alone
	return nil
}

func (r *run) rewrap(ctx context.Context, done *rotation) error {
	for next := ""; ; {
		body, err := json.Marshal(map[string]string{"from": next})
		if err != nil {
			return err
		}
		var step struct {
			Rewrapped int               `json:"rewrapped"`
			Failed    []json.RawMessage `json:"failed"`
			Next      string            `json:"next"`
			Pushed    bool              `json:"pushed"`
		}
		status, answer, err := r.ask(ctx, http.MethodPost, "/api/v1/admin/master-keys/rewrap", r.rig.Admin, body)
		if err != nil {
			return err
		}
		if status != http.StatusOK || json.Unmarshal(answer, &step) != nil || len(step.Failed) > 0 || !step.Pushed {
			return fmt.Errorf("rewrap: %d: %s", status, answer)
		}
		done.rewrapped += step.Rewrapped
		if next = step.Next; next == "" {
			return nil
		}
	}
}

// view opens bodies of traces that clients were told of, drawn at random, until ctx ends. A
// dashboard that is just being started again is no refusal, and neither is a trace that is
// not recorded yet or has no body.
func (r *run) view(ctx context.Context, book *ledger.Ledger, done *rotation) {
	tick := time.NewTicker(viewEvery)
	defer tick.Stop()
	draw := rand.New(rand.NewPCG(r.Seed, 0x76696577)) //nolint:gosec // must be repeatable, need not be secret
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		ids := book.TraceIDs()
		if len(ids) == 0 {
			continue
		}
		id := ids[draw.IntN(len(ids))]
		for _, c := range r.rig.Clients {
			status, answer, err := r.ask(ctx, http.MethodGet, "/api/v1/traces/"+id+"/payload", c.Key, nil)
			switch {
			case err != nil || status == http.StatusNotFound:
				continue
			case status == http.StatusOK:
				done.opened++
			default:
				done.refused = append(done.refused, fmt.Sprintf("trace %s: %d: %s", id, status, answer))
			}
			break
		}
	}
}

// ask asks the dashboard.
func (r *run) ask(ctx context.Context, method, path, key string, body []byte) (status int, answer []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, r.rig.Dashboard+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	answer, err = io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	return resp.StatusCode, answer, errors.Join(err, resp.Body.Close())
}

// rotation prints how it went, and reports whether nothing failed.
func (r *run) rotation() bool {
	if !r.Rotate {
		return true
	}
	d := r.rotated
	r.say("master key      replaced in %s, %d keys rewrapped; %d bodies viewed meanwhile, %d views failed; every body in Postgres is opened with the new one alone",
		d.took.Round(100*time.Millisecond), d.rewrapped, d.opened, len(d.refused))
	for _, s := range d.refused[:min(len(d.refused), 20)] {
		r.say("  %s", s)
	}
	return d.opened > 0 && d.rewrapped > 0 && len(d.refused) == 0
}
