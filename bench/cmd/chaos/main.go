// Command chaos runs Loom out of processes it kills, under load, and judges whether
// every answer has its one trace and every cost is exact.
//
//	chaos -short            about two minutes
//	chaos -long             1,000,000 requests, 200 kills, 20 outages
//	chaos -points 50        50 deaths at each fault point
//	chaos -outage postgres  one outage of a minute and nothing else
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
	_ = f.Bool("short", false, "90s of load, 25 kills, 2 outages of 10s, one broker wipe; what is done without a preset")
	long := f.Bool("long", false, "1,000,000 requests, 200 kills, 20 outages of 60s, one broker wipe")
	f.IntVar(&o.Points, "points", -1, "have processes die so often at each fault point; without -short and -long nothing else happens to them")
	f.StringVar(&o.Faults.Alone, "outage", "", "have nothing happen but one outage of a minute, of postgres or nats, under load: every client has to be answered")
	f.BoolVar(&o.Rotate, "rotate", false, "have nothing happen but that the master key is replaced, under load, while bodies are viewed")
	f.Uint64Var(&o.Seed, "seed", 0, "of load and faults; 0 takes a random one")
	f.Float64Var(&o.Rate, "rate", 0, "requests a second")
	f.DurationVar(&o.Duration, "duration", 0, "of the load")
	f.IntVar(&o.Requests, "requests", 0, "how many, instead of a duration")
	f.IntVar(&o.Faults.Kills, "kills", -1, "how many, evenly over the kinds of processes")
	f.IntVar(&o.Faults.Outages, "outages", -1, "how many, of broker and database in turn")
	f.IntVar(&o.Faults.Wipes, "wipes", -1, "how often the broker loses its disk")
	f.IntVar(&o.Faults.Links, "links", -1, "how often the way of services to broker or database is cut, slow, stalled or throttled")
	f.IntVar(&o.Faults.Echoes, "echoes", -1, "how often events are sent to the stream again")
	f.IntVar(&o.Faults.Replaces, "replaces", -1, "how often a gateway is killed for good and, 40s later, another comes")
	f.DurationVar(&o.Settle, "settle", 0, "how long the system may take to become quiet")
	f.IntVar(&o.Every, "open", 1, "decrypt one body in so many and compare it")
	f.StringVar(&o.Dir, "dir", "", "directory of the run, which must not exist; a temporary one without it")
	f.StringVar(&o.PGBin, "pg-bin", "", "directory of initdb and postgres; searched for without it")
	f.BoolVar(&keep, "keep", false, "keep the directory of a run without violations, too")
	if err := f.Parse(args); err != nil {
		return o, keep, err
	}
	given := make(map[string]bool)
	f.Visit(func(f *flag.Flag) { given[f.Name] = true })
	o.Out = os.Stdout
	switch {
	case *long:
		fill(&o, longRun())
	case o.Faults.Alone == rig.Postgres, o.Faults.Alone == rig.NATS:
		fill(&o, outageRun())
	case o.Faults.Alone != "":
		return o, keep, fmt.Errorf("-outage %s: want %s or %s", o.Faults.Alone, rig.Postgres, rig.NATS)
	case o.Rotate:
		fill(&o, rotateRun())
	case given["points"] && !given["short"]:
		fill(&o, pointsRun())
	default:
		fill(&o, shortRun())
	}
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
