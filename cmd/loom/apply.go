package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"loom.internal/cmd/loom/internal/client"
	"loom.internal/cmd/loom/internal/manifestfile"
)

func newApply() *cobra.Command {
	var file string
	var dryRun, asJSON bool
	cmd := &cobra.Command{
		Use:   "apply -f FILE",
		Short: "Make providers, routes, tenants, keys and prices as a file says",
		Long: `Make providers, routes, tenants, keys and prices as a YAML file says.

All of the file is applied, or nothing. What it does not name stays as it is, and
applying it again changes nothing. ${NAME} in a value stands for an environment
variable. The secret of a new key is printed once.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				return &usageError{cmd.CommandPath(), errors.New("name the file: -f loom.yaml")}
			}
			f, err := manifestfile.Load(file, os.LookupEnv)
			if err != nil {
				return refused(err)
			}
			c, err := adminClient(cmd)
			if err != nil {
				return err
			}
			done, err := c.Apply(cmd.Context(), f.Manifest, dryRun)
			if refusal, ok := errors.AsType[*client.Error](err); ok && len(refusal.Faults) > 0 {
				return refused(f.Locate(refusal.Faults))
			}
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), done)
			}
			return printApplied(cmd.OutOrStdout(), done, dryRun)
		},
	}
	adminFlags(cmd)
	cmd.Flags().StringVarP(&file, "file", "f", "", "the YAML file")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only print what would change")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// notPushed tells that a change is stored and not yet in force.
const notPushed = "NATS does not answer: gateways will hear of this when it does.\n"

// refused is the error of a file with faults.
func refused(err error) error {
	if faults, ok := errors.AsType[manifestfile.Faults](err); ok {
		noun := "faults"
		if len(faults) == 1 {
			noun = "fault"
		}
		return fmt.Errorf("%d %s, nothing was applied:\n%w", len(faults), noun, faults)
	}
	return err
}

// printApplied says what changed, or would.
func printApplied(w io.Writer, a client.Applied, dryRun bool) error {
	var b strings.Builder
	for _, c := range a.Changes {
		if c.Action == "create" {
			fmt.Fprintf(&b, "+ %-8s %s\n", c.Kind, c.Name)
		} else {
			fmt.Fprintf(&b, "~ %-8s %s: %s\n", c.Kind, c.Name, strings.Join(c.Fields, ", "))
		}
	}
	switch n := len(a.Changes); {
	case n == 0:
		b.WriteString("No changes.\n")
	case dryRun:
		fmt.Fprintf(&b, "%d to change. This was a dry run: nothing was applied.\n", n)
	default:
		fmt.Fprintf(&b, "%d changed.\n", n)
	}
	if !a.Pushed && !dryRun && len(a.Changes) > 0 {
		b.WriteString(notPushed)
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return err
	}
	if dryRun {
		return nil
	}
	return printNewKeys(w, a.Keys...)
}

// printNewKeys shows the secrets of keys just made.
func printNewKeys(w io.Writer, keys ...client.NewKey) error {
	if len(keys) == 0 {
		return nil
	}
	if _, err := fmt.Fprint(w, "\nNew keys. Their secrets are shown only now:\n"); err != nil {
		return err
	}
	for _, k := range keys {
		if _, err := fmt.Fprintf(w, "  %s/%s   %s   (id %s)\n", k.Tenant, k.Name, k.Secret, k.ID); err != nil {
			return err
		}
	}
	return nil
}
