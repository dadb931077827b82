package httpapi

import (
	"math"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/event"
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

func (a *API) pipeline(c echo.Context) error {
	if err := noParams(c); err != nil {
		return err
	}
	state, err := a.Pipeline.Read(c.Request().Context())
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, state)
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

func (a *API) discardDead(c echo.Context) error {
	id, err := deadID(c)
	if err != nil {
		return err
	}
	discarded, err := a.Dead.Discard(c.Request().Context(), principal(c).Actor(), id)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, discarded)
}

func (a *API) acknowledgeGap(c echo.Context) error {
	var body struct {
		ProducerID string `json:"producer_id"`
		Epoch      int64  `json:"epoch"`
		From       int64  `json:"from"`
		To         int64  `json:"to"`
		Reason     string `json:"reason"`
	}
	if err := noParams(c); err != nil {
		return err
	}
	if err := readJSON(c, maxBody, &body); err != nil {
		return err
	}
	var f faults
	f.check(event.ValidProducer(body.ProducerID), "producer_id", "is not the id of a gateway")
	f.check(body.Epoch >= 0, "epoch", "is not an epoch of a gateway")
	f.check(body.From >= 1, "from", "numbers count from 1")
	f.check(body.To >= body.From && body.To < math.MaxInt64, "to", "is not a number from `from` on")
	body.Reason = f.reason(body.Reason, "why they will never come")
	if err := f.err(); err != nil {
		return err
	}
	done, err := a.Verifier.Acknowledge(c.Request().Context(), principal(c).Actor(),
		event.Life{ProducerID: body.ProducerID, Epoch: body.Epoch}, verify.Gap{From: body.From, To: body.To}, body.Reason)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, done)
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
