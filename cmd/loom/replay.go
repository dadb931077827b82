package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"loom.internal/cmd/loom/internal/replay"
	"loom.internal/cmd/loom/internal/up"
	"loom.internal/pkg/bus"
	"loom.internal/pkg/config"
	"loom.internal/pkg/local"
	"loom.internal/pkg/telemetry"
)

// replaySettings say where the stream and the tables are.
type replaySettings struct {
	DatabaseURL        config.Secret `split_words:"true" desc:"Postgres, as the owner of the database; LOOM_MIGRATE_DATABASE_URL when empty, else that of the loom up that runs in LOOM_DATA_DIR"`
	NATSURL            config.Secret `envconfig:"NATS_URL" desc:"NATS, as the user replay; LOOM_MIGRATE_NATS_URL when empty, else that of the loom up that runs in LOOM_DATA_DIR"`
	MigrateDatabaseURL config.Secret `split_words:"true" desc:"see LOOM_DATABASE_URL"`
	MigrateNATSURL     config.Secret `envconfig:"MIGRATE_NATS_URL" desc:"see LOOM_NATS_URL"`
	DataDir            string        `split_words:"true" default:".loom" desc:"directory of loom up"`
	LogLevel           string        `split_words:"true" default:"warn" desc:"debug, info, warn or error"`
	LogFormat          string        `split_words:"true" default:"text" desc:"text or json"`
}

const replayLong = `Build traces, bodies, costs and sums anew from the stream, beside the live tables and
under live traffic; compare; and put the new tables in place of the live ones, in one
transaction of some milliseconds. What the stream no longer holds, and what is out of
--from, --to and --tenant, is carried over as it is.

  traces   the tables traces and trace_bodies
  usage    usage_facts, priced with the prices of today, and its sums, rollups and tag_rollups
  all      both
  rollups  the sums alone, from the usage facts in Postgres

Tables that are missing are made. A replay that was stopped, in whatever way, goes on
when the same command is given again; --abort gives it up. One runs at a time. With
--out the events are written to a file instead, one JSON object a line.`

type replayFlags struct {
	projection, from, to, tenant, out string
	dryRun, abort, asJSON             bool
}

func newReplay() *cobra.Command {
	var f replayFlags
	cmd := &cobra.Command{
		Use:   "replay",
		Short: "Build traces and costs anew from the stream, or export it",
		Long:  replayLong,
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			scope, err := f.check()
			if err != nil {
				return &usageError{cmd.CommandPath(), err}
			}
			if err := applyFlags(cmd); err != nil {
				return err
			}
			var s replaySettings
			if err := config.Load("LOOM", &s); err != nil {
				return err
			}
			return f.run(cmd, s, scope)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.projection, "projection", "", "what to build: "+strings.Join(replay.Projections(), ", "))
	flags.StringVar(&f.from, "from", "", "first UTC day to build anew, such as 2026-01-31, by the start of the request")
	flags.StringVar(&f.to, "to", "", "last UTC day to build anew")
	flags.StringVar(&f.tenant, "tenant", "", "only this tenant")
	flags.BoolVar(&f.dryRun, "dry-run", false, "build and compare, and change nothing")
	flags.StringVar(&f.out, "out", "", "write the events to this file instead, or to - for the standard output")
	flags.BoolVar(&f.abort, "abort", false, "give up an unfinished replay")
	flags.BoolVar(&f.asJSON, "json", false, "print the report as JSON")
	settingFlag(cmd, "database-url", "", "Postgres, as the owner of the database")
	settingFlag(cmd, "nats-url", "", "NATS, as a user that may read the stream")
	settingFlag(cmd, "data-dir", "", "directory of the loom up to replay, without the two above")
	return cmd
}

