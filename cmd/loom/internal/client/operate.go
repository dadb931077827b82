package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// States of a Report and its parts.
const (
	Complete = "complete"
	Pending  = "pending" // nothing is missing for all that is known, but something is on its way
	Missing  = "missing" // something is not there, or differs
)

// Report is the outcome of Verify.
type Report struct {
	At        time.Time  `json:"at"`
	State     string     `json:"state"` // the worst of all parts
	Consumers []Consumer `json:"consumers"`
	Producers []Producer `json:"producers"` // those that lack some first
	Days      []Day      `json:"days"`      // the latest first
	Dead      int64      `json:"dead"`      // events set aside
	Findings  []Finding  `json:"findings"`  // what is wrong, or waits in a spool
}

// Consumer is how far a projection has come on the stream.
type Consumer struct {
	Name      string    `json:"name"`
	Unsettled uint64    `json:"unsettled"` // events it has not stored yet
	Settled   time.Time `json:"settled"`   // everything put on the stream before is stored
}

// Producer is one life of a gateway.
type Producer struct {
	ID        string    `json:"producer_id"`
	Epoch     int64     `json:"epoch"`
	Sent      int64     `json:"sent"`      // numbers it has given
	Recorded  int64     `json:"recorded"`  // numbers in Postgres
	Highest   int64     `json:"highest"`   // of them
	Watermark int64     `json:"watermark"` // none is missing up to here
	Missing   int64     `json:"missing"`   // of those sent
	Held      int64     `json:"held"`      // of those missing, at most so many were in its spool
	UpdatedAt time.Time `json:"updated_at"`
	State     string    `json:"state"`
	Gaps      []Gap     `json:"gaps"` // the first 20

	Acknowledged int64 `json:"acknowledged"` // will never come, as somebody has said
}

// Gap is a run of numbers that have not come, both ends included.
type Gap struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// Day is what was compared of one UTC day.
type Day struct {
	Day           string       `json:"day"`
	Dropped       bool         `json:"dropped"` // retention has dropped its traces
	Traces        int64        `json:"traces"`
	Facts         int64        `json:"facts"`
	MissingFacts  int64        `json:"missing_facts"`
	MissingTraces int64        `json:"missing_traces"`
	Pending       int64        `json:"pending"`
	Rollups       int64        `json:"rollups"`
	WrongRollups  int64        `json:"wrong_rollups"`
	State         string       `json:"state"`
	Differences   []Difference `json:"differences"` // the first 10 of the wrong rollups
}

// Difference is a rollup that is not what the ledger comes to; nil where there is no
// such row.
type Difference struct {
	TenantID       string    `json:"tenant_id"`
	Grain          string    `json:"grain"`
	Bucket         time.Time `json:"bucket"`
	Tag            *string   `json:"tag"` // nil in a sum of all requests
	Value          *string   `json:"value"`
	KeyID          string    `json:"key_id"`
	Provider       string    `json:"provider"`
	Model          string    `json:"model"`
	Route          string    `json:"route"`
	Outcome        string    `json:"outcome"`
	LedgerRequests *int64    `json:"ledger_requests"`
	RollupRequests *int64    `json:"rollup_requests"`
	LedgerCost     *string   `json:"ledger_cost"` // picodollars
	RollupCost     *string   `json:"rollup_cost"`
}

// Finding is something that is missing, differs or lies in a spool, and what to do about it.
type Finding struct {
	Check   string `json:"check"`
	Message string `json:"message"`
	Advice  string `json:"advice"`
}

// Verify checks that nothing is missing in the last days, today included.
func (c *Client) Verify(ctx context.Context, days int) (Report, error) {
	var out Report
	err := c.patient().call(ctx, http.MethodGet, "/api/v1/admin/verify?days="+strconv.Itoa(days), nil, &out)
	return out, err
}

// DeadEvent is an event that a consumer set aside.
type DeadEvent struct {
	ID        int64     `json:"id"`
	Consumer  string    `json:"consumer"`
	StreamSeq int64     `json:"stream_seq"`
	Subject   string    `json:"subject"`
	MsgID     string    `json:"msg_id"`
	Reason    string    `json:"reason"`
	DiedAt    time.Time `json:"died_at"`
	Size      int64     `json:"size"`     // bytes of its data
	Producer  *Place    `json:"producer"` // nil where it is not known
}

// Place is where an event stands in its gateway's sequence.
type Place struct {
	ID    string `json:"id"`
	Epoch int64  `json:"epoch"`
	Seq   int64  `json:"seq"`
}

// FullDeadEvent is an event with its data: protobuf, its bodies sealed.
type FullDeadEvent struct {
	DeadEvent
	Data []byte `json:"data"`
}

// DeadEvents lists the latest events of a consumer, of any if it is empty: at most
// limit of them, all if that is 0.
func (c *Client) DeadEvents(ctx context.Context, consumer string, limit int) ([]DeadEvent, error) {
	all := []DeadEvent{}
	for cursor := ""; ; {
		var page struct {
			Items      []DeadEvent `json:"items"`
			NextCursor string      `json:"next_cursor"`
		}
		query := url.Values{"limit": {strconv.Itoa(deadPage)}}
		if limit > 0 {
			query.Set("limit", strconv.Itoa(min(deadPage, limit-len(all))))
		}
		if consumer != "" {
			query.Set("consumer", consumer)
		}
		if cursor != "" {
			query.Set("cursor", cursor)
		}
		if err := c.call(ctx, http.MethodGet, "/api/v1/admin/dead?"+query.Encode(), nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Items...)
		if cursor = page.NextCursor; cursor == "" || limit > 0 && len(all) >= limit {
			return all, nil
		}
	}
}

// DeadEvent reads one event with its data.
func (c *Client) DeadEvent(ctx context.Context, id int64) (FullDeadEvent, error) {
	var out FullDeadEvent
	err := c.call(ctx, http.MethodGet, "/api/v1/admin/dead/"+strconv.FormatInt(id, 10), nil, &out)
	return out, err
}

// Retried is an event that is on the stream again.
type Retried struct {
	ID        int64  `json:"id"` // that it had among the dead
	StreamSeq uint64 `json:"stream_seq"`
	MsgID     string `json:"msg_id"`
}

// RetryDead sends an event again. One that still cannot be stored gets a new id.
func (c *Client) RetryDead(ctx context.Context, id int64) (Retried, error) {
	var out Retried
	err := c.call(ctx, http.MethodPost, "/api/v1/admin/dead/"+strconv.FormatInt(id, 10)+"/retry", nil, &out)
	return out, err
}

// DiscardDead lets go of an event for good.
func (c *Client) DiscardDead(ctx context.Context, id int64) error {
	return c.call(ctx, http.MethodDelete, "/api/v1/admin/dead/"+strconv.FormatInt(id, 10), nil, nil)
}

// AcknowledgeGap says that those of a gateway's numbers that are missing will never come,
// and why. It returns how many those are.
func (c *Client) AcknowledgeGap(ctx context.Context, producer string, epoch, from, to int64, reason string) (numbers int64, err error) {
	var out struct {
		Numbers int64 `json:"numbers"`
	}
	in := map[string]any{"producer_id": producer, "epoch": epoch, "from": from, "to": to, "reason": reason}
	err = c.call(ctx, http.MethodPost, "/api/v1/admin/gaps", in, &out)
	return out.Numbers, err
}
