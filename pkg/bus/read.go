package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const directTrace = "$JS.API.DIRECT.GET." + StreamTrace

var errSkipped = errors.New("a message of a batch is missing")

// traces is the trace stream of a broker.
type traces struct{ js jetstream.JetStream }

func (t traces) Extent(ctx context.Context) (e Extent, err error) {
	stream, err := t.js.Stream(ctx, StreamTrace)
	if err != nil {
		return e, fmt.Errorf("stream %s: %w", StreamTrace, err)
	}
	info := stream.CachedInfo() // just fetched
	return Extent{Made: info.Created, First: info.State.FirstSeq, Last: info.State.LastSeq}, nil
}

// readMsg is a message as it lies on the stream. It is delivered to nobody: there is
// nothing to acknowledge.
type readMsg struct {
	jetstream.Msg
	subject string
	header  nats.Header
	data    []byte
	seq     uint64
	at      time.Time
}

func (m *readMsg) Subject() string      { return m.subject }
func (m *readMsg) Headers() nats.Header { return m.header }
func (m *readMsg) Data() []byte         { return m.data }

func (m *readMsg) Metadata() (*jetstream.MsgMetadata, error) {
	return &jetstream.MsgMetadata{Sequence: jetstream.SequencePair{Stream: m.seq}, Timestamp: m.at, Stream: StreamTrace}, nil
}

// Read gets a batch, with one request. The client's library has no such call; the protocol
// is that of the server's ADR-31.
func (t traces) Read(ctx context.Context, from uint64) (msgs []jetstream.Msg, err error) {
	nc := t.js.Conn()
	ask, err := json.Marshal(map[string]any{"seq": from, "batch": 2 * BatchSize, "max_bytes": recallBytes})
	if err != nil {
		return nil, err
	}
	inbox := nc.NewInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return nil, err
	}
	defer func() { _ = sub.Unsubscribe() }() // of a connection that has gone, it is gone too
	if err := nc.PublishRequest(directTrace, inbox, ask); err != nil {
		return nil, err
	}
	for before := uint64(0); ; {
		msg, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return nil, err
		}
		if len(msg.Header[jetstream.SequenceHeader]) == 0 { // none of the stream's
			err := ended(msg.Header, before)
			if err == nil && len(msgs) == 0 {
				err = ErrNoMore
			}
			return msgs, err
		}
		m, err := parse(msg)
		if err != nil {
			return nil, err
		}
		if lastOf(msg.Header, jetstream.LastSequenceHeader) != strconv.FormatUint(before, 10) {
			return nil, errSkipped
		}
		msgs, before = append(msgs, m), m.seq
	}
}

// ended is what is wrong with the end of a batch whose last message was before.
func ended(h nats.Header, before uint64) error {
	switch status := h.Get("Status"); {
	case status == "204" && lastOf(h, jetstream.LastSequenceHeader) == strconv.FormatUint(before, 10):
		return nil
	case status == "204":
		return errSkipped
	case status == "404":
		return ErrNoMore
	default:
		return fmt.Errorf("the broker answers %s %s", status, h.Get("Description"))
	}
}

// lastOf is the last value of a header: the broker adds its own behind what a publisher has
// put there.
func lastOf(h nats.Header, key string) string {
	values := h[key]
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}

func parse(msg *nats.Msg) (*readMsg, error) {
	m := &readMsg{subject: lastOf(msg.Header, jetstream.SubjectHeader), header: msg.Header, data: msg.Data}
	var err error
	if m.seq, err = strconv.ParseUint(lastOf(msg.Header, jetstream.SequenceHeader), 10, 64); err != nil {
		return nil, fmt.Errorf("number of a message: %w", err)
	}
	if m.at, err = time.Parse(time.RFC3339Nano, lastOf(msg.Header, jetstream.TimeStampHeaer)); err != nil {
		return nil, fmt.Errorf("time of message %d: %w", m.seq, err)
	}
	return m, nil
}
