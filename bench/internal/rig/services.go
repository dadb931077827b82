package rig

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"

	"loom.internal/bench/internal/proc"
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
			r.service(kind, n, "NATS_URL="+r.linkedNATS(), "DATABASE_URL="+dsn)
		}
		port, err := proc.FreePort(ctx)
		if err != nil {
			return err
		}
		ops, err := proc.FreePort(ctx)
		if err != nil {
			return err
		}
		r.ops = append(r.ops, "http://127.0.0.1:"+strconv.Itoa(ops))
		addr := "127.0.0.1:" + strconv.Itoa(port)
		r.Gateways = append(r.Gateways, "http://"+addr)
		r.service(Gateway, n, "NATS_URL="+r.linkedNATS(), "ADDR="+addr, "OPS_ADDR=127.0.0.1:"+strconv.Itoa(ops), "DRAIN="+drain.String(), "ALLOW_PRIVATE_UPSTREAMS=true",
			"SPOOL_DIR="+filepath.Join(r.SpoolDirs(), strconv.Itoa(n)), "RESEND_AFTER="+r.Resend.String(),
			"SPOOL_MAX_BYTES="+strconv.FormatInt(r.Spool, 10), "CAPTURE_LIMIT=2097152", "DURABILITY="+durability(n))
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
	r.service(Dashboard, 0, "NATS_URL="+r.natsURL, "ADDR=127.0.0.1:"+strconv.Itoa(port), "DATABASE_URL="+reads, "ADMIN_DATABASE_URL="+administers)
	return nil
}

// durability of a gateway: there is one of each.
func durability(replica int) string { return []string{"process", "power"}[replica%2] }

// WaitReady waits until every gateway takes requests.
func (r *Rig) WaitReady(ctx context.Context) error {
	for _, base := range r.Gateways {
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
func (r *Rig) service(kind string, n int, settings ...string) {
	env := []string{"ENCRYPTION_MASTER_KEY=" + r.Master}
	for _, s := range append(settings, "LOG_LEVEL=debug") {
		env = append(env, "LOOM_"+strings.ToUpper(kind)+"_"+s)
	}
	r.add(proc.Spec{
		Kind: kind, Name: kind + "-" + strconv.Itoa(n), Path: filepath.Join(r.Dir, "bin", kind), Env: env,
		Arm: func() []string { return r.Arm(kind) },
	})
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
