// Command seed fills a Loom that `make start` has started with a month of made-up
// traffic of three tenants.
//
//	seed                      10,000 requests of the last 30 days, through the broker
//	seed -n 500 -days 2       fewer
//	seed -facts 10000000      straight into the tables: no bodies, but ten million
//
// Afterwards it prints with what to log in at the dashboard.
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

	"loom.internal/bench/internal/seed"
	"loom.internal/bench/internal/traffic"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "seed:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("seed", flag.ContinueOnError)
	data := f.String("data", ".loom", "data directory of the running Loom")
	random := f.Uint64("seed", 1, "what is made up; the same seed makes the same")
	count := f.Int("n", 10_000, "requests, through the broker and with bodies")
	facts := f.Int("facts", 0, "requests, straight into the database instead and without bodies")
	days := f.Int("days", 30, "how far back they reach")
	database := f.String("database", "", "with -facts: URL of the database, as its owner; empty: that of the running Loom")
	err := f.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	if *count < 1 || *facts < 0 || *days < 1 || *days > 365 {
		return errors.New("want at least one request, and 1 to 365 days")
	}
	home, err := seed.Open(*data)
	if err != nil {
		return err
	}
	tenants, err := seed.Configure(ctx, home)
	if err != nil {
		return err
	}
	began := time.Now()
	o := traffic.Options{Seed: *random, Count: *count, Days: *days, Until: began, Keys: tenants.Keys}
	if *facts > 0 {
		o.Count = *facts
		if *database != "" {
			home.Database = *database
		}
		err = seed.Write(ctx, home.Database, o, seed.Progress(os.Stdout, o.Count))
	} else {
		err = seed.Publish(ctx, home, o, seed.Progress(os.Stdout, o.Count))
	}
	if err != nil {
		return err
	}
	fmt.Printf("\n%d requests of %d days in %s. Log in at %s:\n\n", o.Count, o.Days, time.Since(began).Round(time.Millisecond), home.Dashboard)
	for _, id := range traffic.Tenants() {
		fmt.Printf("  %-10s %s\n", id, tenants.Logins[id])
	}
	return nil
}