// check refuses flags that do not go together.
func (f replayFlags) check() (scope replay.Scope, err error) {
	if scope.From, err = replay.ParseDay(f.from); err != nil {
		return scope, fmt.Errorf("--from: %w", err)
	}
	if scope.To, err = replay.ParseDay(f.to); err != nil {
		return scope, fmt.Errorf("--to: %w", err)
	}
	scope.Tenant = f.tenant
	if err := scope.Validate(); err != nil {
		return scope, err
	}
	switch {
	case f.abort && (f.projection != "" || f.out != "" || f.dryRun || !scope.All()):
		return scope, errors.New("--abort goes alone")
	case f.abort:
	case f.out != "" && (f.projection != "" || f.dryRun):
		return scope, errors.New("--out writes events and builds nothing: leave out --projection and --dry-run")
	case f.out != "":
	case f.projection == "":
		return scope, errors.New("say what to build: --projection " + strings.Join(replay.Projections(), "|") + ", or --out FILE, or --abort")
	case !slices.Contains(replay.Projections(), f.projection):
		return scope, fmt.Errorf("--projection %q: want one of %s", f.projection, strings.Join(replay.Projections(), ", "))
	}
	return scope, nil
}

func (f replayFlags) run(cmd *cobra.Command, s replaySettings, scope replay.Scope) error {
	ctx, out, errOut := cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr()
	log, err := telemetry.NewLogger(os.Stderr, s.LogLevel, s.LogFormat)
	if err != nil {
		return err
	}
	at, err := s.find()
	if err != nil {
		return err
	}
	cfg := replay.Config{DatabaseURL: at.database, Log: log, Progress: errOut, TTY: isTerminal(os.Stderr)}
	if f.abort {
		if err := at.needDatabase(); err != nil {
			return err
		}
		if err := replay.Abort(ctx, cfg.DatabaseURL); err != nil {
			return err
		}
		_, err := fmt.Fprintln(out, "The unfinished replay is given up; the live tables are as they were.")
		return err
	}
	if f.projection != "rollups" {
		nc, err := at.connect(log)
		if err != nil {
			return err
		}
		defer nc.Close()
		if cfg.JS, err = jetstream.New(nc); err != nil {
			return err
		}
	}
	if f.out != "" {
		return f.export(ctx, cfg, scope, out, errOut)
	}
	if err := at.needDatabase(); err != nil {
		return err
	}
	opt := replay.Options{
		Traces: f.projection == "traces" || f.projection == "all", Usage: f.projection == "usage" || f.projection == "all",
		Scope: scope, DryRun: f.dryRun,
	}
	if f.projection == "rollups" {
		r, err := replay.Rollups(ctx, cfg, opt)
		if err != nil {
			return err
		}
		if f.asJSON {
			return printJSON(out, r)
		}
		return printRollups(out, r, f.dryRun)
	}
	r, err := replay.Run(ctx, cfg, opt)
	if err != nil {
		return err
	}
	if f.asJSON {
		return printJSON(out, r)
	}
	return printReplay(out, r)
}

// export writes the file as a whole or not at all.
func (f replayFlags) export(ctx context.Context, cfg replay.Config, scope replay.Scope, out, errOut io.Writer) error {
	if f.out == "-" {
		r, err := replay.Export(ctx, cfg, scope, out)
		if err != nil {
			return err
		}
		return f.exported(errOut, r)
	}
	part := f.out + ".part"
	file, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) //nolint:gosec // the operator names it
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	r, err := replay.Export(ctx, cfg, scope, file)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(part, f.out)
	}
	if err != nil {
		_ = os.Remove(part)
		return fmt.Errorf("export: %w", err)
	}
	return f.exported(out, r)
}

func (f replayFlags) exported(w io.Writer, r replay.ExportReport) error {
	if f.asJSON {
		return printJSON(w, r)
	}
	_, err := fmt.Fprintf(w, "%d of %d events written, up to event %d of the stream, in %s.\n", r.Written, r.Read, r.LastSeq, millis(r.TookMs))
	if err == nil && r.Unread > 0 {
		_, err = fmt.Fprintf(w, "%d of them cannot be read; they are written as they came.\n", r.Unread)
	}
	return err
}

