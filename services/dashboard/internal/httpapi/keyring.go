package httpapi

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"loom.internal/pkg/event"
	"loom.internal/services/dashboard/internal/keyring"
)

func (a *API) listDataKeys(c echo.Context) error {
	p := paramsOf(c)
	tenantID, cursor, limit := p.one("tenant"), p.one("cursor"), p.limit(defaultTenants, maxTenants)
	after, number, _ := strings.Cut(cursor, "/")
	epoch, err := strconv.ParseInt(number, 10, 32)
	if cursor != "" && (err != nil || !event.ValidTenant(after)) {
		p.bad("cursor", "is not the next_cursor of a page")
	}
	if tenantID != "" && !event.ValidTenant(tenantID) {
		p.bad("tenant", "is not the id of a tenant")
	}
	if err := p.done(); err != nil {
		return err
	}
	keys, more, err := a.Keys.List(c.Request().Context(), tenantID, after, int32(epoch), limit)
	if err != nil {
		return err
	}
	page := struct {
		Items      []keyring.DataKey `json:"items"`
		NextCursor *string           `json:"next_cursor"`
	}{Items: keys}
	if more {
		last := keys[len(keys)-1]
		page.NextCursor = new(fmt.Sprintf("%s/%d", last.TenantID, last.Epoch))
	}
	return c.JSON(http.StatusOK, page)
}

func (a *API) listMasters(c echo.Context) error {
	if err := noParams(c); err != nil {
		return err
	}
	versions, err := a.Keys.Masters(c.Request().Context())
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, map[string]any{"items": versions})
}

func (a *API) rewrap(c echo.Context) error {
	var body struct {
		From   string `json:"from"`
		DryRun bool   `json:"dry_run"`
	}
	if err := noParams(c); err != nil {
		return err
	}
	if err := readJSON(c, maxBody, &body); err != nil {
		return err
	}
	done, err := a.Keys.Rewrap(c.Request().Context(), principal(c).Actor(), body.From, body.DryRun)
	if err != nil {
		return err
	}
	pushed := done.Rewrapped == 0 || body.DryRun || a.push(c)
	return c.JSON(http.StatusOK, struct {
		keyring.Rewrapped
		Pushed bool `json:"pushed"`
	}{done, pushed})
}

func (a *API) rotateDataKey(c echo.Context) error {
	id, err := tenantOf(c)
	if err != nil {
		return err
	}
	epoch, err := a.Keys.Rotate(c.Request().Context(), principal(c).Actor(), id)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, struct {
		TenantID string `json:"tenant_id"`
		Epoch    uint32 `json:"epoch"`
		Pushed   bool   `json:"pushed"`
	}{id, epoch, a.push(c)})
}

func (a *API) reencrypt(c echo.Context) error {
	var body struct {
		Epoch  int64  `json:"epoch"`
		From   string `json:"from"`
		Limit  int    `json:"limit"`
		DryRun bool   `json:"dry_run"`
	}
	id, err := tenantOf(c)
	if err != nil {
		return err
	}
	if err := readJSON(c, maxBody, &body); err != nil {
		return err
	}
	if body.Limit == 0 {
		body.Limit = keyring.ReencryptBatch
	}
	var f faults
	f.check(body.Epoch >= 0 && body.Epoch <= math.MaxInt32, "epoch", "is not an epoch; 0 is every one but the active")
	f.check(body.Limit >= 1 && body.Limit <= keyring.ReencryptBatch, "limit", fmt.Sprintf("must be 1 to %d", keyring.ReencryptBatch))
	if err := f.err(); err != nil {
		return err
	}
	done, err := a.Keys.Reencrypt(c.Request().Context(), principal(c).Actor(), id, int32(body.Epoch), body.From, body.Limit, body.DryRun) //nolint:gosec // checked above
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, done)
}

func (a *API) shred(c echo.Context) error {
	var body struct {
		Confirm string `json:"confirm"`
		Reason  string `json:"reason"`
		DryRun  bool   `json:"dry_run"`
	}
	id, err := tenantOf(c)
	if err != nil {
		return err
	}
	if err := readJSON(c, maxBody, &body); err != nil {
		return err
	}
	var f faults
	f.check(body.Confirm == id || body.DryRun, "confirm", "must be the id of the tenant: what is shredded cannot be had back")
	if !body.DryRun || body.Reason != "" { // a dry run needs none
		body.Reason = f.reason(body.Reason, "why")
	}
	if err := f.err(); err != nil {
		return err
	}
	receipt, err := a.Keys.Shred(c.Request().Context(), principal(c).Actor(), id, body.Reason, body.DryRun)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, struct {
		keyring.Receipt
		Pushed bool `json:"pushed"`
	}{receipt, !body.DryRun && a.push(c)})
}

// tenantOf reads the tenant of the path. What is no id names no tenant.
func tenantOf(c echo.Context) (string, error) {
	if err := noParams(c); err != nil {
		return "", err
	}
	id := c.Param("id")
	if !event.ValidTenant(id) {
		return "", errNotFound
	}
	return id, nil
}
