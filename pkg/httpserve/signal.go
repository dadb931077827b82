package httpserve

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// UntilSignal is a context that ends with the first SIGINT or SIGTERM of the process. A
// second one kills at once: what it does is restored before the context ends, so that
// whoever sees the process stop can already send it.
func UntilSignal() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	first := make(chan os.Signal, 1)
	signal.Notify(first, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-first
		signal.Stop(first)
		cancel()
	}()
	return ctx
}
