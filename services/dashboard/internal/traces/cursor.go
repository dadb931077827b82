package traces

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"loom.internal/services/dashboard/internal/query"
)

// ErrCursor means that a cursor was not made for this query: changed, made up, or
// passed with other parameters than those of its walk.
var ErrCursor = errors.New("the cursor does not belong to this query: pass it with the same parameters, or start without it")

// position is where a walk stands: below the trace of that time and id. The window is
// the one its first page resolved, so that "the last hour" does not slide on the way.
type position struct {
	window query.Window
	at     time.Time
	id     uuid.UUID
}

const (
	positionLength = 3*8 + 16
	macLength      = 16
)

// start is before the first row: every trace of w sorts below its end.
func start(w query.Window) position { return position{window: w, at: w.To} }

func encode(key []byte, p position, q Query) (string, error) {
	b := make([]byte, 0, positionLength+macLength)
	for _, t := range []time.Time{p.window.From, p.window.To, p.at} {
		b = binary.BigEndian.AppendUint64(b, uint64(t.UnixMicro()))
	}
	b = append(b, p.id[:]...)
	mac, err := cursorMAC(key, b, q)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(append(b, mac...)), nil
}

func decode(key []byte, cursor string, q Query) (position, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(b) != positionLength+macLength {
		return position{}, ErrCursor
	}
	body, mac := b[:positionLength], b[positionLength:]
	want, err := cursorMAC(key, body, q)
	if err != nil {
		return position{}, err
	}
	if !hmac.Equal(mac, want) {
		return position{}, ErrCursor
	}
	at := func(i int) time.Time {
		return time.UnixMicro(int64(binary.BigEndian.Uint64(body[8*i:]))).UTC() //nolint:gosec // written from an int64
	}
	return position{window: query.Window{From: at(0), To: at(1)}, at: at(2), id: uuid.UUID(body[24:])}, nil
}

// cursorMAC binds a position to the tenant and to the parameters as they were sent.
func cursorMAC(key, body []byte, q Query) ([]byte, error) {
	bound, err := json.Marshal(struct {
		Tenant, Asked string
		Filter        query.Filter
	}{q.TenantID, q.Asked, q.Filter})
	if err != nil {
		return nil, fmt.Errorf("bind cursor: %w", err)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(body) // of fixed length
	mac.Write(bound)
	return mac.Sum(nil)[:macLength], nil
}
