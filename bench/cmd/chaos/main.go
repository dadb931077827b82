// Command chaos runs Loom out of processes it kills, under load, and judges whether
// every answer has its one trace and every cost is exact.
//
//	chaos -short            about two minutes
//	chaos -long             1,000,000 requests, 200 kills, 20 outages
//	chaos -short -seed 7    again what seed 7 did
//
// It ends with status 1 when a promise was broken, and then keeps its directory.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"loom.internal/bench/internal/chaos"
	"loom.internal/bench/internal/rig"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	switch {
	case len(args) == 3 && args[0] == rig.KeepNATS:
		port, err := strconv.Atoi(args[2])
		if err != nil {
			return err
		}
		return rig.KeepNATSMain(ctx, args[1], port)
	case len(args) == 3 && args[0] == rig.KeepPostgres:
		return rig.KeepPostgresMain(ctx, args[1], args[2])
	}
	o, keep, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	if err = chaos.Run(ctx, o); err != nil || keep {
		return err // with the directory left to look at
	}
	return os.RemoveAll(o.Dir)
}

// parse reads the flags. A flag given goes before the preset.
func parse(args []string) (o chaos.Options, keep bool, err error) {
	f := flag.NewFlagSet("chaos", flag.ContinueOnError)
	long := f.Bool("long", false, "1,000,000 requests, 200 kills, 20 outages of 60s, one broker wipe")
	_ = f.Bool("short", true, "90s of load, 25 kills, 2 outages of 10s, one broker wipe")
	f.Uint64Var(&o.Seed, "seed", 0, "of load and faults; 0 takes a random one")
	f.Float64Var(&o.Rate, "rate", 0, "requests a second")
	f.DurationVar(&o.Duration, "duration", 0, "of the load")
	f.IntVar(&o.Requests, "requests", 0, "how many, instead of a duration")
	f.IntVar(&o.Faults.Kills, "kills", -1, "how many, evenly over the kinds of processes")
	f.IntVar(&o.Faults.Outages, "outages", -1, "how many, of broker and database in turn")
	f.IntVar(&o.Faults.Wipes, "wipes", -1, "how often the broker loses its disk")
	f.DurationVar(&o.Settle, "settle", 0, "how long the system may take to become quiet")
	f.IntVar(&o.Every, "open", 1, "decrypt one body in so many and compare it")
	f.StringVar(&o.Dir, "dir", "", "directory of the run, which must not exist; a temporary one without it")
	f.StringVar(&o.PGBin, "pg-bin", "", "directory of initdb and postgres; searched for without it")
	f.BoolVar(&keep, "keep", false, "keep the directory of a run without violations, too")
	if err := f.Parse(args); err != nil {
		return o, keep, err
	}
	o.Out = os.Stdout
	preset(&o, *long)
	if o.Seed == 0 {
		o.Seed = uint64(rand.Uint32()) //nolint:gosec // nothing is secret about it
	}
	if o.Self, err = os.Executable(); err != nil {
		return o, keep, err
	}
	if o.Dir == "" {
		o.Dir, err = chaos.NewDir()
		return o, keep, err
	}
	return o, keep, os.Mkdir(o.Dir, 0o711) //nolint:gosec // the account of Postgres has to pass through
}

// preset fills in what no flag gave.
func preset(o *chaos.Options, long bool) {
	rate, duration, requests, kills, outages := 60.0, 90*time.Second, 0, 25, 2
	settle := 90 * time.Second
	o.Faults.Length, o.Resend = 10*time.Second, 10*time.Second
	if o.Faults.Restarts = 1; long {
		rate, requests, kills, outages = 250, 1_000_000, 200, 20
		o.Faults.Length, o.Resend, settle, o.Faults.Restarts = time.Minute, 30*time.Second, 5*time.Minute, 5
	}
	fill(&o.Rate, 0, rate)
	if o.Duration == 0 {
		fill(&o.Requests, 0, requests)
	}
	fill(&o.Duration, 0, duration)
	fill(&o.Settle, 0, settle)
	fill(&o.Faults.Kills, -1, kills)
	fill(&o.Faults.Outages, -1, outages)
	fill(&o.Faults.Wipes, -1, 1)
}

func fill[T comparable](to *T, unset, value T) {
	if *to == unset {
		*to = value
	}
}
