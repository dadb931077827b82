package manifest

import (
	"fmt"
	"time"

	"loom.internal/pkg/catalog"
)

// Bounds of how a route tries its targets.
const (
	MaxRetries = 5
	MaxTimeout = time.Hour
)

// Route sends models to targets. OnDisconnect says what becomes of an answer whose
// client has left: "cancel", which empty stands for, or "finish". Balance is "failover",
// which empty stands for, or "weighted". A time that is empty is the gateway's own.
type Route struct {
	Model          string               `json:"model" yaml:"model"`
	Targets        []Target             `json:"targets" yaml:"targets"`
	OnDisconnect   catalog.OnDisconnect `json:"on_disconnect,omitempty" yaml:"on_disconnect"`
	Balance        catalog.Balance      `json:"balance,omitempty" yaml:"balance"`
	Retries        int                  `json:"retries,omitempty" yaml:"retries"`
	ConnectTimeout Duration             `json:"connect_timeout,omitempty" yaml:"connect_timeout"`
	HeaderTimeout  Duration             `json:"header_timeout,omitempty" yaml:"header_timeout"`
	IdleTimeout    Duration             `json:"idle_timeout,omitempty" yaml:"idle_timeout"`
	Timeout        Duration             `json:"timeout,omitempty" yaml:"timeout"`
}

// Target is a provider, the model's name there (empty: as asked) and a weight (0 is 1).
type Target struct {
	Provider string `json:"provider" yaml:"provider"`
	Model    string `json:"model,omitempty" yaml:"model"`
	Weight   int    `json:"weight,omitempty" yaml:"weight"`
}

// Duration is a length of time as people write it, such as "30s" or "1m30s".
type Duration string

// Milliseconds converts it exactly; empty is 0.
func (d Duration) Milliseconds() (int64, error) {
	if d == "" {
		return 0, nil
	}
	t, err := time.ParseDuration(string(d))
	switch {
	case err != nil:
		return 0, fmt.Errorf("%q: use a length of time such as 30s, 1m30s or 500ms", string(d))
	case t < time.Millisecond || t > MaxTimeout:
		return 0, fmt.Errorf("%q: between 1ms and 1h", string(d))
	case t%time.Millisecond != 0:
		return 0, fmt.Errorf("%q: use whole milliseconds", string(d))
	}
	return t.Milliseconds(), nil
}

// Options gives the options as the catalogue has them. The faults carry paths relative
// to the route, such as ".timeout".
func (r Route) Options() (catalog.RouteOptions, []Fault) {
	o := catalog.RouteOptions{Balance: r.Balance, Retries: r.Retries}
	var faults []Fault
	fault := func(path, format string, args ...any) {
		faults = append(faults, Fault{Path: path, Message: fmt.Sprintf(format, args...)})
	}
	switch r.Balance {
	case "", catalog.Weighted:
	case catalog.Failover:
		o.Balance = ""
	default:
		fault(".balance", "%q: use %s or %s", r.Balance, catalog.Failover, catalog.Weighted)
	}
	if r.Retries < 0 || r.Retries > MaxRetries {
		fault(".retries", "%d: between 0 and %d", r.Retries, MaxRetries)
	}
	for _, t := range []struct {
		path string
		from Duration
		to   *int64
	}{
		{".connect_timeout", r.ConnectTimeout, &o.ConnectTimeout},
		{".header_timeout", r.HeaderTimeout, &o.HeaderTimeout},
		{".idle_timeout", r.IdleTimeout, &o.IdleTimeout},
		{".timeout", r.Timeout, &o.Timeout},
	} {
		var err error
		if *t.to, err = t.from.Milliseconds(); err != nil {
			fault(t.path, "%v", err)
		}
	}
	return o, faults
}

func (v *validator) route(path string, r Route) {
	v.text(path+".model", r.Model)
	v.once(path+".model", "route", r.Model)
	if len(r.Targets) == 0 {
		v.fault(path+".targets", "is empty: name at least one provider")
	}
	if len(r.Targets) > MaxTargets {
		v.fault(path+".targets", "has %d entries, at most %d", len(r.Targets), MaxTargets)
	}
	if _, err := catalog.ParseOnDisconnect(string(r.OnDisconnect)); err != nil {
		v.fault(path+".on_disconnect", "%v", err)
	}
	_, faults := r.Options()
	for _, f := range faults {
		v.faults = append(v.faults, Fault{Path: path + f.Path, Message: f.Message})
	}
	for i, t := range r.Targets {
		at := fmt.Sprintf("%s.targets[%d]", path, i)
		v.name(at+".provider", t.Provider)
		if t.Model != "" {
			v.text(at+".model", t.Model)
		}
		if t.Weight < 0 || t.Weight > 1000 {
			v.fault(at+".weight", "%d: between 1 and 1000", t.Weight)
		}
	}
}
