// Package event is the trace event: its schema (trace.proto), its subjects and
// headers on the bus, and the strict reading of what others sent.
//
//	gateway ──Marshal──▶ loom.trace.v1.<tenant>.<kind> ──Decode──▶ recorder, analytics
package event

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
)

// Bounds of one event. A consumer refuses what goes beyond them; the gateway
// cuts before it sends.
const (
	MaxSize     = 1 << 20  // bytes of an encoded event on the bus
	MaxBody     = 16 << 20 // bytes of a body, in clear
	MaxText     = 512      // bytes of a name, an id or a class
	MaxList     = 64       // attempts, finish reasons, tool names
	MaxTags     = 32
	MaxTagKey   = 64
	MaxTagValue = 256
	MaxUsageRaw = 16 << 10

	// MaxUnplaced is what MarshalUnplaced may come to: two whole bodies and all else.
	MaxUnplaced = 2*maxSealed + MaxSize
)

// ErrInvalid is wrapped by every error of Decode and Validate: the event itself is
// at fault, and reading it again cannot help.
var ErrInvalid = errors.New("invalid trace event")

// Marshal encodes a valid event.
func Marshal(e *TraceEvent) ([]byte, error) {
	if err := Validate(e); err != nil {
		return nil, err
	}
	data, err := proto.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encode trace event: %w", err)
	}
	if len(data) > MaxSize {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrInvalid, len(data), MaxSize)
	}
	return data, nil
}

// MarshalUnplaced encodes an event that has no place in its producer's sequence yet;
// WithPlace completes it. It is checked as if it had one, and may be too large for the
// bus as long as its bodies are in it.
func MarshalUnplaced(e *TraceEvent) ([]byte, error) {
	e.Producer = &Producer{Id: "unplaced", Seq: 1}
	err := Validate(e)
	e.Producer = nil
	if err != nil {
		return nil, err
	}
	data, err := proto.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encode trace event: %w", err)
	}
	if len(data) > MaxUnplaced {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrInvalid, len(data), MaxUnplaced)
	}
	return data, nil
}

// WithPlace gives an encoded event its place. It appends to data: protobuf reads parts
// of a message that follow one another as one. What comes of it goes on the bus only if
// it is not over MaxSize; see Detach.
func WithPlace(data []byte, p Place) ([]byte, error) {
	part := &TraceEvent{Producer: &Producer{Id: p.ProducerID, Epoch: uint64(p.Epoch), Seq: uint64(p.Seq)}} //nolint:gosec // neither is negative
	data, err := proto.MarshalOptions{}.MarshalAppend(data, part)
	if err != nil {
		return nil, fmt.Errorf("encode place: %w", err)
	}
	return data, nil
}

// Decode reads an event that came on subject. It is strict: bounds hold, and the
// tenant and the outcome of the event are those of the subject. Fields that a later
// version added are ignored.
func Decode(subject string, data []byte) (*TraceEvent, error) {
	tenantID, kind, err := ParseSubject(subject)
	if err != nil {
		return nil, err
	}
	if len(data) > MaxSize {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrInvalid, len(data), MaxSize)
	}
	e := new(TraceEvent)
	if err := proto.Unmarshal(data, e); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if err := Validate(e); err != nil {
		return nil, err
	}
	if e.GetTenantId() != tenantID {
		return nil, fmt.Errorf("%w: of tenant %q on the subject of tenant %q", ErrInvalid, e.GetTenantId(), tenantID)
	}
	if e.GetOutcome().Kind() != kind {
		return nil, fmt.Errorf("%w: outcome %s on a subject of kind %q", ErrInvalid, e.GetOutcome(), kind)
	}
	return e, nil
}

// StartedAt is the start as a time in UTC, to the microsecond.
func (e *TraceEvent) StartedAt() time.Time { return time.UnixMicro(e.GetStartedAtUs()).UTC() }

// Model is the name usage is accounted under: the model that answered, else the one
// asked of the provider, else the one the client asked for.
func (e *TraceEvent) Model() string {
	for _, m := range []string{e.GetModelAnswered(), e.GetModelUpstream()} {
		if m != "" {
			return m
		}
	}
	return e.GetModelRequested()
}

// TagsJSON is the tags as a JSON object.
func (e *TraceEvent) TagsJSON() string {
	if len(e.GetTags()) == 0 {
		return "{}"
	}
	text, err := json.Marshal(e.GetTags())
	if err != nil {
		panic(err) // strings only
	}
	return string(text)
}
