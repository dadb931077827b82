// Package chaos is one run: load, faults, quiet, verdict.
package chaos

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"loom.internal/bench/internal/fault"
	"loom.internal/bench/internal/ledger"
	"loom.internal/bench/internal/load"
	"loom.internal/bench/internal/oracle"
	"loom.internal/bench/internal/rig"
	"loom.internal/bench/internal/script"
	"loom.internal/pkg/bus"
)

// Options of Run.
type Options struct {
	Self     string // the runner's binary
	Dir      string // everything is written there; must not exist
	PGBin    string
	Seed     uint64
	Rate     float64       // requests a second
	Requests int           // 0: as many as come in Duration
	Duration time.Duration // of the load, if Requests is 0
	Faults   fault.Options // Seed and Over are filled in
	Resend   time.Duration // of gateways
	Settle   time.Duration // how long the system may take to become quiet
	Every    int           // one body in so many is opened
	Out      io.Writer
}

// ErrViolated means that a promise was broken.
var ErrViolated = errors.New("a promise was broken")

// Run does it all. The error is ErrViolated or says why there is no verdict.
func Run(ctx context.Context, o Options) (err error) {
	if o.Requests > 0 {
		o.Duration = time.Duration(float64(o.Requests) / o.Rate * float64(time.Second))
	}
	o.Faults.Seed, o.Faults.Over = o.Seed, o.Duration
	o.say("seed %d, %s at %g requests/s, directory %s", o.Seed, o.Duration.Round(time.Second), o.Rate, o.Dir)

	canary := "canary" + rand.Text()
	needles := map[string]string{"canary": canary, "provider secret": "sk-" + rand.Text(), "master key": masterKey()}
	upstream := script.NewUpstream(canary)
	r, err := rig.New(ctx, rig.Options{
		Dir: o.Dir, Self: o.Self, PGBin: o.PGBin, Resend: o.Resend, Upstream: upstream,
		Master: needles["master key"], Secret: needles["provider secret"],
	})
	defer func() { err = errors.Join(err, r.Close()) }()
	if err != nil {
		return err
	}
	for _, c := range r.Clients {
		needles["key of "+c.Tenant] = c.Key
	}
	lines, err := o.disturb(ctx, r, canary)
	if err != nil {
		return err
	}
	if err := o.settle(ctx, r, len(lines)); err != nil {
		return err
	}
	return o.judge(ctx, r, lines, needles, upstream.Reached)
}

func masterKey() string {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return hex.EncodeToString(key)
}

func (o *Options) say(format string, args ...any) {
	_, _ = fmt.Fprintf(o.Out, format+"\n", args...)
}

// disturb offers the load while the faults go on.
func (o *Options) disturb(ctx context.Context, r *rig.Rig, canary string) ([]ledger.Line, error) {
	book, err := ledger.Create(filepath.Join(o.Dir, "ledger.jsonl"))
	if err != nil {
		return nil, err
	}
	faults := make(chan error, 1)
	go func() { faults <- fault.Run(ctx, r, fault.Plan(o.Faults), o.Out) }()
	// The plan may end a little after the load does: it goes on until both are over.
	loadCtx, stop := context.WithCancel(ctx)
	defer stop()
	if o.Requests == 0 {
		defer time.AfterFunc(o.Duration, stop).Stop()
	}
	load.Run(loadCtx, load.Options{
		Gateways: r.Gateways, Clients: r.Clients, Canary: canary, Seed: o.Seed<<24 + 1, Rate: o.Rate, Requests: o.Requests, Ledger: book,
	})
	err = <-faults
	lines, bookErr := book.Close()
	return lines, errors.Join(err, bookErr, ctx.Err(), r.WaitReady(ctx))
}

const (
	pollEvery = 250 * time.Millisecond
	calmFor   = 5 * time.Second // nothing may have changed for so long
)

