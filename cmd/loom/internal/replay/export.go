package replay

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/event"
)

// Line is one line of an export.
type Line struct {
	Seq     uint64    `json:"seq"`  // in the stream
	Time    time.Time `json:"time"` // when the stream got it
	Subject string    `json:"subject"`

	Event json.RawMessage `json:"event,omitempty"` // protobuf's JSON of the trace event; bodies stay sealed
	Error string          `json:"error,omitempty"` // why it cannot be read
	Data  []byte          `json:"data,omitempty"`  // then: as it came
}

// ExportReport is the outcome of Export.
type ExportReport struct {
	Read       int64  `json:"read"`
	Written    int64  `json:"written"`
	LostBodies int64  `json:"lost_bodies"` // of those written: events with a large body that is no longer in the object store
	Unread     int64  `json:"unreadable"`  // of those written: events that do not decode
	LastSeq    uint64 `json:"last_seq"`
	TookMs     int64  `json:"took_ms"`
}

// Export writes the events in scope that the stream holds now to w, one JSON object a line.
func Export(ctx context.Context, cfg Config, scope Scope, w io.Writer) (report ExportReport, err error) {
	began := time.Now()
	src, err := openSource(ctx, cfg.JS, SlotExport, cfg.Log)
	if err != nil {
		return report, err
	}
	bodies, err := bus.NewBodies(cfg.JS.Conn())
	if err != nil {
		return report, err
	}
	info, err := src.info(ctx)
	if err != nil {
		return report, err
	}
	st := &state{Phase: "export", Target: info.State.LastSeq, Applied: max(info.State.FirstSeq, 1) - 1}
	show := newProgress(cfg, st)
	defer show.end()
	reading, stop := context.WithCancel(ctx)
	wait := src.start(reading, st.Applied)
	defer func() { stop(); wait() }()

	out := bufio.NewWriterSize(w, 1<<20)
	idle := time.NewTicker(200 * time.Millisecond)
	defer idle.Stop()
	for st.Applied < st.Target {
		select {
		case <-ctx.Done():
			return report, context.Cause(ctx)
		case err := <-src.errs:
			return report, err
		case m := <-src.out:
			if m.seq <= st.Target {
				if err := report.write(ctx, out, bodies, scope, m); err != nil {
					return report, err
				}
			}
			st.Applied = m.seq
			show.at(st)
			idle.Reset(200 * time.Millisecond)
		case <-idle.C:
			drained, err := src.drained(ctx, st.Applied)
			if err != nil {
				return report, err
			}
			if drained {
				st.Applied = st.Target
			}
		}
	}
	report.LastSeq, report.TookMs = st.Target, time.Since(began).Milliseconds()
	return report, out.Flush()
}

// write writes one message, if it is in scope.
func (p *ExportReport) write(ctx context.Context, w io.Writer, bodies *bus.Bodies, scope Scope, m message) error {
	p.Read++
	line := Line{Seq: m.seq, Time: m.at.UTC(), Subject: m.subject}
	e, err := event.Decode(m.subject, m.data)
	if err != nil {
		// Its day is not known; its tenant is, as far as its subject says.
		tenant, _, _ := event.ParseSubject(m.subject)
		if !scope.From.IsZero() || !scope.To.IsZero() || scope.Tenant != "" && tenant != scope.Tenant {
			return nil
		}
		p.Unread++
		line.Error, line.Data = err.Error(), m.data
	} else {
		if !scope.Holds(e.GetTenantId(), e.StartedAt()) {
			return nil
		}
		if err := attach(ctx, bodies, e); errors.Is(err, bus.ErrNoBody) {
			p.LostBodies++
		} else if err != nil {
			return fmt.Errorf("event %d: %w", m.seq, err)
		}
		if line.Event, err = protojson.Marshal(e); err != nil {
			return fmt.Errorf("event %d: %w", m.seq, err)
		}
	}
	data, err := json.Marshal(line)
	if err != nil {
		return fmt.Errorf("event %d: %w", m.seq, err)
	}
	p.Written++
	_, err = w.Write(append(data, '\n'))
	return err
}
