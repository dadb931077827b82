package main

import (
	"time"

	"loom.internal/bench/internal/chaos"
	"loom.internal/bench/internal/fault"
)

// tightSpool is small enough for segments to come and go in a short run.
const tightSpool = 16 << 20

func shortRun() chaos.Options {
	return chaos.Options{
		Rate: 60, Duration: 90 * time.Second, Settle: 2 * time.Minute, Resend: 10 * time.Second, Spool: 2 * tightSpool, Bulky: 10,
		Points: 1, Patience: 90 * time.Second,
		Faults: fault.Options{Kills: 25, Outages: 2, Length: 10 * time.Second, Wipes: 1, Restarts: 1, Links: 8, Echoes: 1, Replaces: 1},
	}
}

func longRun() chaos.Options {
	return chaos.Options{
		Rate: 250, Requests: 1_000_000, Settle: 5 * time.Minute, Resend: 30 * time.Second, Spool: 1 << 30, Bulky: 500,
		Points: 1, Patience: 5 * time.Minute,
		Faults: fault.Options{Kills: 200, Outages: 20, Length: time.Minute, Wipes: 1, Restarts: 5, Links: 40, Echoes: 5, Replaces: 10},
	}
}

// pointsRun goes on until no fault point is lacking.
func pointsRun() chaos.Options {
	return chaos.Options{
		Rate: 60, Duration: 30 * time.Second, Settle: 3 * time.Minute, Resend: 10 * time.Second, Spool: tightSpool, Bulky: 10,
		Patience: 20 * time.Minute,
	}
}

// outageRun leaves a minute on either side of an outage.
func outageRun() chaos.Options {
	return chaos.Options{
		Rate: 40, Duration: 3 * time.Minute, Settle: 2 * time.Minute, Resend: 2 * time.Minute, Spool: 1 << 30, Bulky: 100,
		Faults: fault.Options{Length: time.Minute},
	}
}

// rotateRun has the master key replaced under load, and nothing else happen.
func rotateRun() chaos.Options {
	return chaos.Options{Rate: 200, Duration: time.Minute, Settle: 2 * time.Minute, Resend: 2 * time.Minute, Spool: 1 << 30, Bulky: 100}
}

// fill takes from the preset what no flag gave.
func fill(o *chaos.Options, preset chaos.Options) {
	if o.Duration == 0 && o.Requests == 0 {
		o.Duration, o.Requests = preset.Duration, preset.Requests
	}
	orElse(&o.Rate, 0, preset.Rate)
	orElse(&o.Settle, 0, preset.Settle)
	orElse(&o.Points, -1, preset.Points)
	orElse(&o.Faults.Kills, -1, preset.Faults.Kills)
	orElse(&o.Faults.Outages, -1, preset.Faults.Outages)
	orElse(&o.Faults.Wipes, -1, preset.Faults.Wipes)
	orElse(&o.Faults.Links, -1, preset.Faults.Links)
	orElse(&o.Faults.Echoes, -1, preset.Faults.Echoes)
	orElse(&o.Faults.Replaces, -1, preset.Faults.Replaces)
	o.Faults.Length, o.Faults.Restarts = preset.Faults.Length, preset.Faults.Restarts
	o.Resend, o.Spool, o.Bulky, o.Patience = preset.Resend, preset.Spool, preset.Bulky, preset.Patience
}

func orElse[T comparable](to *T, unset, value T) {
	if *to == unset {
		*to = value
	}
}
