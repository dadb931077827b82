package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"loom.internal/cmd/loom/internal/client"
	"loom.internal/pkg/tenant"
)

func newTenant() *cobra.Command {
	return group(&cobra.Command{Use: "tenant", Short: "Manage tenants"},
		newTenantCreate(), newTenantList(),
		newTenantStatus("activate", "Let a tenant's keys in again", tenant.Active),
		newTenantStatus("deactivate", "Refuse all keys of a tenant", tenant.Inactive),
	)
}

func newTenantCreate() *cobra.Command {
	var name, mode string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "create ID",
		Short: "Make a tenant",
		Args:  args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			c, err := adminClient(cmd)
			if err != nil {
				return err
			}
			t, err := c.CreateTenant(cmd.Context(), given[0], name, mode)
			if err != nil {
				return err
			}
			if !asJSON && !t.Pushed {
				cmd.PrintErr(notPushed)
			}
			return printTenants(cmd, asJSON, t, []client.Tenant{t.Tenant})
		},
	}
	adminFlags(cmd)
	cmd.Flags().StringVar(&name, "name", "", "name for people; the id when empty")
	cmd.Flags().StringVar(&mode, "content-mode", "", "what traces keep of bodies: full, metadata or none (default full)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newTenantList() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List tenants",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := adminClient(cmd)
			if err != nil {
				return err
			}
			ts, err := c.Tenants(cmd.Context())
			if err != nil {
				return err
			}
			return printTenants(cmd, asJSON, ts, ts)
		},
	}
	adminFlags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newTenantStatus(verb, short string, status tenant.Status) *cobra.Command {
	cmd := &cobra.Command{
		Use:   verb + " ID",
		Short: short,
		Args:  args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			c, err := adminClient(cmd)
			if err != nil {
				return err
			}
			t, err := c.SetTenantStatus(cmd.Context(), given[0], string(status))
			if err != nil {
				return err
			}
			if !t.Pushed {
				cmd.PrintErr(notPushed)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "Tenant %s is %s.\n", t.Tenant.ID, t.Tenant.Status)
			return err
		},
	}
	adminFlags(cmd)
	return cmd
}

// printTenants prints value as JSON, or the tenants as a table.
func printTenants(cmd *cobra.Command, asJSON bool, value any, ts []client.Tenant) error {
	if asJSON {
		return printJSON(cmd.OutOrStdout(), value)
	}
	rows := [][]string{{"ID", "NAME", "STATUS", "CONTENT", "KEYS", "CREATED"}}
	for _, t := range ts {
		rows = append(rows, []string{t.ID, t.Name, t.Status, t.ContentMode, strconv.Itoa(t.Keys), t.CreatedAt.Format(time.DateTime)})
	}
	return printTable(cmd.OutOrStdout(), rows...)
}
