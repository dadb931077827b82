package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"loom.internal/cmd/loom/internal/client"
)

const keysLong = `Look after the keys that bodies are sealed with. Every tenant has a data key of its own,
which is kept wrapped with a master key. (loom key manages what applications call with.)`

func newKeys() *cobra.Command {
	return group(&cobra.Command{Use: "keys", Short: "Look after the keys that bodies are sealed with", Long: keysLong},
		newKeysList(), newKeysRotate(), newKeysRewrap(), newKeysReencrypt(), newKeysShred())
}

func newKeysList() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list [TENANT]",
		Short: "List data keys, and what each version of the master key protects",
		Args:  args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			c, err := adminClient(cmd)
			if err != nil {
				return err
			}
			var out struct {
				MasterKeys []client.MasterKey `json:"master_keys"`
				DataKeys   []client.DataKey   `json:"data_keys"`
			}
			if out.MasterKeys, err = c.MasterKeys(cmd.Context()); err != nil {
				return err
			}
			if out.DataKeys, err = c.DataKeys(cmd.Context(), strings.Join(given, "")); err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), out)
			}
			rows := [][]string{{"MASTER KEY", "STATE", "DATA KEYS", "PROVIDERS", "SYSTEM"}}
			for _, m := range out.MasterKeys {
				rows = append(rows, []string{"version " + strconv.FormatUint(uint64(m.Version), 10), masterState(m), count(m.DataKeys), count(m.Providers), count(m.System)})
			}
			if err := printTable(cmd.OutOrStdout(), rows...); err != nil {
				return err
			}
			rows = [][]string{{"TENANT", "EPOCH", "STATE", "MASTER KEY", "CREATED", "ENDED"}}
			for _, k := range out.DataKeys {
				version, ended := "-", "-"
				if k.MasterVersion != nil {
					version = count(int64(*k.MasterVersion))
				}
				if k.EndedAt != nil {
					ended = k.EndedAt.Format(time.DateTime)
				}
				rows = append(rows, []string{k.TenantID, count(int64(k.Epoch)), k.State, version, k.CreatedAt.Format(time.DateTime), ended})
			}
			if _, err := fmt.Fprintln(cmd.OutOrStdout()); err != nil {
				return err
			}
			return printTable(cmd.OutOrStdout(), rows...)
		},
	}
	adminFlags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func masterState(m client.MasterKey) string {
	switch {
	case m.Active:
		return "active"
	case !m.Here:
		return "MISSING: give it to the dashboard"
	case m.DataKeys+m.Providers+m.System > 0:
		return "needed: run loom keys rewrap"
	default:
		return "no longer needed"
	}
}

func newKeysRotate() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rotate TENANT",
		Short: "Give a tenant another data key",
		Long: `Give a tenant another data key: what is recorded from now on is sealed with it. Those
before it go on to open what they have sealed. It happens by itself every 30 days.`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			c, err := adminClient(cmd)
			if err != nil {
				return err
			}
			k, err := c.RotateDataKey(cmd.Context(), given[0])
			if err != nil {
				return err
			}
			if !k.Pushed {
				cmd.PrintErr(notPushed)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "Bodies of %s are sealed with data key %d.\n", k.TenantID, k.Epoch)
			return err
		},
	}
	adminFlags(cmd)
	return cmd
}

const rewrapLong = `Wrap with the newest master key what an older one has wrapped: data keys, the secrets of
providers, the pepper of API keys. Bodies stay as they are. To replace a master key:

  1. give all gateways ENCRYPTION_MASTER_KEY_V2 beside the one they have, then all dashboards
  2. loom keys rewrap
  3. loom keys list says that version 1 is no longer needed: take it away, dashboards last

It may be broken off and run again at any time. --dry-run unwraps everything and changes
nothing.`

func newKeysRewrap() *cobra.Command {
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "rewrap",
		Short: "Wrap with the newest master key what an older one has wrapped",
		Long:  rewrapLong,
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := adminClient(cmd)
			if err != nil {
				return err
			}
			var total client.Rewrapped
			for pushed := true; ; {
				step, err := c.Rewrap(cmd.Context(), total.Next, dryRun)
				if err != nil {
					return err
				}
				pushed = pushed && step.Pushed
				total.Looked += step.Looked
				total.Rewrapped += step.Rewrapped
				total.Failed = append(total.Failed, step.Failed...)
				total.Next, total.MasterVersion = step.Next, step.MasterVersion
				if total.Next == "" {
					if !pushed {
						cmd.PrintErr(notPushed)
					}
					break
				}
				cmd.PrintErrf("%d keys looked at, %d %s\n", total.Looked, total.Rewrapped, done(dryRun, "rewrapped"))
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d keys looked at, %d %s with master key %d.\n",
				total.Looked, total.Rewrapped, done(dryRun, "rewrapped"), total.MasterVersion)
			return errors.Join(err, failures(cmd, total.Failed, "keys"))
		},
	}
	adminFlags(cmd)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "unwrap everything, change nothing")
	return cmd
}

