package httpserve

import (
	"context"
	"net/http"
)

// Optional is Listen and Run for a listener the operator may leave out: with an
// empty addr it returns nil at once.
func Optional(ctx context.Context, addr, flagHint string, h http.Handler, opt Options) error {
	if addr == "" {
		return nil
	}
	ln, err := Listen(ctx, addr, flagHint)
	if err != nil {
		return err
	}
	return Run(ctx, ln, h, opt)
}
