package httpapi

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"loom.internal/pkg/tenant"
	"loom.internal/services/dashboard/internal/tail"
	"loom.internal/services/dashboard/internal/traces"
)

// sendLimit is how long a client may take to receive an event before it counts as gone.
const sendLimit = 10 * time.Second

func (a *API) tailTraces(c echo.Context) error {
	p := paramsOf(c)
	s := &tail.Stream{TenantID: tenantID(c), Filter: p.filter()}
	if err := p.done(); err != nil {
		return err
	}
	if id := c.Request().Header.Get("Last-Event-ID"); id != "" {
		place, ok := traces.ParsePlace(id)
		if !ok {
			return badParameter("Last-Event-ID", "is not the id of an event")
		}
		s.After = &place
	}
	ctx := c.Request().Context()
	if err := a.Tail.Open(ctx, s); err != nil {
		return err
	}
	defer s.Close()

	h := c.Response().Header()
	h.Set(echo.HeaderContentType, "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // a proxy is not to wait for more
	c.Response().WriteHeader(http.StatusOK)
	wire := http.NewResponseController(c.Response())
	caller := principal(c)
	err := s.Run(ctx, tail.Client{
		Write: func(event []byte) error {
			if err := wire.SetWriteDeadline(time.Now().Add(sendLimit)); err != nil {
				return err
			}
			if _, err := c.Response().Write(event); err != nil {
				return err
			}
			return wire.Flush()
		},
		Check: func(ctx context.Context) error {
			// A database that is away says nothing against the caller.
			if err := a.Auth.Still(ctx, caller); errors.Is(err, tenant.ErrUnauthorized) {
				return err
			}
			return nil
		},
	})
	_ = wire.SetWriteDeadline(time.Time{}) // for what follows on the connection
	return err
}
