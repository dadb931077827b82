package replay

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"loom.internal/pkg/event"
)

const day = 24 * time.Hour

// Options say what to build anew. They are kept with a run: only the same ones resume it.
type Options struct {
	Traces bool `json:"traces,omitempty"` // traces and trace_bodies
	Usage  bool `json:"usage,omitempty"`  // usage_facts and the sums of it
	Scope
	DryRun bool `json:"dry_run,omitempty"` // build and compare, and leave everything as it is
}

// Scope is which events are looked at; the zero value is all of them.
type Scope struct {
	From   time.Time `json:"from,omitzero"` // first UTC day by started_at
	To     time.Time `json:"to,omitzero"`   // last UTC day
	Tenant string    `json:"tenant,omitempty"`
}

// Projections are the names that --projection takes.
func Projections() []string { return []string{"traces", "usage", "rollups", "all"} }

// ParseDay reads a UTC day such as 2026-01-31; "" is none.
func ParseDay(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return at, fmt.Errorf("%q: want a day such as 2026-01-31", text)
	}
	return at, nil
}

// Validate refuses a scope that holds nothing.
func (s Scope) Validate() error {
	if s.Tenant != "" && !event.ValidTenant(s.Tenant) {
		return fmt.Errorf("%q is not the id of a tenant", s.Tenant)
	}
	if !s.From.IsZero() && !s.To.IsZero() && s.To.Before(s.From) {
		return errors.New("the last day is before the first")
	}
	return nil
}

// All reports whether nothing is left out.
func (s Scope) All() bool { return s == Scope{} }

// Holds reports whether an event of tenant that started at at is in scope.
func (s Scope) Holds(tenant string, at time.Time) bool {
	switch {
	case s.Tenant != "" && tenant != s.Tenant,
		!s.From.IsZero() && at.Before(s.From),
		!s.To.IsZero() && !at.Before(s.To.Add(day)):
		return false
	}
	return true
}

// holdsDay reports whether events of a UTC day can be in scope.
func (s Scope) holdsDay(at time.Time) bool { return s.Holds(s.Tenant, at) }

// String is the scope for people: "all", or what narrows it.
func (s Scope) String() string {
	text := ""
	if s.Tenant != "" {
		text += " tenant " + s.Tenant
	}
	if !s.From.IsZero() {
		text += " from " + s.From.Format(time.DateOnly)
	}
	if !s.To.IsZero() {
		text += " to " + s.To.Format(time.DateOnly)
	}
	if text == "" {
		return "all"
	}
	return text[1:]
}

// String is the command line of the options.
func (o Options) String() string {
	text := "--projection "
	switch {
	case o.Traces && o.Usage:
		text += "all"
	case o.Traces:
		text += "traces"
	default:
		text += "usage"
	}
	if !o.From.IsZero() {
		text += " --from " + o.From.Format(time.DateOnly)
	}
	if !o.To.IsZero() {
		text += " --to " + o.To.Format(time.DateOnly)
	}
	if o.Tenant != "" {
		text += " --tenant " + o.Tenant
	}
	if o.DryRun {
		text += " --dry-run"
	}
	return text
}

// sums are the tables that are made of usage_facts, in the order of all writers' locks.
var sums = []string{"rollups", "tag_rollups"}

// tables are those of the projections that are built, in the order of all writers' locks.
func (o Options) tables() []string {
	var names []string
	if o.Traces {
		names = append(names, "traces", "trace_bodies")
	}
	if o.Usage {
		names = append(append(names, "usage_facts"), sums...)
	}
	return names
}

// rows are the tables with a row for each event.
func (o Options) rows() []string {
	var names []string
	if o.Traces {
		names = append(names, "traces", "trace_bodies")
	}
	if o.Usage {
		names = append(names, "usage_facts")
	}
	return names
}

func (o Options) encode() string {
	data, err := json.Marshal(o)
	if err != nil {
		panic(err) // plain values
	}
	return string(data)
}
