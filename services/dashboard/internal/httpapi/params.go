package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"loom.internal/pkg/manifest"
	"loom.internal/pkg/pricing"
	"loom.internal/services/dashboard/internal/admin"
	"loom.internal/services/dashboard/internal/query"
	"loom.internal/services/dashboard/internal/stats"
)

// Bounds of what callers send.
const (
	maxBody       = 64 << 10
	maxManifest   = 4 << 20
	maxRepeats    = 20
	maxParamBytes = 512
	maxQueryBytes = 4096
	maxBy         = 128
	maxLatency    = 86_400_000 // a day
)

// amount is what a number of dollars looks like.
var amount = regexp.MustCompile(`^[0-9]{1,6}([.][0-9]{1,12})?$`)

// params reads a query string strictly: what is unknown, repeated or malformed is an
// error that names it. The first error is kept for done.
type params struct {
	values url.Values
	known  []string
	err    error
}

func paramsOf(c echo.Context) *params {
	values, err := url.ParseQuery(c.Request().URL.RawQuery)
	if err != nil {
		return &params{err: badParameter("query", "is not a well-formed query string")}
	}
	return &params{values: values}
}

// query is a parameter that is itself a query string.
func (p *params) query(name string) *params {
	p.known = append(p.known, name)
	all := p.values[name]
	if len(all) != 1 || len(all[0]) > maxQueryBytes {
		p.bad(name, fmt.Sprintf("must be given once, with at most %d bytes", maxQueryBytes))
		return &params{}
	}
	values, err := url.ParseQuery(all[0])
	if err != nil {
		p.bad(name, "is not a well-formed query string")
	}
	return &params{values: values}
}

func (p *params) bad(name, why string) {
	if p.err == nil {
		p.err = badParameter(name, why)
	}
}

// list is a parameter that may be repeated; nil when it is absent.
func (p *params) list(name string) []string {
	p.known = append(p.known, name)
	all := p.values[name]
	if len(all) > maxRepeats {
		p.bad(name, fmt.Sprintf("is given %d times, at most %d", len(all), maxRepeats))
		return nil
	}
	for _, v := range all {
		if v == "" || len(v) > maxParamBytes || !utf8.ValidString(v) || strings.ContainsRune(v, 0) {
			p.bad(name, fmt.Sprintf("must be 1 to %d bytes of text", maxParamBytes))
			return nil
		}
	}
	return all
}

// one is a parameter that may be given once; empty when it is absent.
func (p *params) one(name string) string {
	all := p.list(name)
	if len(all) > 1 {
		p.bad(name, "is given more than once")
	}
	if len(all) == 0 {
		return ""
	}
	return all[0]
}

// enum is one of the allowed words; empty when it is absent.
func (p *params) enum(name string, allowed ...string) string {
	v := p.one(name)
	if v != "" && !slices.Contains(allowed, v) {
		p.bad(name, "use one of "+strings.Join(allowed, ", "))
	}
	return v
}

func (p *params) limit(standard, most int) int {
	return int(p.number("limit", int64(standard), 1, int64(most)))
}