func printReplay(w io.Writer, r replay.Report) error {
	rows := [][]string{{"TABLE", "OLD", "NEW", "CARRIED OVER", "NEW HERE", "DIFFERENT", "OLD COST", "NEW COST"}}
	for _, c := range r.Compared {
		rows = append(rows, []string{c.Table, count(c.Old), count(c.New), count(c.OnlyOld), count(c.OnlyNew), count(c.Different), dollars(c.OldCost), dollars(c.NewCost)})
	}
	if err := printTable(w, rows...); err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\nScope %s; rows from before %s, in both tables or in one.\n", r.Options.Scope, r.Began.Format(time.DateTime))
	for _, c := range r.Compared {
		if len(c.Examples) > 0 {
			fmt.Fprintf(&b, "Not the same in %s: %s\n", c.Table, strings.Join(c.Examples, " "))
		}
	}
	n := r.Counts
	fmt.Fprintf(&b, "%d events read: %d applied, %d out of scope, %d refused", n.Read, n.Applied, n.OutOfScope, n.Refused)
	if n.Dropped > 0 {
		fmt.Fprintf(&b, ", %d of days that retention has dropped", n.Dropped)
	}
	b.WriteString(".\n")
	for _, why := range n.Reasons {
		fmt.Fprintf(&b, "  refused: %s\n", oneLine(why, 200))
	}
	switch {
	case r.Swapped && r.Rebuilt:
		fmt.Fprintf(&b, "Tables that were missing are there again. ")
		fallthrough
	case r.Swapped:
		fmt.Fprintf(&b, "Swapped after %s; writers waited %d ms.\n", millis(r.TookMs), r.LockedMs)
	default:
		fmt.Fprintf(&b, "A dry run of %s: nothing was changed.\n", millis(r.TookMs))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func printRollups(w io.Writer, r replay.RollupsReport, dryRun bool) error {
	text := fmt.Sprintf("%d days looked at, %d rollups were not what the ledger comes to", r.Days, r.Wrong)
	switch {
	case r.Wrong == 0:
		text = fmt.Sprintf("%d days looked at: every rollup is what the ledger comes to.", r.Days)
	case dryRun:
		text += "; a dry run, nothing was changed."
	default:
		text += fmt.Sprintf(" and are now; analytics waited %d ms at most.", r.LockedMs)
	}
	_, err := fmt.Fprintln(w, text)
	return err
}

// dollars shows picodollars in full.
func dollars(pico string) string {
	n, ok := new(big.Rat).SetString(pico)
	if !ok {
		return "-"
	}
	text := n.Quo(n, big.NewRat(1_000_000_000_000, 1)).FloatString(12)
	return "$" + strings.TrimRight(strings.TrimRight(text, "0"), ".")
}

func millis(n int64) string {
	return (time.Duration(n) * time.Millisecond).Round(time.Millisecond).String()
}

func isTerminal(f *os.File) bool {
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0
}

// place is where the stream and the tables are.
type place struct {
	database, nats string
	socket         string // of loom up's NATS, instead of an address
	dir            string
}

// find takes what is given, and what is not from the loom up that runs in the data directory.
func (s replaySettings) find() (place, error) {
	p := place{database: s.DatabaseURL.Reveal(), nats: s.NATSURL.Reveal(), dir: s.DataDir}
	if p.database == "" {
		p.database = s.MigrateDatabaseURL.Reveal()
	}
	if p.nats == "" {
		p.nats = s.MigrateNATSURL.Reveal()
	}
	if p.database != "" && p.nats != "" {
		return p, nil
	}
	doors, err := up.ReadDoors(s.DataDir)
	if err != nil {
		return p, err
	}
	if p.database == "" {
		p.database = doors.Database
	}
	if p.nats == "" {
		p.socket = doors.NATSSocket
	}
	return p, nil
}

func (p place) needDatabase() error {
	if p.database == "" {
		return fmt.Errorf("no database: set --database-url or LOOM_DATABASE_URL to the owner's, or --data-dir to that of a running `loom up` (none runs in %s)", p.dir)
	}
	return nil
}

// connect reaches the broker, and fails while it is away: a person waits.
func (p place) connect(log *slog.Logger) (*nats.Conn, error) {
	opts := []nats.Option{nats.RetryOnFailedConnect(false)}
	url := p.nats
	switch {
	case p.socket != "":
		url, opts = "nats://loom-up", append(opts, local.DialNATS(p.socket))
	case url == "":
		return nil, fmt.Errorf("no NATS: set --nats-url or LOOM_NATS_URL, or --data-dir to that of a running `loom up` (none runs in %s)", p.dir)
	}
	nc, err := bus.Connect(url, "replay", log, opts...)
	if err != nil && p.socket != "" {
		return nil, fmt.Errorf("the loom up of %s does not answer, does it run? %w", p.dir, err)
	}
	return nc, err
}
