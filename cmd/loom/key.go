package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"loom.internal/cmd/loom/internal/client"
	"loom.internal/pkg/tenant"
)

func newKey() *cobra.Command {
	return group(&cobra.Command{Use: "key", Short: "Manage the API keys of tenants"},
		newKeyCreate(), newKeyList(), newKeyRevoke())
}

func newKeyCreate() *cobra.Command {
	var spec client.KeySpec
	var expires string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "create TENANT NAME",
		Short: "Make a key and print its secret, once",
		Args:  args(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, given []string) error {
			spec.Name = given[1]
			var err error
			if spec.ExpiresAt, err = parseExpiry(expires, time.Now()); err != nil {
				return &usageError{cmd.CommandPath(), err}
			}
			c, err := adminClient(cmd)
			if err != nil {
				return err
			}
			k, err := c.CreateKey(cmd.Context(), given[0], spec)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), k)
			}
			if !k.Pushed {
				cmd.PrintErr(notPushed)
			}
			return printNewKeys(cmd.OutOrStdout(), client.NewKey{Tenant: given[0], Name: k.Name, ID: k.ID, Secret: k.Secret})
		},
	}
	adminFlags(cmd)
	cmd.Flags().StringSliceVar(&spec.Scopes, "scope", nil, fmt.Sprintf("what the key may do, of %v (default all)", tenant.Scopes()))
	cmd.Flags().StringSliceVar(&spec.Models, "model", nil, "models the key may ask for (default all)")
	cmd.Flags().StringVar(&spec.ContentMode, "content-mode", "", "what traces of the key keep of bodies: full, metadata or none, never more than the tenant's (default full)")
	cmd.Flags().StringVar(&expires, "expires", "", "when the key ends: after a duration (720h), on a day (2027-01-01) or at a time (RFC 3339)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// parseExpiry reads the end of a key; nil for a key without one.
func parseExpiry(s string, now time.Time) (*time.Time, error) {
	if s == "" {
		return nil, nil //nolint:nilnil // no end
	}
	if d, err := time.ParseDuration(s); err == nil && d > 0 {
		t := now.Add(d)
		return &t, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return &t, nil
		}
	}
	return nil, fmt.Errorf("--expires %q: want a duration such as 720h, a day such as 2027-01-01 or a time such as 2027-01-01T12:00:00Z", s)
}

func newKeyList() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list TENANT",
		Short: "List the keys of a tenant",
		Args:  args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			c, err := adminClient(cmd)
			if err != nil {
				return err
			}
			ks, err := c.Keys(cmd.Context(), given[0])
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), ks)
			}
			rows := [][]string{{"ID", "NAME", "KEY", "SCOPES", "MODELS", "CREATED", "STATE"}}
			for _, k := range ks {
				rows = append(rows, []string{
					k.ID, k.Name, "…" + k.Last4, strings.Join(k.Scopes, ","), orDash(strings.Join(k.Models, ",")),
					k.CreatedAt.Format(time.DateTime), keyState(k, time.Now()),
				})
			}
			return printTable(cmd.OutOrStdout(), rows...)
		},
	}
	adminFlags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func keyState(k client.Key, now time.Time) string {
	switch {
	case k.RevokedAt != nil:
		return "revoked " + k.RevokedAt.Format(time.DateTime)
	case k.ExpiresAt == nil:
		return "good"
	case k.ExpiresAt.After(now):
		return "good until " + k.ExpiresAt.Format(time.DateTime)
	default:
		return "expired " + k.ExpiresAt.Format(time.DateTime)
	}
}

func newKeyRevoke() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "revoke ID",
		Short: "End a key for good",
		Long:  "End a key for good. Gateways refuse it within a second. ID is what `loom key list` shows.",
		Args:  args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			c, err := adminClient(cmd)
			if err != nil {
				return err
			}
			k, err := c.RevokeKey(cmd.Context(), given[0])
			if err != nil {
				return err
			}
			if !k.Pushed {
				cmd.PrintErr(notPushed)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "Key %s is revoked.\n", given[0])
			return err
		},
	}
	adminFlags(cmd)
	return cmd
}