// number is a whole number from least to most; standard when it is absent.
func (p *params) number(name string, standard, least, most int64) int64 {
	v := p.one(name)
	if v == "" {
		return standard
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < least || n > most {
		p.bad(name, fmt.Sprintf("must be a number from %d to %d", least, most))
		return standard
	}
	return n
}

// window reads range, or from and to. asked is the window as it was written.
func (p *params) window(now time.Time) (w query.Window, asked string) {
	name, from, to := p.enum("range", query.Ranges()...), p.one("from"), p.one("to")
	if p.err != nil {
		return query.Window{}, ""
	}
	if from == "" && to == "" {
		if name == "" {
			name = query.DefaultRange
		}
		w, err := query.Last(name, now)
		if err != nil {
			p.bad("range", err.Error())
		}
		return w, name
	}
	if name != "" {
		p.bad("range", "is not for use together with from and to")
		return query.Window{}, ""
	}
	start, end := p.instant("from", from), p.instant("to", to)
	if p.err != nil {
		return query.Window{}, ""
	}
	w, err := query.New(start, end)
	if err != nil {
		p.bad("from", err.Error())
	}
	return w, from + "/" + to
}

func (p *params) instant(name, v string) time.Time {
	if v == "" {
		p.bad(name, "is missing: from and to go together")
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, v)
	if err != nil {
		p.bad(name, "must be a time such as 2026-01-31T15:04:05Z")
	}
	return t
}

func (p *params) filter() query.Filter {
	f := query.Filter{
		Models: p.list("model"), Providers: p.list("provider"), Keys: p.list("key"), Outcomes: p.some("outcome", query.Outcomes()),
		Sessions: p.list("session"), CostStatuses: p.some("cost_status", query.CostStatuses()),
		Stream: p.flag("stream"), Cached: p.flag("cached"), Retried: p.flag("retried"),
	}
	for _, tag := range p.list("tag") {
		name, value, ok := strings.Cut(tag, ":")
		if !ok || name == "" {
			p.bad("tag", "is a tag's name and its value, with a colon between them")
			break
		}
		f = f.WithTag(name, value)
	}
	for _, text := range p.list("http_status") {
		status, err := strconv.ParseInt(text, 10, 32)
		if err != nil || status < 0 || status > 599 {
			p.bad("http_status", "must be a number from 0 to 599")
			break
		}
		f.HTTPStatuses = append(f.HTTPStatuses, int32(status))
	}
	if usd := p.one("min_cost_usd"); usd != "" {
		least, err := pricing.ParseUSD(usd)
		if err != nil || !amount.MatchString(usd) {
			p.bad("min_cost_usd", "must be US dollars such as 0.25, below a million and with at most 12 decimals")
		}
		f.MinCost = &least
	}
	if ms := p.one("min_latency_ms"); ms != "" {
		least, err := strconv.ParseFloat(ms, 64)
		if err != nil || !(least >= 0 && least <= maxLatency) {
			p.bad("min_latency_ms", fmt.Sprintf("must be a number from 0 to %d", maxLatency))
		}
		f.MinLatency = new(int64(math.Ceil(least * 1000)))
	}
	if status := p.enum("status", "ok", "error"); status != "" {
		f = f.WithStatus(status)
	}
	return f
}

// some are words out of those allowed.
func (p *params) some(name string, allowed []string) []string {
	words := p.list(name)
	for _, w := range words {
		if !slices.Contains(allowed, w) {
			p.bad(name, "use some of "+strings.Join(allowed, ", "))
		}
	}
	return words
}

// flag is true or false; nil when it is absent.
func (p *params) flag(name string) *bool {
	v := p.enum(name, "true", "false")
	if v == "" {
		return nil
	}
	return new(v == "true")
}

// by is what requests are split by; standard when it is absent.
func (p *params) by(standard string, groups []string) string {
	v := p.one("by")
	if v == "" {
		return standard
	}
	if len(v) > maxBy || !stats.ValidGroup(v, groups) {
		p.bad("by", "use one of "+strings.Join(groups, ", ")+", or tag: and the name of a tag")
	}
	return v
}

// done is the first error, or one for a parameter nobody asked for.
func (p *params) done() error {
	if p.err != nil {
		return p.err
	}
	for name := range p.values {
		if !slices.Contains(p.known, name) {
			if len(p.known) == 0 {
				return badParameter(clip(name), "is unknown: there are no parameters here")
			}
			return badParameter(clip(name), "is unknown: there are "+strings.Join(p.known, ", "))
		}
	}
	return nil
}

func clip(s string) string { return strings.ToValidUTF8(s[:min(len(s), 64)], "?") }

// noParams refuses a query string.
func noParams(c echo.Context) error { return paramsOf(c).done() }

// maxReason bounds why an operator did something, in bytes.
const maxReason = 500

// faults gathers what is wrong with a body.
type faults []manifest.Fault

func (f *faults) check(ok bool, path, message string) {
	if !ok {
		*f = append(*f, manifest.Fault{Path: path, Message: message})
	}
}

// reason checks why an operator does something, without the space around it.
func (f *faults) reason(text, of string) string {
	text = strings.TrimSpace(text)
	f.check(text != "" && len(text) <= maxReason && !strings.ContainsRune(text, 0), "reason", fmt.Sprintf("say in 1 to %d bytes %s", maxReason, of))
	return text
}

// err is an *admin.InvalidError of all of them; nil for none.
func (f faults) err() error {
	if len(f) == 0 {
		return nil
	}
	return &admin.InvalidError{Faults: f}
}

// readJSON reads a body of one JSON value, at most limit bytes, without fields that v
// does not have.
func readJSON(c echo.Context, limit int64, v any) error {
	r := c.Request()
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return errNotJSON
	}
	dec := json.NewDecoder(http.MaxBytesReader(c.Response(), r.Body, limit))
	dec.DisallowUnknownFields()
	err := dec.Decode(v)
	if err == nil {
		if _, err = dec.Token(); errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = errors.New("more follows the first value")
		}
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return err
	}
	why := strings.TrimPrefix(err.Error(), "json: ")
	if errors.Is(err, io.EOF) {
		why = "it is empty"
	}
	return &apiError{http.StatusBadRequest, "invalid_body", "the body does not read as JSON of this request: " + why, nil}
}

// traceID reads the id of the path. What is no id names no trace.
func traceID(c echo.Context) (uuid.UUID, error) {
	s := c.Param("id")
	id, err := uuid.Parse(s)
	if err != nil || id.String() != s {
		return uuid.UUID{}, errNotFound
	}
	return id, nil
}
