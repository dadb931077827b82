package rig

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"loom.internal/bench/internal/proc"
	"loom.internal/pkg/envelope"
)

// services starts gateways, recorders and analytics, and the dashboard that configures them.
func (r *Rig) services(ctx context.Context) error {
	if err := r.dashboard(ctx); err != nil {
		return err
	}
	for n := range replicas {
		for _, kind := range []string{Recorder, Analytics} {
			dsn, err := r.linkedDSN("loom_" + kind)
			if err != nil {
				return err
			}
			if err := r.service(ctx, kind, n, "NATS_URL="+r.linkedNATS(), "DATABASE_URL="+dsn); err != nil {
				return err
			}
		}
		port, err := proc.FreePort(ctx)
		if err != nil {
			return err
		}
		addr := "127.0.0.1:" + strconv.Itoa(port)
		r.Gateways = append(r.Gateways, "http://"+addr)
		err = r.service(ctx, Gateway, n, "NATS_URL="+r.linkedNATS(), "ADDR="+addr, "DRAIN="+drain.String(), "ALLOW_PRIVATE_UPSTREAMS=true",
			"SPOOL_DIR="+r.SpoolDirs(), "RESEND_AFTER="+r.Resend.String(),
			"SPOOL_MAX_BYTES="+strconv.FormatInt(r.Spool, 10), "CAPTURE_LIMIT=2097152", "DURABILITY="+durability(n))
		if err != nil {
			return err
		}
	}
	if err := errors.Join(r.start(ctx, Dashboard), r.start(ctx, Recorder), r.start(ctx, Analytics), r.start(ctx, Gateway)); err != nil {
		return err
	}
	return r.WaitReady(ctx)
}

// dashboard is one: nothing waits for it but who comes to an empty broker.
func (r *Rig) dashboard(ctx context.Context) error {
	reads, err := r.dsn(database, "loom_dashboard", r.Secret)
	if err != nil {
		return err
	}
	administers, err := r.dsn(database, "loom_admin", r.Secret)
	if err != nil {
		return err
	}
	port, err := proc.FreePort(ctx)
	if err != nil {
		return err
	}
	r.Dashboard = "http://127.0.0.1:" + strconv.Itoa(port)
	return r.service(ctx, Dashboard, 0, "NATS_URL="+r.natsURL, "ADDR=127.0.0.1:"+strconv.Itoa(port), "DATABASE_URL="+reads, "ADMIN_DATABASE_URL="+administers)
}

// durability of a gateway: there is one of each.
func durability(replica int) string { return []string{"process", "power"}[replica%2] }

// SetMasters makes these the master keys of all that is sealed from now on by the runner,
// and of every service from its next start on.
func (r *Rig) SetMasters(masters map[uint32]string) error {
	ring, err := envelope.NewRing(masters)
	if err != nil {
		return err
	}
	r.Ring, r.masters = ring, masters
	return nil
}

// Restart stops the processes of a kind one by one, and starts each with the master keys
// there are now.
func (r *Rig) Restart(ctx context.Context, kind string) error {
	for _, p := range r.procs[kind] {
		err := p.Stop(ctx, func() error { p.Env = append(r.masterEnv(), p.Env[slices.IndexFunc(p.Env, isSetting):]...); return nil })
		if err = errors.Join(err, r.WaitReady(ctx)); err != nil {
			return fmt.Errorf("restart %s: %w", p.Name, err)
		}
	}
	return nil
}

func isSetting(variable string) bool { return strings.HasPrefix(variable, "LOOM_") }

func (r *Rig) masterEnv() []string {
	var env []string
	for version, key := range r.masters {
		name := "ENCRYPTION_MASTER_KEY"
		if version > 1 {
			name += "_V" + strconv.FormatUint(uint64(version), 10)
		}
		env = append(env, name+"="+key)
	}
	return env
}

// WaitReady waits until every gateway takes requests, and the dashboard.
func (r *Rig) WaitReady(ctx context.Context) error {
	for _, base := range append(slices.Clone(r.Gateways), r.Dashboard) {
		err := Until(ctx, startLimit, base+" is ready", func(ctx context.Context) error {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/readyz", nil)
			if err != nil {
				return err
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return err
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				return errors.New(resp.Status)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// service adds replica n of a service with these settings.
func (r *Rig) service(ctx context.Context, kind string, n int, settings ...string) error {
	port, err := proc.FreePort(ctx)
	if err != nil {
		return err
	}
	ops := "127.0.0.1:" + strconv.Itoa(port)
	r.metrics[kind] = append(r.metrics[kind], "http://"+ops)
	env := r.masterEnv()
	for _, s := range append(settings, "LOG_LEVEL=debug", "OPS_ADDR="+ops) {
		env = append(env, "LOOM_"+strings.ToUpper(kind)+"_"+s)
	}
	r.add(proc.Spec{
		Kind: kind, Name: kind + "-" + strconv.Itoa(n), Path: filepath.Join(r.Dir, "bin", kind), Env: env,
		Arm: func() []string { return r.Arm(kind) },
	})
	return nil
}

func (r *Rig) add(s proc.Spec) {
	s.Log = filepath.Join(r.LogDir(), s.Name+".log")
	r.procs[s.Kind] = append(r.procs[s.Kind], proc.New(s))
}

func (r *Rig) start(ctx context.Context, kind string) error {
	var errs []error
	for _, p := range r.procs[kind] {
		errs = append(errs, p.Start(ctx))
	}
	return errors.Join(errs...)
}
