package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"loom.internal/cmd/loom/internal/client"
)

// errMissing makes the exit code 1; what is missing has been printed.
var errMissing = errors.New("not everything is there")

const verifyLong = `Check that nothing is missing, and exit with 1 if something is:

  - every number that a gateway has given to an event is in Postgres, or acknowledged (loom verify acknowledge);
  - every trace of the last days has its usage fact, and every fact its trace;
  - the rollups, those of tags too, come to exactly what the ledger of usage facts
    comes to;
  - no event is set aside (loom dead).

It may run beside any load and changes nothing. What is younger than a minute, or
still on the stream, is pending and not missing; so is what a gateway holds in its
spool by its last word. Gateways tell their numbers every few seconds: what one gave
after its last word is not seen here before it runs again.`

func newVerify() *cobra.Command {
	var days int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check that every trace and every cost is there, once",
		Long:  verifyLong,
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if days < 1 || days > 31 {
				return &usageError{cmd.CommandPath(), fmt.Errorf("--days %d: want 1 to 31", days)}
			}
			c, err := adminClient(cmd)
			if err != nil {
				return err
			}
			r, err := c.Verify(cmd.Context(), days)
			if err != nil {
				return err
			}
			if asJSON {
				err = printJSON(cmd.OutOrStdout(), r)
			} else {
				err = printReport(cmd.OutOrStdout(), r)
			}
			if err == nil && r.State == client.Missing {
				err = errMissing
			}
			return err
		},
	}
	cmd.AddCommand(newAcknowledge())
	adminFlags(cmd)
	cmd.Flags().IntVar(&days, "days", 7, "UTC days to compare, today included; 1 to 31")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printReport(w io.Writer, r client.Report) error {
	producers := [][]string{{"GATEWAY", "EPOCH", "SENT", "RECORDED", "WATERMARK", "MISSING", "ACKNOWLEDGED", "IN SPOOL", "GAPS", "STATE"}}
	for _, p := range r.Producers {
		producers = append(producers, []string{
			p.ID, count(p.Epoch), count(p.Sent), count(p.Recorded), count(p.Watermark), count(p.Missing), count(p.Acknowledged), count(p.Held), gaps(p.Gaps), p.State,
		})
	}
	days := [][]string{{"DAY", "TRACES", "FACTS", "NO FACT", "NO TRACE", "PENDING", "ROLLUPS", "WRONG", "STATE"}}
	for _, d := range r.Days {
		traces := count(d.Traces)
		if d.Dropped {
			traces = "dropped"
		}
		days = append(days, []string{
			d.Day, traces, count(d.Facts), count(d.MissingFacts), count(d.MissingTraces), count(d.Pending), count(d.Rollups), count(d.WrongRollups), d.State,
		})
	}
	consumers := [][]string{{"CONSUMER", "ON ITS WAY", "SETTLED UP TO"}}
	for _, c := range r.Consumers {
		consumers = append(consumers, []string{c.Name, strconv.FormatUint(c.Unsettled, 10), c.Settled.Format(time.DateTime)})
	}
	for _, table := range [][][]string{producers, days, consumers} {
		if len(table) == 1 {
			continue
		}
		if err := printTable(w, table...); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(w); err != nil {
			return err
		}
	}
	_, err := io.WriteString(w, verdict(r))
	return err
}

func verdict(r client.Report) string {
	var b strings.Builder
	switch r.State {
	case client.Complete:
		return "Complete: nothing is missing, nothing differs.\n"
	case client.Pending:
		b.WriteString("Pending: nothing is known to be missing, but not all has arrived. Ask again in a minute.\n")
	default:
		b.WriteString("MISSING:\n")
	}
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "  - %s\n    %s\n", f.Message, f.Advice)
	}
	for _, d := range r.Days {
		for _, f := range d.Differences {
			tag := ""
			if f.Tag != nil {
				tag = fmt.Sprintf(" tag %q=%q", *f.Tag, maybe(f.Value))
			}
			fmt.Fprintf(&b, "  * %s %s %s%s key=%s provider=%s model=%s route=%s outcome=%s: requests %s, the ledger has %s; cost %s, the ledger has %s\n",
				f.TenantID, f.Grain, f.Bucket.Format(time.RFC3339), tag, f.KeyID, f.Provider, f.Model, f.Route, f.Outcome,
				maybe(f.RollupRequests), maybe(f.LedgerRequests), maybe(f.RollupCost), maybe(f.LedgerCost))
		}
	}
	return b.String()
}

func maybe[V any](v *V) string {
	if v == nil {
		return "none"
	}
	return fmt.Sprint(*v)
}

func count(n int64) string { return strconv.FormatInt(n, 10) }

// gaps shows the first few.
func gaps(all []client.Gap) string {
	const shown = 3
	var texts []string
	for i, g := range all {
		switch {
		case i == shown:
			return strings.Join(texts, ",") + ",…"
		case g.From == g.To:
			texts = append(texts, count(g.From))
		default:
			texts = append(texts, count(g.From)+"-"+count(g.To))
		}
	}
	return orDash(strings.Join(texts, ","))
}
