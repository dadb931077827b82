package traces

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"loom.internal/pkg/envelope"
	"loom.internal/pkg/store"
	"loom.internal/services/dashboard/internal/keyring"
)

// Why a payload is not shown.
var (
	ErrNotRecorded = errors.New("no body of this trace was recorded")
	ErrUnreadable  = errors.New("a body of this trace cannot be decrypted: it was changed, or its key is not at hand")
)

// Viewer is who asks for a payload, for the access log.
type Viewer struct {
	Actor     string
	Session   string // short form of the session's hash; empty without one
	RequestID string
}

// Payload is the bodies of a trace in clear; one that was not captured is nil.
type Payload struct {
	Request  *Body `json:"request"`
	Response *Body `json:"response"`
}

// Body is Text when it is UTF-8, else Base64.
type Body struct {
	Text      *string `json:"text,omitempty"`
	Base64    *string `json:"base64,omitempty"`
	Truncated bool    `json:"truncated"`
	Length    int     `json:"length"` // bytes
}

type sealedBody struct {
	ciphertext, iv []byte
	codec          *int16
	length         *int64
	truncated      bool
}

// Payload decrypts the bodies of a trace. That v sees them is in the access log, and
// committed, before the first is opened: no row, no plaintext. It fails with
// store.ErrNotFound, ErrNotRecorded, keyring.ErrShredded or ErrUnreadable; then nothing is
// in clear, and it is counted.
func (r *Reader) Payload(ctx context.Context, tenantID string, id uuid.UUID, v Viewer) (Payload, error) {
	p, err := r.payload(ctx, tenantID, id, v)
	if reason := reasonOf(err); reason != "" {
		r.refused.WithLabelValues(reason).Inc()
	}
	return p, err
}

func (r *Reader) payload(ctx context.Context, tenantID string, id uuid.UUID, v Viewer) (Payload, error) {
	var (
		suite             *int16
		version           *int32 // never nil where there is a body
		request, response sealedBody
	)
	var (
		wrapped envelope.WrappedDataKey
		keyErr  error // told once the view is in the log
	)
	err := store.InTenant(ctx, r.db, tenantID, func(tx pgx.Tx) error {
		at, err := locate(ctx, tx, tenantID, id)
		if err != nil {
			return fmt.Errorf("payload of trace %s: %w", id, err)
		}
		err = tx.QueryRow(ctx, `
			SELECT b.encryption_suite, b.encryption_key_version,
			       b.request_body, b.request_iv, b.request_codec, b.request_length, coalesce(b.request_truncated, false),
			       b.response_body, b.response_iv, b.response_codec, b.response_length, coalesce(b.response_truncated, false)
			FROM traces t
			LEFT JOIN trace_bodies b ON b.tenant_id = t.tenant_id AND b.started_at = $3 AND b.trace_id = t.trace_id
			WHERE t.tenant_id = $1 AND t.trace_id = $2 AND t.started_at = $3`, tenantID, id, at).Scan(&suite, &version,
			&request.ciphertext, &request.iv, &request.codec, &request.length, &request.truncated,
			&response.ciphertext, &response.iv, &response.codec, &response.length, &response.truncated)
		if err != nil {
			return fmt.Errorf("payload of trace %s: %w", id, err)
		}
		if request.ciphertext == nil && response.ciphertext == nil {
			return ErrNotRecorded
		}
		_, err = tx.Exec(ctx, `
			INSERT INTO access_log (tenant_id, actor, action, trace_id, detail)
			VALUES ($1, $2, 'trace.decrypt', $3, jsonb_build_object('fields', $4::text[], 'session', $5::text, 'request_id', $6::text))`,
			tenantID, v.Actor, id, fields(request, response), v.Session, v.RequestID)
		if err != nil {
			return fmt.Errorf("log access to trace %s: %w", id, err)
		}
		wrapped, keyErr = keyring.Find(ctx, tx, tenantID, *version)
		return nil
	})
	if err != nil {
		return Payload{}, err
	}
	var data *envelope.DataKey
	if err = keyErr; err == nil {
		data, err = wrapped.Unwrap(ctx, r.keys.Wrapper(), tenantID)
	}
	if errors.Is(err, keyring.ErrNoKey) || errors.Is(err, envelope.ErrOpen) || errors.Is(err, envelope.ErrUnknownKeyVersion) {
		err = fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	if err != nil {
		return Payload{}, err
	}
	traceKey, err := data.Trace(id.String())
	if err != nil {
		return Payload{}, err
	}
	open := func(field envelope.Field, b sealedBody) (*Body, error) {
		return open(traceKey, field, b, suite, *version)
	}
	var p Payload
	if p.Request, err = open(envelope.FieldRequest, request); err != nil {
		return Payload{}, err
	}
	if p.Response, err = open(envelope.FieldResponse, response); err != nil {
		return Payload{}, err
	}
	return p, nil
}

func fields(request, response sealedBody) []string {
	var names []string
	if request.ciphertext != nil {
		names = append(names, string(envelope.FieldRequest))
	}
	if response.ciphertext != nil {
		names = append(names, string(envelope.FieldResponse))
	}
	return names
}

func open(key *envelope.TraceKey, field envelope.Field, b sealedBody, suite *int16, version int32) (*Body, error) {
	if b.ciphertext == nil {
		return nil, nil
	}
	if suite == nil || b.codec == nil || b.length == nil ||
		*suite < 0 || *suite > 255 || *b.codec < 0 || *b.codec > 255 {
		return nil, fmt.Errorf("%w: its row is not whole", ErrUnreadable)
	}
	plain, err := key.Open(field, envelope.Sealed{
		Ciphertext: b.ciphertext, IV: b.iv, Suite: uint8(*suite), Codec: envelope.Codec(*b.codec),
		Epoch: uint32(version), PlainLen: *b.length, //nolint:gosec // a key of that epoch was found
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrUnreadable, field, err)
	}
	body := &Body{Truncated: b.truncated, Length: len(plain)}
	if utf8.Valid(plain) {
		body.Text = new(string(plain))
	} else {
		body.Base64 = new(base64.StdEncoding.EncodeToString(plain))
	}
	return body, nil
}
