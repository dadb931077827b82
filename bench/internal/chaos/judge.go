package chaos

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"time"

	"loom.internal/bench/internal/fault"
	"loom.internal/bench/internal/ledger"
	"loom.internal/bench/internal/oracle"
	"loom.internal/bench/internal/rig"
	"loom.internal/pkg/faultpoint"
)

// judge prints the verdict. Its error is ErrViolated if a promise was broken.
func (r *run) judge(ctx context.Context, lines []ledger.Line, needles map[string]string, reached func(uint64) int) error {
	db, err := r.rig.Connect(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	evidence, err := oracle.Read(ctx, db, r.rig.Ring, r.Every)
	if err = errors.Join(err, db.Close(ctx)); err != nil {
		return err
	}
	verdict := oracle.Judge(lines, evidence, reached)
	compared := time.Now()
	exported := filepath.Join(r.Dir, "exported")
	if err := r.rig.Export(ctx, exported); err != nil {
		return err
	}
	hits, read, err := oracle.Scan(ctx, spelled(needles), r.rig.SpoolDirs(), r.rig.NATSDir(), r.rig.PostgresDir(), r.rig.LogDir(), exported)
	if err != nil {
		return err
	}
	// A scan that cannot find what is there proves nothing.
	tenant := map[string]string{"tenant": r.rig.Clients[0].Tenant}
	control, _, err := oracle.Scan(ctx, tenant, r.rig.SpoolDirs(), r.rig.NATSDir(), r.rig.PostgresDir(), exported)
	if err != nil {
		return err
	}
	searched := time.Now()

	r.say("\nseed            %d", r.Seed)
	sound := r.deaths()
	sound = r.atPoints() && sound
	verdict.Print(r.Out)
	sound = r.outage(lines) && sound
	sound = r.rotation() && sound
	r.say("canary hits     %d in %d MB (control: %d files with a tenant's id)", len(hits), read>>20, len(control))
	for _, h := range hits {
		r.say("  %s in %s", h.Needle, h.Path)
	}
	r.say("took            %s of load and faults, %s to compare, %s to search; %d MB on disk, of which logs %d MB",
		began.Sub(r.began).Round(time.Second), compared.Sub(began).Round(100*time.Millisecond), searched.Sub(compared).Round(100*time.Millisecond),
		used(r.Dir)>>20, used(r.rig.LogDir())>>20)
	if !sound || !r.quiet || !verdict.OK() || len(hits) > 0 || len(control) == 0 {
		r.say("VIOLATED: see %s", r.Dir)
		return ErrViolated
	}
	r.say("OK: lost 0, duplicated 0, cost difference 0, canary hits 0, gaps 0, spools empty")
	return nil
}

// spelled adds to needles how a dump writes bytes, and how JSON does.
func spelled(needles map[string]string) map[string]string {
	all := maps.Clone(needles)
	for name, n := range needles {
		all[name+" in hex"] = hex.EncodeToString([]byte(n))
		for shift := range 3 { // wherever it begins in what is encoded
			text := base64.StdEncoding.EncodeToString([]byte("xx"[:shift] + n))
			all[fmt.Sprintf("%s in base64, %d", name, shift)] = text[4*min(shift, 1) : len(text)-len(text)%4-4]
		}
	}
	return all
}

// deaths prints what was done to each kind of process, and reports whether all of it
// was meant to be.
func (r *run) deaths() (meant bool) {
	meant = true
	var own int64
	for _, kind := range rig.Kinds() {
		var kills, stops, deaths, falls int64
		for _, p := range r.rig.Procs(kind) {
			kills, stops = kills+p.Kills.Load(), stops+p.Stops.Load()
			deaths, falls = deaths+p.Deaths.Load(), falls+p.Falls.Load()
		}
		r.say("%-15s %d kills -9, %d at fault points, %d stops, ended by itself %d", kind, kills, deaths, stops, falls)
		own, meant = own+deaths, meant && falls == 0
	}
	// One that was killed from outside at that moment may have left its point, too.
	points := int64(0)
	for _, n := range r.points.Kills() {
		points += int64(n)
	}
	if own > points {
		r.say("  %d processes were killed by something else", own-points)
		meant = false
	}
	whats := make(map[fault.What]int)
	for _, e := range fault.Plan(r.Faults) {
		whats[e.What]++
	}
	r.say("outages         %d of %s, broker wiped %d times, rolling restarts %d", whats[fault.Outage], r.Faults.Length, whats[fault.Wipe], r.Faults.Restarts)
	r.say("ways            %d cut, %d slow, %d stalled, %d throttled; events sent again %d times",
		whats[fault.Cut], whats[fault.Slow], whats[fault.Stall], whats[fault.Throttle], whats[fault.Echo])
	adopted, err := r.rig.Adoptions()
	note := ""
	if err != nil || adopted == 0 && whats[fault.Replace] > 0 {
		note, meant = " TOO FEW", false
	}
	r.say("gateways        %d gone for good, %d spools adopted%s", whats[fault.Replace], adopted, note)
	return meant
}

// atPoints prints how often each fault point has killed, and reports whether that is
// often enough.
func (r *run) atPoints() bool {
	if r.Points == 0 {
		return true
	}
	kills := r.points.Kills()
	for _, name := range faultpoint.Names() {
		note := ""
		if kills[name] < r.Points {
			note = " TOO FEW"
		}
		r.say("  %5d died at %s%s", kills[name], name, note)
	}
	return len(r.points.Lacking()) == 0
}
