package replay_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"loom.internal/cmd/loom/internal/replay"
	"loom.internal/pkg/bus"
	"loom.internal/pkg/testkit"
)

// spawn starts a replay as a process of its own.
func (r *rig) spawn(t *testing.T, opt replay.Options) (cmd *exec.Cmd, stderr *bytes.Buffer) {
	t.Helper()
	text, err := json.Marshal(order{Database: r.DSN(""), NATS: r.broker.URL, Options: opt})
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	stderr = new(bytes.Buffer)
	cmd = exec.Command(exe)
	cmd.Env, cmd.Stderr = append(os.Environ(), childOrder+"="+string(text)), stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd, stderr
}

// killed waits until the process has been killed, or has ended well before that.
func killed(t *testing.T, cmd *exec.Cmd, stderr *bytes.Buffer) (done bool) {
	t.Helper()
	_ = cmd.Process.Kill()
	err := cmd.Wait()
	if err == nil {
		return true
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the replay ended by itself: %v\n%s", err, stderr)
	}
	return false
}

// phase is that of the unfinished run; "" if there is none.
func (r *rig) phase(ctx context.Context) string {
	var phase string
	_ = r.Pool("").QueryRow(ctx, `SELECT state->>'Phase' FROM loom_replay.run`).Scan(&phase)
	return phase
}

// A replay is killed when it enters each phase and at random moments, under traffic, and
// what comes out in the end is what was there before, and the traffic.
func TestKilledAndResumed(t *testing.T) {
	t.Parallel()
	const seedOfDice = 20261123
	dice := rand.New(rand.NewPCG(seedOfDice, 0))
	r := newRig(t)
	r.live(t)
	r.publish(t, mixed(6000, 5)...)
	r.settled(t)
	before := r.sumsWhere(t, seeded)
	stop := r.traffic(t)

	kills, finished := map[string]int{}, 0
	count := func(cmd *exec.Cmd, stderr *bytes.Buffer) {
		phase := r.phase(t.Context())
		if killed(t, cmd, stderr) {
			finished++
			return
		}
		kills[phase]++
	}
	for _, phase := range []string{"apply", "carry", "sum", "tail"} {
		cmd, stderr := r.spawn(t, all)
		testkit.Await(t, "phase "+phase, func(ctx context.Context) bool {
			now := r.phase(ctx)
			return now == phase || now > phase && phase != "apply" // it may be over before it is seen
		})
		count(cmd, stderr)
	}
	for range 12 {
		cmd, stderr := r.spawn(t, all)
		pause := time.NewTimer(time.Duration(20+dice.IntN(900)) * time.Millisecond)
		<-pause.C
		count(cmd, stderr)
	}
	total := 0
	for _, n := range kills {
		total += n
	}
	t.Logf("seed %d: killed %v, finished before that %d times", seedOfDice, kills, finished)
	if total < 10 {
		t.Errorf("only %d kills came in time, want 10 at least", total)
	}
	report := r.replay(t, all)
	n := stop()
	r.settled(t)
	if !report.Swapped {
		t.Errorf("got %+v", report)
	}
	if diff := cmp.Diff(before, r.sumsWhere(t, seeded)); diff != "" {
		t.Errorf("checksums (-before +after):\n%s", diff)
	}
	r.complete(t, n)
}

// A run that was stopped is resumed by the same options only, and given up by Abort.
func TestUnfinishedRun(t *testing.T) {
	t.Parallel()
	r := seed(t, 3000)
	before := r.sums(t)
	cmd, stderr := r.spawn(t, all)
	testkit.Await(t, "a run", func(ctx context.Context) bool { return r.phase(ctx) != "" })
	if killed(t, cmd, stderr) {
		t.Fatal("it was done before it was killed")
	}
	other := all
	other.Tenant = "acme"
	if _, err := replay.Run(t.Context(), r.config(t), other); !errors.Is(err, replay.ErrUnfinished) {
		t.Errorf("other options: got %v, want %v", err, replay.ErrUnfinished)
	}
	if err := replay.Abort(t.Context(), r.DSN("")); err != nil {
		t.Error(err)
	}
	r.noShadow(t)
	if err := replay.Abort(t.Context(), r.DSN("")); !errors.Is(err, replay.ErrNoRun) {
		t.Errorf("abort again: got %v, want %v", err, replay.ErrNoRun)
	}
	if diff := cmp.Diff(before, r.sums(t)); diff != "" {
		t.Errorf("checksums (-before +after the abort):\n%s", diff)
	}
	r.replay(t, other)
	if diff := cmp.Diff(before, r.sums(t)); diff != "" {
		t.Errorf("checksums (-before +after):\n%s", diff)
	}
}

// A stream that lets go of events while a replay lies dead is noticed by the next process,
// and not forgotten by the one after it: what only the live tables have is carried over.
func TestKilledWhileTheStreamForgets(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.live(t)
	r.publish(t, mixed(1000, 5)...)
	r.settled(t)
	// A reader of a live table keeps the replay from swapping.
	reader, err := r.Pool("").Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Rollback(context.WithoutCancel(t.Context())) }()
	if _, err := reader.Exec(t.Context(), `SELECT FROM traces LIMIT 1`); err != nil {
		t.Fatal(err)
	}
	cmd, stderr := r.spawn(t, all)
	testkit.Await(t, "the tail", func(ctx context.Context) bool { return r.phase(ctx) == "tail" })
	if killed(t, cmd, stderr) {
		t.Fatal("it was done before it was killed")
	}
	applied := r.number(t.Context(), `SELECT (state->>'Applied')::bigint FROM loom_replay.run`)

	r.publish(t, mixed(400, 9)...)
	r.settled(t)
	before := r.sums(t)
	stream, err := r.js.Stream(t.Context(), bus.StreamTrace)
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	config.MaxMsgs = 50
	if _, err := r.js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	cmd, stderr = r.spawn(t, all)
	testkit.Await(t, "events past the gap", func(ctx context.Context) bool {
		return r.number(ctx, `SELECT (state->>'Applied')::bigint FROM loom_replay.run`) > applied
	})
	if killed(t, cmd, stderr) {
		t.Fatal("it was done before it was killed again")
	}
	if n := r.number(t.Context(), `SELECT count(*) FROM loom_replay.run WHERE state->>'Phase' = 'tail' AND NOT (state->>'Jumped')::bool`); n > 0 {
		t.Error("the gap is forgotten")
	}
	if err := reader.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if report := r.replay(t, all); !report.Swapped {
		t.Errorf("got %+v", report)
	}
	if diff := cmp.Diff(before, r.sums(t)); diff != "" {
		t.Errorf("checksums (-before +after):\n%s", diff)
	}
}
