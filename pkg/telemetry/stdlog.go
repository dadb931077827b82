package telemetry

import (
	"io"
	"log" //nolint:depguard // to turn it off
)

// SilenceStandardLog turns off the log of the standard library, which prints bytes of a
// provider's where its HTTP transport meets some that it did not expect.
func SilenceStandardLog() { log.SetOutput(io.Discard) }