func done(dryRun bool, what string) string {
	if dryRun {
		return "to be " + what
	}
	return what
}

// failures lists what was left as it was; the command then fails.
func failures(cmd *cobra.Command, failed []client.Failure, what string) error {
	for _, f := range failed {
		cmd.PrintErrf("%s: %s\n", f.What, f.Why)
	}
	if len(failed) > 0 {
		return fmt.Errorf("%d %s are left as they were", len(failed), what)
	}
	return nil
}

const reencryptLong = `Seal the recorded bodies of a tenant anew with its active data key, for when an older one
may be known to others: rotate first. What is on the bus, in spools and in backups stays
sealed with the old key, which therefore stays. It may be broken off and run again.
--dry-run opens everything and changes nothing.`

func newKeysReencrypt() *cobra.Command {
	var (
		epoch, rate int32
		dryRun      bool
	)
	cmd := &cobra.Command{
		Use:   "reencrypt TENANT",
		Short: "Seal recorded bodies anew with the active data key",
		Long:  reencryptLong,
		Args:  args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			if rate < 1 || epoch < 0 {
				return &usageError{cmd.CommandPath(), errors.New("--rate must be at least 1, and --epoch not negative")}
			}
			c, err := adminClient(cmd)
			if err != nil {
				return err
			}
			batch := min(rate, 200)
			tick := time.NewTicker(time.Second * time.Duration(batch) / time.Duration(rate))
			defer tick.Stop()
			var total client.Reencrypted
			for {
				step, err := c.Reencrypt(cmd.Context(), given[0], epoch, total.Next, int(batch), dryRun)
				if err != nil {
					return err
				}
				total.Looked += step.Looked
				total.Sealed += step.Sealed
				total.Failed = append(total.Failed, step.Failed...)
				total.Next, total.Epoch = step.Next, step.Epoch
				if total.Next == "" {
					break
				}
				cmd.PrintErrf("%d traces looked at, %d %s, next %s\n", total.Looked, total.Sealed, done(dryRun, "sealed anew"), total.Next)
				select {
				case <-tick.C:
				case <-cmd.Context().Done():
					return cmd.Context().Err()
				}
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d traces looked at, %d %s with data key %d.\n",
				total.Looked, total.Sealed, done(dryRun, "sealed anew"), total.Epoch)
			return errors.Join(err, failures(cmd, total.Failed, "traces"))
		},
	}
	adminFlags(cmd)
	cmd.Flags().Int32Var(&epoch, "epoch", 0, "only what this data key has sealed (default all but the active)")
	cmd.Flags().Int32Var(&rate, "rate", 200, "traces a second, at most")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "open everything, change nothing")
	return cmd
}

const shredLong = `Make all bodies of a tenant unreadable for good: its data keys are destroyed, and the tenant
becomes inactive. What is in Postgres, on the bus, in spools and in backups of them is
noise from then on; a backup that holds the table tenant_keys together with a master key
is the exception, until it is gone. Metadata and costs stay. --dry-run tells what it would
make unreadable.`

func newKeysShred() *cobra.Command {
	var (
		confirm, reason string
		dryRun          bool
	)
	cmd := &cobra.Command{
		Use:     "shred TENANT",
		Short:   "Make all bodies of a tenant unreadable for good",
		Long:    shredLong,
		Example: `  loom keys shred acme --confirm acme --reason "end of contract" > receipt.json`,
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			if !dryRun && confirm != given[0] {
				return &usageError{cmd.CommandPath(), fmt.Errorf("--confirm %s is missing: what is shredded cannot be had back", given[0])}
			}
			if !dryRun && strings.TrimSpace(reason) == "" {
				return &usageError{cmd.CommandPath(), errors.New("--reason is missing: say why; it goes into the access log and the receipt")}
			}
			c, err := adminClient(cmd)
			if err != nil {
				return err
			}
			receipt, err := c.Shred(cmd.Context(), given[0], confirm, reason, dryRun)
			if err != nil {
				return err
			}
			if !dryRun && !receipt.Pushed {
				cmd.PrintErr(notPushed)
			}
			return printJSON(cmd.OutOrStdout(), receipt)
		},
	}
	adminFlags(cmd)
	cmd.Flags().StringVar(&confirm, "confirm", "", "the tenant again")
	cmd.Flags().StringVar(&reason, "reason", "", "why")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "tell what it would make unreadable, change nothing")
	return cmd
}
