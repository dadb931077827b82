package httpapi

import (
	"math"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"loom.internal/pkg/bus"
	"loom.internal/services/dashboard/internal/dead"
	"loom.internal/services/dashboard/internal/verify"
)

func (a *API) verify(c echo.Context) error {
	p := paramsOf(c)
	days := p.number("days", verify.DefaultDays, 1, verify.MaxDays)
	if err := p.done(); err != nil {
		return err
	}
	report, err := a.Verifier.Check(c.Request().Context(), int(days))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, report)
}

func (a *API) listDead(c echo.Context) error {
	p := paramsOf(c)
	before := p.number("cursor", math.MaxInt64, 1, math.MaxInt64)
	consumer := p.enum("consumer", bus.ConsumerRecorder, bus.ConsumerAnalytics)
	limit := p.limit(defaultPage, maxPage)
	if err := p.done(); err != nil {
		return err
	}
	events, more, err := a.Dead.List(c.Request().Context(), consumer, before, limit)
	if err != nil {
		return err
	}
	page := struct {
		Items      []dead.Event `json:"items"`
		NextCursor *string      `json:"next_cursor"`
	}{Items: events}
	if more {
		page.NextCursor = new(strconv.FormatInt(events[len(events)-1].ID, 10))
	}
	return c.JSON(http.StatusOK, page)
}

func (a *API) getDead(c echo.Context) error {
	id, err := deadID(c)
	if err != nil {
		return err
	}
	e, err := a.Dead.Get(c.Request().Context(), id)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, e)
}

func (a *API) retryDead(c echo.Context) error {
	id, err := deadID(c)
	if err != nil {
		return err
	}
	retried, err := a.Dead.Retry(c.Request().Context(), principal(c).Actor(), id)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, retried)
}

// deadID reads the id of the path. What is no id names no event.
func deadID(c echo.Context) (int64, error) {
	if err := noParams(c); err != nil {
		return 0, err
	}
	id, err := strconv.ParseInt(c.Param("id"), 10, 64)
	if err != nil || id < 1 {
		return 0, errNotFound
	}
	return id, nil
}