// settle waits until nothing moves any more and nothing is behind, and says how long that
// took. A system that does not come there is judged all the same.
func (o *Options) settle(ctx context.Context, r *rig.Rig, requests int) error {
	begun := time.Now()
	var last oracle.Progress
	calm := begun
	err := rig.Until(ctx, o.Settle, "the system is quiet", func(ctx context.Context) error {
		now, behind, err := o.look(ctx, r)
		if err != nil {
			return err
		}
		if now != last || behind > 0 || now.Gaps > 0 || now.Traces != now.Facts {
			last, calm = now, time.Now()
			return fmt.Errorf("%d traces, %d facts, %d gaps, %d events not consumed", now.Traces, now.Facts, now.Gaps, behind)
		}
		if time.Since(calm) < calmFor {
			return errors.New("it has been quiet for too short")
		}
		return nil
	})
	if err != nil {
		o.say("not quiet: %v", err)
		return ctx.Err()
	}
	o.say("quiet %s after the last fault and the last of %d requests", calm.Sub(begun).Round(10*time.Millisecond), requests)
	return nil
}

// look says how far the projections are and how many events they have not consumed.
func (o *Options) look(ctx context.Context, r *rig.Rig) (p oracle.Progress, behind uint64, err error) {
	db, err := r.Connect(ctx)
	if err != nil {
		return p, 0, err
	}
	p, err = oracle.Measure(ctx, db)
	if err = errors.Join(err, db.Close(ctx)); err != nil {
		return p, 0, err
	}
	err = r.OnBus(func(js jetstream.JetStream) error {
		for _, durable := range []string{bus.ConsumerRecorder, bus.ConsumerAnalytics} {
			lag, err := bus.Lag(ctx, js, durable)
			if err != nil {
				return err
			}
			behind += lag
		}
		return nil
	})
	return p, behind, err
}

func (o *Options) judge(ctx context.Context, r *rig.Rig, lines []ledger.Line, needles map[string]string, reached func(uint64) int) error {
	db, err := r.Connect(ctx)
	if err != nil {
		return err
	}
	evidence, err := oracle.Read(ctx, db, r.Ring, o.Every)
	if err = errors.Join(err, db.Close(ctx)); err != nil {
		return err
	}
	verdict := oracle.Judge(lines, evidence, reached)
	hits, read, err := oracle.Scan(ctx, needles, r.SpoolDirs(), r.NATSDir(), r.PostgresDir(), r.LogDir())
	if err != nil {
		return err
	}
	// A scan that cannot find what is there proves nothing.
	control, _, err := oracle.Scan(ctx, map[string]string{"tenant": r.Clients[0].Tenant}, r.SpoolDirs(), r.NATSDir(), r.PostgresDir())
	if err != nil {
		return err
	}
	o.say("\nseed            %d", o.Seed)
	falls := o.processes(r)
	verdict.Print(o.Out)
	o.say("canary hits     %d in %d MB (control: %d files with a tenant's id)", len(hits), read>>20, len(control))
	for _, h := range hits {
		o.say("  %s in %s", h.Needle, h.Path)
	}
	if !verdict.OK() || len(hits) > 0 || len(control) == 0 || falls > 0 {
		o.say("VIOLATED: see %s", o.Dir)
		return ErrViolated
	}
	o.say("OK: lost 0, duplicated 0, cost difference 0, canary hits 0, gaps 0")
	return nil
}

// processes prints what was done to each process, and counts those that ended unasked.
func (o *Options) processes(r *rig.Rig) (falls int64) {
	for _, kind := range rig.Kinds() {
		var kills, stops, fell int64
		for _, p := range r.Procs(kind) {
			kills, stops, fell = kills+p.Kills.Load(), stops+p.Stops.Load(), fell+p.Falls.Load()
		}
		o.say("%-15s %d kills, %d stops, ended by itself %d", kind, kills, stops, fell)
		falls += fell
	}
	return falls
}

// NewDir makes a directory that the account of Postgres may pass through.
func NewDir() (string, error) {
	dir, err := os.MkdirTemp("", "loom-chaos-")
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o711) //nolint:gosec // the engines' own directories inside are private
}
