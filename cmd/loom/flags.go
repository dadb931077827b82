package main

import (
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Every setting is an environment variable; a flag is a way to give one on the
// command line. --gateway-addr is LOOM_GATEWAY_ADDR, and so on.

const settingAnnotation = "loom_variable"

// settingFlag adds the flag of a variable. def is only for the help text: the
// variable's own default holds.
func settingFlag(cmd *cobra.Command, name, def, usage string) {
	variable := variableOf(name)
	usage += " (" + variable + ")"
	if def != "" {
		usage += " (default " + def + ")"
	}
	cmd.Flags().String(name, "", usage)
	_ = cmd.Flags().SetAnnotation(name, settingAnnotation, []string{variable}) // the flag is there
}

// switchFlag is settingFlag for a boolean: --name alone means true.
func switchFlag(cmd *cobra.Command, name, def, usage string) {
	settingFlag(cmd, name, def, usage)
	cmd.Flags().Lookup(name).NoOptDefVal = "true"
}

func variableOf(flag string) string {
	return "LOOM_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// applyFlags puts the flags that were given in the environment, where settings are
// read from.
func applyFlags(cmd *cobra.Command) error {
	var err error
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if v := f.Annotations[settingAnnotation]; len(v) == 1 && err == nil {
			err = os.Setenv(v[0], f.Value.String())
		}
	})
	return err
}
