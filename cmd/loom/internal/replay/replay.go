package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/event"
	"loom.internal/services/analytics"
	"loom.internal/services/recorder"
)

// Config is where a replay works.
type Config struct {
	DatabaseURL string // the owner of the tables
	JS          jetstream.JetStream
	Log         *slog.Logger
	Progress    io.Writer // for people; nil: none
	TTY         bool      // Progress is a terminal
}

// run is one process's part of a replay.
type run struct {
	opt        Options
	log        *slog.Logger
	sh         *shadow
	src        *source
	st         *state
	projectors []projector
	usage      *analytics.Replay
	bodies     *bus.Bodies
	lost       int64 // bodies that were not to be had, of the batch in hand
	progress   *progress
	report     Report

	batches chan batch   // decoded, in order
	failed  <-chan error // why no more will come
	hand    *batch       // taken and not applied yet
}

// Run builds what opt says, or goes on with a run of the same options, and swaps unless
// it is a dry run. After an error, and after the end of the process at any point, Run with
// the same options goes on where it was, and [Abort] gives the run up.
func Run(ctx context.Context, cfg Config, opt Options) (Report, error) {
	from := time.Now()
	sh, err := openShadow(ctx, cfg.DatabaseURL)
	if err != nil {
		return Report{}, err
	}
	defer sh.close(context.WithoutCancel(ctx))
	src, err := openSource(ctx, cfg.JS, SlotReplay, cfg.Log)
	if err != nil {
		return Report{}, err
	}
	r := &run{opt: opt, log: cfg.Log, sh: sh, src: src, batches: make(chan batch, 1)}
	if r.bodies, err = bus.NewBodies(cfg.JS.Conn()); err != nil {
		return Report{}, err
	}
	if r.usage, err = analytics.NewReplay(sh.pool); err != nil {
		return Report{}, err
	}
	if err := r.begin(ctx); err != nil {
		return Report{}, err
	}
	r.progress = newProgress(cfg, r.st)
	err = r.do(ctx)
	r.progress.end()
	if err != nil {
		return Report{}, err
	}
	r.report.Options, r.report.Began, r.report.Floor = opt, r.st.Began.UTC(), r.st.Floor
	r.report.Counts, r.report.Compared = r.st.Counts, r.st.Compared
	r.report.CarriedIn, r.report.Rebuilt = r.st.Carried, r.st.Rebuilt
	r.report.TookMs = time.Since(from).Milliseconds()
	return r.report, nil
}

// Abort gives up an unfinished run: its shadow goes, nothing else changes.
func Abort(ctx context.Context, dsn string) error {
	sh, err := openShadow(ctx, dsn)
	if err != nil {
		return err
	}
	defer sh.close(context.WithoutCancel(ctx))
	if _, err := sh.load(ctx); errors.Is(err, ErrNoRun) {
		return err
	}
	return sh.drop(ctx)
}

// begin finds the run to resume, or makes a new one.
func (r *run) begin(ctx context.Context) error {
	info, err := r.src.info(ctx)
	if err != nil {
		return err
	}
	version, err := r.sh.version(ctx)
	if err != nil {
		return err
	}
	r.st, err = r.sh.load(ctx)
	switch {
	case err == nil && r.st.Schema != version:
		return errors.New("the database was migrated since this replay began: give it up with `loom replay --abort` and start again")
	case err == nil && r.st.Options.encode() != r.opt.encode():
		return fmt.Errorf("%w: finish it with `loom replay %s`, or give it up with `loom replay --abort`", ErrUnfinished, r.st.Options)
	case err == nil:
		r.report.Resumed = true
		if err := r.sameStream(info.Created); err != nil || r.st.Target > 0 {
			return err
		}
		return r.aim(ctx) // it was killed before it had
	case !errors.Is(err, ErrNoRun):
		return err
	}
	r.st = &state{Options: r.opt, Schema: version, StreamCreated: info.Created, Phase: phaseApply}
	if err := r.holdsAll(ctx); err != nil {
		return err
	}
	// In this order: what is settled at the floor is in the tables before the run begins,
	// and what is there when it begins came from events before its target.
	if r.st.Floor, err = r.src.floor(ctx); err != nil {
		return err
	}
	if err := r.sh.create(ctx, r.st); err != nil {
		return err
	}
	return r.aim(ctx)
}

// aim sets what the run has to reach before it may compare: all that is in the stream
// now that it has begun.
func (r *run) aim(ctx context.Context) error {
	info, err := r.src.info(ctx)
	if err != nil {
		return err
	}
	r.st.Target = info.State.LastSeq
	r.st.Applied = max(info.State.FirstSeq, 1) - 1
	return r.sh.save(ctx, r.st)
}

// do runs the phases that are left.
func (r *run) do(ctx context.Context) (err error) {
	if r.opt.Traces {
		rec := recorder.Replay{}
		r.projectors = append(r.projectors, projector{check: rec.Check, apply: rec.Apply, kept: true, fetch: r.fetch})
	}
	if r.opt.Usage {
		r.projectors = append(r.projectors, projector{check: r.usage.Check, apply: r.applyUsage})
	}
	reading, stop := context.WithCancel(ctx)
	wait := r.src.start(reading, r.st.Applied)
	r.failed = r.src.errs
	gathered := make(chan struct{})
	go func() { defer close(gathered); r.gather(reading) }()
	defer func() { stop(); wait(); <-gathered }()

	for {
		switch r.st.Phase {
		case phaseApply:
			if err := r.until(ctx, r.st.Target); err != nil {
				return err
			}
			if r.st.Compared, err = r.compare(ctx); err != nil {
				return err
			}
			if r.opt.DryRun {
				return r.sh.drop(ctx)
			}
			r.st.Jumped = false // what was not to be had is carried over now
			err = r.enter(ctx, phaseCarry)
		case phaseCarry:
			if err := r.carry(ctx); err != nil {
				return err
			}
			err = r.enter(ctx, phaseSum)
		case phaseSum:
			if err := r.sum(ctx); err != nil {
				return err
			}
			if err := r.analyze(ctx); err != nil {
				return err
			}
			err = r.enter(ctx, phaseTail)
		case phaseTail:
			err = r.tail(ctx)
			if err == nil {
				r.report.Swapped = true
				return nil
			}
			if errors.Is(err, errJumped) {
				r.log.LogAttrs(ctx, slog.LevelWarn, "carrying over again", slog.Any("error", err))
				r.st.Jumped = false
				err = r.enter(ctx, phaseCarry)
			}
		}
		if err != nil {
			return err
		}
	}
}

// enter notes down that a phase begins.
func (r *run) enter(ctx context.Context, phase string) error {
	r.st.Phase = phase
	r.progress.step(r.st, "")
	return r.sh.save(ctx, r.st)
}

// applyUsage leaves the sums to the phase that makes them, until that has been.
func (r *run) applyUsage(ctx context.Context, tx pgx.Tx, events []*event.TraceEvent) (int, error) {
	if r.st.Phase == phaseTail {
		return r.usage.Apply(ctx, tx, events)
	}
	return r.usage.Fill(ctx, tx, events)
}

// sameStream refuses a stream that has been made anew: its numbers mean something else.
func (r *run) sameStream(created time.Time) error {
	if created.Equal(r.st.StreamCreated) {
		return nil
	}
	return errors.New("the stream was made anew since this replay began: give it up with `loom replay --abort` and start again")
}
