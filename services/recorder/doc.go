// Package recorder is the service that keeps every trace: it takes events off the
// bus and commits them to Postgres. It holds no key: bodies pass through sealed.
//
//	LOOM_BODIES ── bodies too large for an event, by their digests ───────────────┐
//	LOOM_TRACE ──durable "recorder"──▶ batch ≤ 200 or 50 ms ──Decode, bounds──▶ one transaction ──▶ ack
//	                                                                             ├ traces        (by day of started_at)
//	                                                                             ├ trace_bodies  (sealed, as they came)
//	                                                                             └ dead_events   (what cannot be taken, and why)
//
// An event may come again, to this process or another: a trace that is there stays as
// it is. While Postgres or LOOM_BODIES is away the batch is kept. A batch with many large
// bodies is stored in several transactions. Any number of recorders may share the durable.
package recorder
