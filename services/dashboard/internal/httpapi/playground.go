package httpapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
)

const (
	maxPlay     = 1 << 20
	dialLimit   = 5 * time.Second
	playKey     = "X-Loom-Key"
	playTraceID = "X-Loom-Trace-Id"
)

// newPlayer makes the client that asks gateways: it goes nowhere else, not by a proxy of
// the environment and not by a redirect, for it carries keys.
func newPlayer() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: dialLimit}).DialContext,
			TLSHandshakeTimeout: dialLimit,
			DisableCompression:  true,
			IdleConnTimeout:     time.Minute,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// playground hands a chat completion on to a gateway, with the key that the caller names
// for it, and nothing else that the browser sent.
func (a *API) playground(c echo.Context) error {
	if err := noParams(c); err != nil {
		return err
	}
	in := c.Request()
	key := in.Header.Get(playKey)
	if key == "" {
		return badParameter(playKey, "is missing: name the API key to ask with")
	}
	if kind, _, err := mime.ParseMediaType(in.Header.Get(echo.HeaderContentType)); err != nil || kind != echo.MIMEApplicationJSON {
		return errNotJSON
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.Response(), in.Body, maxPlay))
	if err != nil {
		return err
	}
	ctx := in.Context()
	out, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(a.PlaygroundURL, "/")+"/v1/chat/completions", bytes.NewReader(body))
	if err != nil {
		return err
	}
	out.Header.Set(echo.HeaderContentType, echo.MIMEApplicationJSON)
	out.Header.Set(echo.HeaderAuthorization, "Bearer "+key)
	resp, err := a.player.Do(out)
	if err != nil {
		return unreachable(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	kind, _, err := mime.ParseMediaType(resp.Header.Get(echo.HeaderContentType))
	if err != nil || kind != echo.MIMEApplicationJSON && kind != "text/event-stream" {
		return unreachable(ctx, fmt.Errorf("%s with status %d is not a gateway's answer", kind, resp.StatusCode))
	}
	h := c.Response().Header()
	h.Set(echo.HeaderContentType, kind)
	h.Set("X-Accel-Buffering", "no")
	if id := resp.Header.Get(playTraceID); id != "" {
		h.Set(playTraceID, id)
	}
	c.Response().WriteHeader(resp.StatusCode)
	to := newSender(c)
	defer to.Done()
	if err := copyNow(to, resp.Body); err != nil {
		a.Log.LogAttrs(ctx, slog.LevelDebug, "answer of the playground cut short", slog.Any("error", err), slog.String("request_id", idOf(c)))
		panic(http.ErrAbortHandler) // so that nobody takes it for whole
	}
	return nil
}

// unreachable is the answer where no gateway answers a caller who is still there.
func unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("%w: %w", errGateway, err)
}

// errGateway means that no gateway could be asked.
var errGateway = errors.New("no gateway answers")

// copyNow copies what comes as it comes.
func copyNow(to *sender, from io.Reader) error {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if err := to.Now(buf[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
