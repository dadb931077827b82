package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

const acknowledgeLong = `Note down that numbers of a gateway will never come, because its spool is lost, and why:
loom verify then shows them as acknowledged and no longer as missing. Only what is
missing is acknowledged. A number that comes all the same is recorded like any other.`

func newAcknowledge() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:     "acknowledge GATEWAY EPOCH FROM[-TO]",
		Short:   "Say of missing events that they will never come, and why",
		Long:    acknowledgeLong,
		Example: `  loom verify acknowledge gw-7f3a 12 4990-5000 --reason "its disk died on May 3"`,
		Args:    args(cobra.ExactArgs(3)),
		RunE: func(cmd *cobra.Command, given []string) error {
			epoch, err := strconv.ParseInt(given[1], 10, 64)
			if err != nil {
				return &usageError{cmd.CommandPath(), fmt.Errorf("%q is not an epoch: loom verify shows them", given[1])}
			}
			first, last, isRange := strings.Cut(given[2], "-")
			if !isRange {
				last = first
			}
			from, err := strconv.ParseInt(first, 10, 64)
			to, err2 := strconv.ParseInt(last, 10, 64)
			if err := errors.Join(err, err2); err != nil || from < 1 || to < from {
				return &usageError{cmd.CommandPath(), fmt.Errorf("%q: want a number or a run of them, such as 3 or 3-7", given[2])}
			}
			if strings.TrimSpace(reason) == "" {
				return &usageError{cmd.CommandPath(), errors.New("--reason is missing: say why they will never come")}
			}
			c, err := adminClient(cmd)
			if err != nil {
				return err
			}
			numbers, err := c.AcknowledgeGap(cmd.Context(), given[0], epoch, from, to, reason)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d missing numbers of %s, epoch %d, are acknowledged.\n", numbers, given[0], epoch)
			return err
		},
	}
	adminFlags(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "why they will never come; goes into the access log")
	return cmd
}
