// Loom is the operator's one binary: everything in one process (loom up), one
// service, or a command against a running Loom.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"loom.internal/pkg/httpserve"
	"loom.internal/pkg/telemetry"
)

// Exit codes.
const (
	exitError = 1
	exitUsage = 2
)

func main() {
	telemetry.SilenceStandardLog()
	err := newRoot().ExecuteContext(httpserve.UntilSignal())
	if err == nil {
		return
	}
	fmt.Fprintf(os.Stderr, "loom: %v\n", err)
	if usage, ok := errors.AsType[*usageError](err); ok {
		fmt.Fprintf(os.Stderr, "\nSee `%s --help`.\n", usage.command)
		os.Exit(exitUsage)
	}
	os.Exit(exitError)
}

func newRoot() *cobra.Command {
	root := group(&cobra.Command{
		Use:           "loom",
		Short:         "AI gateway and trace recorder",
		SilenceErrors: true,
		SilenceUsage:  true,
	})
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return &usageError{cmd.CommandPath(), err} })
	root.AddCommand(
		newUp(),
		newApply(), newTenant(), newKey(), newKeys(), newAdmin(),
		newVerify(), newDead(), newReplay(),
		newGateway(), newRecorder(), newAnalytics(), newDashboard(),
		newMigrate(), newConfig(), newVersion(),
	)
	return root
}
