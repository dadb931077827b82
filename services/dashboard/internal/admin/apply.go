package admin

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"loom.internal/pkg/manifest"
)

// Result is what applying a manifest did, or would do.
type Result struct {
	Changes  []Change `json:"changes"`
	Keys     []NewKey `json:"keys"`
	Revision int64    `json:"revision"` // of the configuration as it now is
	DryRun   bool     `json:"dry_run"`
	Pushed   bool     `json:"pushed"` // gateways have been told
}

// Change is one thing that was created or updated, and the fields that were set.
type Change struct {
	Action string   `json:"action"` // create or update
	Kind   string   `json:"kind"`   // provider, route, tenant, key or price
	Name   string   `json:"name"`
	Fields []string `json:"fields"`
}

// NewKey is a key that was created. Its secret is nowhere else.
type NewKey struct {
	Tenant string `json:"tenant"`
	Name   string `json:"name"`
	ID     string `json:"id"`
	Secret string `json:"secret"`
}

// Apply brings the configuration to what m says, or on a fault, of which it lists all
// in an *InvalidError, leaves all of it as it is. What is as m says already is not
// written. What m does not name, entries and fields, stays. A dry run does the same
// and takes it back.
func (a *Admin) Apply(ctx context.Context, actor string, m *manifest.Manifest, dryRun bool) (Result, error) {
	result := Result{Changes: []Change{}, Keys: []NewKey{}, DryRun: dryRun}
	err := a.change(ctx, actor, func(c *change) error {
		p := &plan{change: c, m: m, faults: m.Validate()}
		// What is wrong in itself is not looked at again, so no fault is told twice.
		p.broken = make(map[string]bool, len(p.faults))
		for _, f := range p.faults {
			p.broken[entry(f.Path)] = true
		}
		for _, step := range []func(context.Context) error{p.providers, p.routes, p.tenants, p.prices} {
			if err := step(ctx); err != nil {
				return err
			}
		}
		if len(p.faults) > 0 {
			return &InvalidError{Faults: p.faults}
		}
		result.Changes = append(result.Changes, p.changes...)
		if !dryRun {
			result.Keys = append(result.Keys, p.keys...)
		}
		if err := c.Flush(ctx); err != nil { // a dry run is refused what the database refuses
			return err
		}
		if dryRun {
			return errDryRun
		}
		var err error
		result.Revision, err = a.revision(ctx, c.Tx)
		return err
	})
	if dryRun && errors.Is(err, errDryRun) {
		result.Revision, err = a.currentRevision(ctx)
	}
	if err != nil {
		return Result{}, fmt.Errorf("apply: %w", err)
	}
	return result, nil
}

// plan is a manifest on its way to become a change.
type plan struct {
	*change
	m       *manifest.Manifest
	faults  []manifest.Fault
	broken  map[string]bool // entries that Validate has refused
	changes []Change
	keys    []NewKey
}

// entry is the entry a fault's path lies in: "tenants[0].keys[1]" of
// "tenants[0].keys[1].scopes[2]", "routes[3]" of "routes[3].targets[0].provider".
func entry(path string) string {
	parts := strings.Split(path, ".")
	if len(parts) > 1 && strings.HasPrefix(parts[1], "keys[") {
		return parts[0] + "." + parts[1]
	}
	return parts[0]
}

func (p *plan) fault(path, format string, args ...any) {
	p.faults = append(p.faults, manifest.Fault{Path: path, Message: fmt.Sprintf(format, args...)})
}

// record notes a change, queues its line in the access log and returns its revision.
func (p *plan) record(ctx context.Context, tenantID string, ch Change) (int64, error) {
	p.changes = append(p.changes, ch)
	if err := p.Audit(tenantID, ch.Kind+"."+ch.Action, map[string]any{"name": ch.Name, "fields": ch.Fields}); err != nil {
		return 0, err
	}
	return p.Next(ctx)
}

// fieldSet gathers the names of fields that differ.
type fieldSet []string

func (f *fieldSet) add(name string, differs bool) {
	if differs {
		*f = append(*f, name)
	}
}

// options adds the names of the options, as JSON has them, that differ between two
// structs of the same type.
func (f *fieldSet) options(have, next any) {
	a, b := reflect.ValueOf(have), reflect.ValueOf(next)
	for i := range a.NumField() {
		name, _, _ := strings.Cut(a.Type().Field(i).Tag.Get("json"), ",")
		f.add(name, !reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()))
	}
}

// collect reads rows into a map.
func collect[K comparable, T any](ctx context.Context, tx pgx.Tx, key func(T) K, sql string, args ...any) (map[K]T, error) {
	rows, err := tx.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByName[T])
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	m := make(map[K]T, len(all))
	for _, v := range all {
		m[key(v)] = v
	}
	return m, nil
}

func sameSet[T ~string](a, b []T) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(slices.Compact(a), slices.Compact(b))
}
