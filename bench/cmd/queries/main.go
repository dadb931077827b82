// Command queries measures how long the dashboard's API takes for what pages ask.
//
//	queries                   of the Loom that make start has started, as seed has filled it
//	queries -facts 10000000   of one of its own that it fills with so many requests, and removes
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"loom.internal/bench/internal/measure"
	"loom.internal/bench/internal/seed"
	"loom.internal/bench/internal/solo"
	"loom.internal/bench/internal/traffic"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "queries:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("queries", flag.ContinueOnError)
	data := f.String("data", ".loom", "data directory of the running Loom")
	tenant := f.String("tenant", traffic.Tenants()[0], "whose traffic is asked for")
	times := f.Int("times", 50, "each question is asked")
	facts := f.Int("facts", 0, "start a Loom with so many requests of 30 days instead")
	err := f.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	if *times < 1 || *facts < 0 {
		return errors.New("want each question asked at least once")
	}
	o := measure.Options{Times: *times, Out: os.Stdout}
	if *facts > 0 {
		return alone(ctx, o, *tenant, *facts)
	}
	home, tenants, err := open(ctx, *data)
	if err != nil {
		return err
	}
	o.Dashboard, o.Key = home.Dashboard, tenants.Logins[*tenant]
	return measure.Run(ctx, o)
}

// alone measures a Loom of its own.
func alone(ctx context.Context, o measure.Options, tenant string, facts int) (err error) {
	l, err := solo.Start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	home, tenants, err := open(ctx, l.Data)
	if err != nil {
		return err
	}
	began := time.Now()
	month := traffic.Options{Seed: 1, Count: facts, Days: 30, Until: began, Keys: tenants.Keys}
	if err := seed.Write(ctx, home.Database, month, seed.Progress(os.Stdout, facts)); err != nil {
		return err
	}
	fmt.Printf("%d requests written in %s\n\n", facts, time.Since(began).Round(time.Second))
	o.Dashboard, o.Key = home.Dashboard, tenants.Logins[tenant]
	return measure.Run(ctx, o)
}

// open finds the Loom of a data directory, with tenants and keys.
func open(ctx context.Context, data string) (seed.Home, seed.Tenants, error) {
	home, err := seed.Open(data)
	if err != nil {
		return home, seed.Tenants{}, err
	}
	tenants, err := seed.Configure(ctx, home)
	return home, tenants, err
}
