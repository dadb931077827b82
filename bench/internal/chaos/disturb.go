package chaos

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"loom.internal/bench/internal/fault"
	"loom.internal/bench/internal/ledger"
	"loom.internal/bench/internal/load"
	"loom.internal/bench/internal/oracle"
	"loom.internal/bench/internal/rig"
	"loom.internal/pkg/bus"
	"loom.internal/pkg/faultpoint"
)

const (
	reportEvery = 30 * time.Second
	lookEvery   = time.Second // how often it is seen whether fault points are lacking
	askLimit    = 5 * time.Second
	calmFor     = 12 * time.Second // nothing may have changed for so long: gateways look at spools of others every 10 s
)

// disturb offers the load while the faults go on, and then until no fault point is
// lacking.
func (r *run) disturb(ctx context.Context, canary string) ([]ledger.Line, error) {
	book, err := ledger.Create(filepath.Join(r.Dir, "ledger.jsonl"))
	if err != nil {
		return nil, err
	}
	faults := make(chan error, 1)
	go func() {
		aways, err := fault.Run(ctx, r.rig, fault.Plan(r.Faults), r.Out)
		if r.Faults.Alone != "" && len(aways) == 1 && err == nil {
			r.after = r.drain(ctx, aways[0], book)
		}
		faults <- err
	}()

	rotated := make(chan error, 1)
	go func() {
		var err error
		if r.Rotate {
			err = r.rotate(ctx, book)
		}
		rotated <- err
	}()

	var lacking atomic.Bool
	lacking.Store(r.Points > 0)
	watching, stop := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() { r.watch(watching, book, &lacking); close(watched) }()

	load.Run(ctx, load.Options{
		Gateways: r.rig.Gateways, Clients: r.rig.Clients, Canary: canary, Seed: r.Seed<<24 + 1, Rate: r.Rate, Bulky: r.Bulky, Ledger: book,
		More: r.more(&lacking),
	})
	r.points.Disarm()
	stop()
	<-watched
	err = errors.Join(<-faults, <-rotated) // the plan may end a little after the load does
	lines, bookErr := book.Close()
	return lines, errors.Join(err, bookErr, ctx.Err(), r.rig.WaitReady(ctx))
}

// more says whether the load goes on.
func (r *run) more(lacking *atomic.Bool) func(offered int) bool {
	var late time.Time
	return func(offered int) bool {
		if offered < r.Requests || r.Requests == 0 && time.Since(r.began) < r.Duration {
			return true
		}
		if late.IsZero() {
			late = time.Now().Add(r.Patience)
		}
		return lacking.Load() && time.Now().Before(late)
	}
}

// watch keeps an eye on the fault points, and now and then tells how things are.
func (r *run) watch(ctx context.Context, book *ledger.Ledger, lacking *atomic.Bool) {
	look, report := time.NewTicker(lookEvery), time.NewTicker(reportEvery)
	defer look.Stop()
	defer report.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			lacking.Store(len(r.points.Lacking()) > 0)
		case <-report.C:
			backlog := "broker away"
			if n, err := r.behind(ctx); err == nil {
				backlog = fmt.Sprintf("%d events behind", n)
			}
			r.say("%7s requests %s, %s, fault points %d of %d done, %d MB", time.Since(r.began).Round(time.Second), book.Count(), backlog,
				len(faultpoint.Names())-len(r.points.Lacking()), len(faultpoint.Names()), used(r.Dir)>>20)
		}
	}
}

// behind is how many events the consumers have not settled, both together.
func (r *run) behind(ctx context.Context) (n uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	err = r.rig.OnBus(func(js jetstream.JetStream) error {
		for _, durable := range bus.Consumers() {
			lag, err := bus.Lag(ctx, js, durable)
			if err != nil {
				return err
			}
			n += lag
		}
		return nil
	})
	return n, err
}

// used is how many bytes the files under dir have.
func used(dir string) (bytes int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error { // files come and go
		if err != nil || d.IsDir() {
			return nil //nolint:nilerr // gone meanwhile
		}
		if info, err := d.Info(); err == nil {
			bytes += info.Size()
		}
		return nil
	})
	return bytes
}

// settle waits until nothing moves any more, nothing is behind and no spool holds
// anything, and says how long that took. A system that does not come there in time is
// judged all the same, and has broken a promise.
func (r *run) settle(ctx context.Context, requests int) error {
	begun := time.Now()
	var last oracle.Progress
	calm := begun
	err := rig.Until(ctx, r.Settle, "the system is quiet", func(ctx context.Context) error {
		behind, err := r.behind(ctx)
		if err != nil {
			return err
		}
		now, err := r.progress(ctx)
		if err != nil {
			return err
		}
		spooled, err := r.rig.Spooled(ctx)
		if err != nil {
			return err
		}
		if now != last || behind > 0 || now.Gaps > 0 || now.Traces != now.Facts || spooled > 0 {
			last, calm = now, time.Now()
			return fmt.Errorf("%d traces, %d facts, %d gaps, %d events not consumed, %d in spools", now.Traces, now.Facts, now.Gaps, behind, spooled)
		}
		if time.Since(calm) < calmFor {
			return errors.New("it has been quiet for too short")
		}
		return nil
	})
	if err != nil {
		r.say("NOT QUIET: %v", err)
		return ctx.Err()
	}
	r.quiet = true
	r.say("quiet %s after the last fault and the last of %d requests (limit %s), spools empty", calm.Sub(begun).Round(10*time.Millisecond), requests, r.Settle)
	return nil
}

// progress says how far the projections are.
func (r *run) progress(ctx context.Context) (oracle.Progress, error) {
	db, err := r.rig.Connect(ctx)
	if err != nil {
		return oracle.Progress{}, err
	}
	p, err := oracle.Measure(ctx, db)
	return p, errors.Join(err, db.Close(ctx))
}
