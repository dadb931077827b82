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

	"loom.internal/bench/internal/fault"
	"loom.internal/bench/internal/point"
	"loom.internal/bench/internal/rig"
	"loom.internal/bench/internal/script"
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
	Points   int           // kills at each fault point; the load goes on until there are so many
	Patience time.Duration // how long it goes on beyond its time for that
	Resend   time.Duration // of gateways
	Spool    int64         // bytes a gateway's spool may take
	Bulky    int           // one request in so many is long
	Settle   time.Duration // how long the system may take to become quiet, with nothing left in a spool
	Every    int           // one body in so many is opened
	Rotate   bool          // the master key is replaced meanwhile
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
	needles := map[string]string{"canary": canary, "provider secret": "sk-" + rand.Text(), "master key": masterKey(), "second master key": masterKey()}
	upstream := script.NewUpstream(canary)
	points := point.New(point.Options{Want: o.Points, Rate: o.Rate, Seed: o.Seed, Log: filepath.Join(o.Dir, "faultpoints.log")})
	r, err := rig.New(ctx, rig.Options{
		Dir: o.Dir, Self: o.Self, PGBin: o.PGBin, Resend: o.Resend, Spool: o.Spool, Upstream: upstream,
		Master: needles["master key"], Secret: needles["provider secret"], Arm: points.Env,
	})
	defer func() { err = errors.Join(err, r.Close()) }()
	if err != nil {
		return err
	}
	for _, c := range r.Clients {
		needles["key of "+c.Tenant] = c.Key
	}
	run := &run{Options: o, rig: r, points: points, second: needles["second master key"], began: time.Now()}
	lines, err := run.disturb(ctx, canary)
	if err != nil {
		return err
	}
	if err := run.settle(ctx, len(lines)); err != nil {
		return err
	}
	return run.judge(ctx, lines, needles, upstream.Reached)
}

// run is a run under way.
type run struct {
	Options
	rig     *rig.Rig
	points  *point.Points
	began   time.Time
	second  string    // master key, where it is replaced
	rotated *rotation // how that went
	after   *drained  // how the outage went, if there was one alone
	quiet   bool      // the system came to rest within its time, with empty spools
}

func masterKey() string {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return hex.EncodeToString(key)
}

func (o *Options) say(format string, args ...any) {
	_, _ = fmt.Fprintf(o.Out, format+"\n", args...)
}

// NewDir makes a directory that the account of Postgres may pass through.
func NewDir() (string, error) {
	dir, err := os.MkdirTemp("", "loom-chaos-")
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o711) //nolint:gosec // the engines' own directories inside are private
}
