package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// What a failed statement means to its caller; see [Wrap].
var (
	ErrNotFound    = errors.New("not found")
	ErrConflict    = errors.New("already exists")       // a unique index refused the row
	ErrRetryable   = errors.New("try again")            // serialization failure or deadlock: the transaction may be repeated
	ErrUnavailable = errors.New("database unavailable") // no connection, or the server is stopping or full
)

// Wrap adds to err the sentinel of this package that fits it, if any: use it
// on errors that come straight from pgx. InTx and InTenant have done so.
func Wrap(err error) error {
	s := sentinel(err)
	if s == nil || errors.Is(err, s) {
		return err
	}
	return fmt.Errorf("%w: %w", s, err)
}

func sentinel(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return nil
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return ErrNotFound
	}
	// Before the code: a server that refuses the login is one we do not have.
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return ErrUnavailable
	}
	switch code := sqlState(err); {
	case code == "23505":
		return ErrConflict
	case code == "40001", code == "40P01":
		return ErrRetryable
	case strings.HasPrefix(code, "08"), strings.HasPrefix(code, "57P0"), code == "53300":
		return ErrUnavailable
	case code != "":
		return nil
	}
	// A deadline of the caller's own is a net.Error too, but no fault of the database.
	if errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	if _, ok := errors.AsType[net.Error](err); ok || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || pgconn.SafeToRetry(err) {
		return ErrUnavailable
	}
	return nil
}

// IsData reports whether err says that the data itself is bad (SQLSTATE class
// 22 or 23): the same statement with the same values cannot succeed.
func IsData(err error) bool {
	code := sqlState(err)
	return strings.HasPrefix(code, "22") || strings.HasPrefix(code, "23")
}

func sqlState(err error) string {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code
	}
	return ""
}
