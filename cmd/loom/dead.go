package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"loom.internal/cmd/loom/internal/client"
	"loom.internal/pkg/bus"
)

func newDead() *cobra.Command {
	return group(&cobra.Command{
		Use:   "dead",
		Short: "Look at events that could not be stored, send them again, or let go of them",
	}, newDeadList(), newDeadShow(), newDeadRetry(), newDeadDiscard())
}

// consumerFlag narrows a command to the events one consumer set aside.
func consumerFlag(cmd *cobra.Command, consumer *string) {
	cmd.Flags().StringVar(consumer, "consumer", "", "only those of recorder or of analytics")
}

func checkConsumer(cmd *cobra.Command, consumer string) error {
	if consumer != "" && !slices.Contains([]string{bus.ConsumerRecorder, bus.ConsumerAnalytics}, consumer) {
		return &usageError{cmd.CommandPath(), fmt.Errorf("--consumer %q: want recorder or analytics", consumer)}
	}
	return nil
}

func newDeadList() *cobra.Command {
	var consumer string
	var limit int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List events that were set aside, the latest first",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkConsumer(cmd, consumer); err != nil {
				return err
			}
			if limit < 0 {
				return &usageError{cmd.CommandPath(), fmt.Errorf("--limit %d: want 0 for all, or how many", limit)}
			}
			c, err := adminClient(cmd)
			if err != nil {
				return err
			}
			events, err := c.DeadEvents(cmd.Context(), consumer, limit)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), events)
			}
			rows := [][]string{{"ID", "CONSUMER", "DIED", "SUBJECT", "SIZE", "REASON"}}
			for _, e := range events {
				rows = append(rows, []string{
					count(e.ID), e.Consumer, e.DiedAt.Format(time.DateTime), e.Subject, count(e.Size), oneLine(e.Reason, 100),
				})
			}
			return printTable(cmd.OutOrStdout(), rows...)
		},
	}
	adminFlags(cmd)
	consumerFlag(cmd, &consumer)
	cmd.Flags().IntVar(&limit, "limit", 100, "how many at most; 0 for all")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// oneLine is text on one line, cut to about limit bytes.
func oneLine(text string, limit int) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + "…"
	}
	return text
}

func newDeadShow() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show one event, with its data in base64",
		Args:  args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			ids, err := deadIDs(cmd, given)
			if err != nil {
				return err
			}
			c, err := adminClient(cmd)
			if err != nil {
				return err
			}
			e, err := c.DeadEvent(cmd.Context(), ids[0])
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), e)
			}
			return printDead(cmd.OutOrStdout(), e)
		},
	}
	adminFlags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printDead(w io.Writer, e client.FullDeadEvent) error {
	producer := "-"
	if p := e.Producer; p != nil {
		producer = fmt.Sprintf("%s/%d, number %d", p.ID, p.Epoch, p.Seq)
	}
	return printTable(w,
		[]string{"id", count(e.ID)},
		[]string{"consumer", e.Consumer},
		[]string{"died", e.DiedAt.Format(time.RFC3339)},
		[]string{"reason", oneLine(e.Reason, 2<<10)},
		[]string{"subject", e.Subject},
		[]string{"stream", count(e.StreamSeq)},
		[]string{"trace", orDash(e.MsgID)},
		[]string{"gateway", producer},
		[]string{"size", count(e.Size) + " bytes"},
		[]string{"data", orDash(base64.StdEncoding.EncodeToString(e.Data))},
	)
}

const deadRetryLong = `Send events again that were set aside: all consumers get them, and those that have
them store nothing twice. One that still cannot be stored comes back under a new id, so
mend the cause first: loom dead show names it.`

func newDeadRetry() *cobra.Command {
	var consumer string
	var all bool
	cmd := &cobra.Command{
		Use:   "retry [ID...]",
		Short: "Send events again that were set aside",
		Long:  deadRetryLong,
		RunE: func(cmd *cobra.Command, given []string) error {
			if all == (len(given) > 0) {
				return &usageError{cmd.CommandPath(), errors.New("name the events by their ids, or give --all")}
			}
			if consumer != "" && !all {
				return &usageError{cmd.CommandPath(), errors.New("--consumer goes with --all")}
			}
			if err := checkConsumer(cmd, consumer); err != nil {
				return err
			}
			ids, err := deadIDs(cmd, given)
			if err != nil {
				return err
			}
			c, err := adminClient(cmd)
			if err != nil {
				return err
			}
			if all {
				// Listed before the first is sent: one that dies again is not sent again.
				events, err := c.DeadEvents(cmd.Context(), consumer, 0)
				if err != nil {
					return err
				}
				for _, e := range slices.Backward(events) {
					ids = append(ids, e.ID)
				}
			}
			return retryDead(cmd, c, ids)
		},
	}
	adminFlags(cmd)
	consumerFlag(cmd, &consumer)
	cmd.Flags().BoolVar(&all, "all", false, "every event there is now, the oldest first")
	return cmd
}

// retryDead goes on where one event cannot be sent, and says so at the end.
func retryDead(cmd *cobra.Command, c *client.Client, ids []int64) error {
	var failed []error
	for _, id := range ids {
		r, err := c.RetryDead(cmd.Context(), id)
		if cmd.Context().Err() != nil || errors.Is(err, client.ErrNotConnected) {
			return err
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("event %d: %w", id, err))
			continue
		}
		if _, err := fmt.Fprintf(cmd.OutOrStdout(), "Event %d is on the stream again, as %d.\n", id, r.StreamSeq); err != nil {
			return err
		}
	}
	if len(failed) == 0 {
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "%d sent again. One that still cannot be stored comes back to `loom dead list`.\n", len(ids))
		return err
	}
	return errors.Join(failed...)
}

func newDeadDiscard() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "discard ID...",
		Short: "Let go of events for good",
		Long: `Let go of events for good that were set aside. What they were, and who has done so, stays
in the access log; their data does not. loom dead show --json prints it before.`,
		Args: args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			ids, err := deadIDs(cmd, given)
			if err != nil {
				return err
			}
			c, err := adminClient(cmd)
			if err != nil {
				return err
			}
			var failed []error
			for _, id := range ids {
				err := c.DiscardDead(cmd.Context(), id)
				if cmd.Context().Err() != nil || errors.Is(err, client.ErrNotConnected) {
					return err
				}
				if err != nil {
					failed = append(failed, fmt.Errorf("event %d: %w", id, err))
					continue
				}
				if _, err := fmt.Fprintf(cmd.OutOrStdout(), "Event %d is gone.\n", id); err != nil {
					return err
				}
			}
			return errors.Join(failed...)
		},
	}
	adminFlags(cmd)
	return cmd
}

func deadIDs(cmd *cobra.Command, given []string) ([]int64, error) {
	var ids []int64
	for _, text := range given {
		id, err := strconv.ParseInt(text, 10, 64)
		if err != nil || id < 1 {
			return nil, &usageError{cmd.CommandPath(), fmt.Errorf("%q is not the id of an event: loom dead list shows them", text)}
		}
		ids = append(ids, id)
	}
	return ids, nil
}
