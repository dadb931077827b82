package rig

import (
	"context"
	"net"
	"net/url"
	"path/filepath"

	"loom.internal/bench/internal/link"
)

// Link is on the way of all services to NATS or to Postgres. The runner itself goes
// another way.
func (r *Rig) Link(kind string) *link.Link { return r.links[kind] }

// join makes the links. An engine's address stays the same when it is started again.
func (r *Rig) join(ctx context.Context) error {
	broker, err := url.Parse(r.natsURL)
	if err != nil {
		return err
	}
	text, err := r.dsn(database, "", "")
	if err != nil {
		return err
	}
	dsn, err := url.Parse(text)
	if err != nil {
		return err
	}
	socket := filepath.Join(dsn.Query().Get("host"), ".s.PGSQL.5432")
	for kind, to := range map[string]func() (network, address string){
		NATS:     func() (network, address string) { return "tcp", broker.Host },
		Postgres: func() (network, address string) { return "unix", socket },
	} {
		if r.links[kind], err = link.Listen(ctx, to); err != nil {
			return err
		}
	}
	return nil
}

// linkedNATS is the broker's URL for services.
func (r *Rig) linkedNATS() string { return "nats://" + r.links[NATS].Addr() }

// linkedDSN is dsn for services.
func (r *Rig) linkedDSN(role string) (string, error) {
	text, err := r.dsn(database, role, r.Secret)
	if err != nil {
		return "", err
	}
	u, err := url.Parse(text)
	if err != nil {
		return "", err
	}
	host, port, err := net.SplitHostPort(r.links[Postgres].Addr())
	if err != nil {
		return "", err
	}
	q := u.Query()
	q.Set("host", host)
	q.Set("port", port)
	u.RawQuery = q.Encode()
	return u.String(), nil
}
