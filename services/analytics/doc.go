// Package analytics is the service that knows what was used and what it cost. It
// holds no key and reads no body.
//
//	LOOM_TRACE ──durable "analytics"──▶ batch ──Decode, bounds──▶ price ──▶ one transaction ──▶ ack
//	                                                               ▲         ├ usage_facts  the ledger: one row a trace, once
//	                                     prices + built-in book ───┘         ├ rollups      sums of the rows that were new,
//	                                                                         │              by minute, hour and day
//	                                                                         ├ tag_rollups  those with a tag, by hour and day
//	                                                                         └ dead_events
//
// Only what the ledger did not have yet is added to the sums, in the transaction that
// adds it to the ledger: however often and in whatever order events come, to however
// many processes, a trace counts once. Reconcile computes the sums from the ledger
// again and lists where they differ.
//
// Cost is exact, in picodollars. A usage that has no price or cannot be read leaves
// the trace unpriced, with the reason; it never costs 0 for want of knowing.
package analytics
