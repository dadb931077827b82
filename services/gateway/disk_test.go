package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"loom.internal/pkg/telemetry"
	"loom.internal/services/gateway"
	"loom.internal/services/gateway/internal/record"
	"loom.internal/services/gateway/internal/spool"
)

var smallDisk = flag.String("gateway.disk", "", "run on a small disk mounted here; the tests use it on themselves")

// onSmallDisk runs the test that calls it in a process of its own, with a disk of 4 MB
// at dir that only this process sees. It reports false where that is not allowed, unless
// the environment says that nothing may be left out: then the test fails.
func onSmallDisk(t *testing.T, test func(t *testing.T, dir string)) bool {
	t.Helper()
	if *smallDisk != "" {
		if err := syscall.Mount("loom-test", *smallDisk, "tmpfs", 0, "size=4m,mode=0700"); err != nil {
			t.Fatalf("mount: %v", err)
		}
		test(t, *smallDisk)
		return true
	}
	alone := &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	if uid := os.Getuid(); uid != 0 {
		alone.Cloneflags = syscall.CLONE_NEWUSER
		alone.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
	}
	may := exec.CommandContext(t.Context(), "mount", "-t", "tmpfs", "loom-test", t.TempDir())
	may.SysProcAttr = alone
	if out, err := may.CombinedOutput(); err != nil {
		tell := t.Logf
		if required() {
			tell = t.Fatalf
		}
		tell("may not mount a disk here (%v): %s", err, out)
		return false
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-gateway.disk="+t.TempDir())
	cmd.SysProcAttr = alone
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
		t.Errorf("on a small disk: %v\n%s", err, out)
	}
	return true
}

// required reports whether a test has to run as it is meant to.
func required() bool {
	for _, name := range []string{"LOOM_TEST_REQUIRE", "CI"} {
		if on, err := strconv.ParseBool(os.Getenv(name)); err == nil && on { //nolint:forbidigo // a setting of tests
			return true
		}
	}
	return false
}

// fill takes all that is left of the disk. What it returns gives it back.
func (w *world) fill(dir string) (free func()) {
	w.tb.Helper()
	name := filepath.Join(dir, "of-others")
	f, err := os.Create(name)
	w.must(err)
	for block := make([]byte, 64<<10); len(block) > 0; {
		if _, err = f.Write(block); err != nil {
			block = block[:len(block)/2]
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		w.tb.Fatalf("fill the disk: got %v, want no space left", err)
	}
	return func() { w.must(errors.Join(f.Close(), os.Remove(name))) }
}

func onDisk(dir string, policy record.Policy) setup {
	return setup{change: func(c *gateway.Config) {
		c.SpoolDir, c.SpoolMaxBytes, c.CaptureLimit, c.TracePolicy, c.Drain = dir, 16<<20, 384<<10, policy, 100*time.Millisecond
	}}
}

// Others fill the disk: nothing is served untraced, it passes with the lack of space, and
// what was served is whole on the disk.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	ran := onSmallDisk(t, func(t *testing.T, dir string) {
		t.Helper()
		w := start(t, onDisk(filepath.Join(dir, "spool"), record.Required))
		served := 0
		equal(t, "before", w.chat(demoChat).status, 200)
		free := w.fill(dir)
		var refused answer
		w.eventually("refused", func() bool { // up to 1 MB was taken ahead
			if refused = w.chat(demoChat); refused.status == 200 {
				served++
			}
			return refused.status != 200
		})
		equal(t, "status", refused.status, http.StatusServiceUnavailable)
		w.envelope(refused, "server_error", "provider_unavailable")
		equal(t, "retry-after", refused.header.Get("Retry-After"), "1")
		free()
		equal(t, "after", w.chat(demoChat).status, 200)
		w.traces(served + 2)
		w.must(w.stop())
		w.start(onDisk(filepath.Join(dir, "spool"), record.Required).change) // what it finds is whole
		equal(t, "in quarantine", w.metric("loom_gateway_spool_quarantined_total"), 0)
		equal(t, "kept", w.metric("loom_gateway_spool_events"), float64(served+2))
	})
	if !ran {
		t.Log("the same is shown on a simulated disk by the package spool")
	}
}

func TestDiskFullServesByBestEffort(t *testing.T) {
	t.Parallel()
	ran := onSmallDisk(t, func(t *testing.T, dir string) {
		t.Helper()
		w := start(t, onDisk(filepath.Join(dir, "spool"), record.BestEffort))
		free := w.fill(dir)
		traced := 0
		w.eventually("untraced", func() bool {
			equal(t, "status", w.chat(demoChat).status, 200)
			if w.metric("loom_untraced_total") > 0 {
				return true
			}
			traced++
			return false
		})
		equal(t, "untraced", w.metric("loom_untraced_total"), 1)
		free()
		equal(t, "status", w.chat(demoChat).status, 200)
		equal(t, "untraced", w.metric("loom_untraced_total"), 1)
		w.traces(traced + 1)
	})
	if !ran {
		t.Log("the same is shown on a simulated disk by the package spool")
	}
}

// A gateway that cannot have its spool says why and what to do, and does not serve.
func TestSpoolRefused(t *testing.T) {
	t.Parallel()
	w := start(t, setup{noStart: true})
	before := t.TempDir()
	held, err := spool.Open(before, spool.Options{})
	w.must(errors.Join(err, held.Close()))
	file := filepath.Join(t.TempDir(), "file")
	w.must(os.WriteFile(file, nil, 0o600))
	for dir, want := range map[string]string{
		before:                       "move all that is in " + before + " into " + filepath.Join(before, "gw-000"),
		file:                         "not a directory",
		filepath.Join(file, "spool"): "not a directory",
	} {
		contains(t, dir, w.runError(dir), want)
	}
}

// A disk that is mounted read-only is refused before anything is served.
func TestReadOnlyDisk(t *testing.T) {
	t.Parallel()
	ran := onSmallDisk(t, func(t *testing.T, dir string) {
		t.Helper()
		w := start(t, onDisk(dir, record.BestEffort))
		equal(t, "status", w.chat(demoChat).status, 200)
		w.must(w.stop())
		w.must(syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
		text := w.runError(dir)
		contains(t, "used before", text, "read-only file system")
		contains(t, "used before", text, dir)
		contains(t, "new", w.runError(filepath.Join(dir, "new")), "read-only file system")
	})
	if !ran {
		t.Log("the error is that of any directory that cannot be written, as in TestSpoolRefused")
	}
}

// runError is why a gateway on dir does not run.
func (w *world) runError(dir string) string {
	w.tb.Helper()
	cfg := w.config(func(c *gateway.Config) { c.SpoolDir = dir })
	svc, err := gateway.New(cfg, gateway.Deps{
		Log: quiet(w.tb), Metrics: prometheus.NewRegistry(), Ready: new(telemetry.Readiness), NATS: w.nc, Bodies: w.nc,
	})
	w.must(err)
	ctx, cancel := context.WithTimeout(w.tb.Context(), patience)
	defer cancel()
	if err = svc.Run(ctx); err == nil {
		w.tb.Fatalf("a gateway runs on %s", dir)
	}
	if !strings.Contains(err.Error(), dir) {
		w.tb.Errorf("error %q does not name %s", err, dir)
	}
	return err.Error()
}
