package httpapi

import (
	"encoding/csv"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"loom.internal/services/dashboard/internal/stats"
)

// costsCSV sends rows as they are read. A file that could not be read to its end is cut
// on the wire, so that nobody takes it for whole.
func (a *API) costsCSV(c echo.Context) error {
	q, err := costQuery(c, a.Now())
	if err != nil {
		return err
	}
	h := c.Response().Header()
	h.Set(echo.HeaderContentType, "text/csv; charset=utf-8")
	h.Set(echo.HeaderContentDisposition, `attachment; filename="costs.csv"`)
	to := newSender(c)
	defer to.Done()
	out := csv.NewWriter(to)
	// Nothing is sent before the buffer is full: until then an error is an answer of its own.
	err = out.Write([]string{
		"key", "label", "cost_usd", "previous_usd", "share", "requests", "unpriced", "tokens_in", "cached_tokens", "tokens_out", "per_1k_usd",
	})
	if err != nil {
		return err
	}
	err = a.Stats.EachCost(c.Request().Context(), q, func(r stats.CostRow) error {
		number := func(n int64) string { return strconv.FormatInt(n, 10) }
		share := ""
		if r.Share != nil {
			share = strconv.FormatFloat(*r.Share, 'f', -1, 64)
		}
		return out.Write([]string{
			cell(r.Key), cell(r.Label), known(r.Cost), known(r.Previous), share,
			number(r.Requests), number(r.Unpriced), number(r.Input), number(r.Cached), number(r.Output), known(r.Per1k),
		})
	})
	if err == nil {
		out.Flush()
		err = out.Error()
	}
	if err != nil && c.Response().Committed {
		a.Log.LogAttrs(c.Request().Context(), slog.LevelWarn, "costs cut short", slog.Any("error", err), slog.String("request_id", idOf(c)))
		panic(http.ErrAbortHandler)
	}
	if err != nil {
		h.Del(echo.HeaderContentDisposition)
	}
	return err
}

// cell is text that no spreadsheet takes for a formula.
func cell(text string) string {
	if strings.IndexAny(text, "=+-@\t\r\n＝＋－＠") == 0 {
		return "'" + text
	}
	return text
}

func known(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}
