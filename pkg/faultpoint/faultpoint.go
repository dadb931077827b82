// Package faultpoint marks the places where the death of a process is hardest to
// survive, so that a test can have it die there.
//
// In a build without the tag faultpoints a point is nothing: no call, no string. With
// the tag, a process dies by SIGKILL where its environment says:
//
//	LOOM_FAULTPOINTS       points with the probability of dying at each hit: spool.after_write=0.01,recorder.committed=0.02
//	LOOM_FAULTPOINT_SEED   a number; the same one throws the same dice
//	LOOM_FAULTPOINT_LOG    file to which the point's name is appended, as a line, before the process dies
package faultpoint

import "slices"

// names of all points, each after the part it is in.
var names = []string{
	"spool.after_state",  // the epoch of this life is stored, nothing of it is written
	"spool.after_write",  // records are in the file, not yet synced nor answered
	"spool.after_sync",   // records are durable, not yet answered (durability power)
	"spool.after_carry",  // open begins are copied, their old segment is still there
	"spool.after_remove", // a segment is removed

	"gateway.begun",        // the beginning is kept, the provider is not called
	"gateway.ended",        // the trace is kept, the answer's last bytes are not released
	"gateway.body_put",     // a body is in the object store, its event is not sent
	"gateway.published",    // events are sent, their acknowledgement is not read
	"gateway.acknowledged", // the broker has events, nothing took note of it
	"gateway.confirmed",    // Postgres has events, the spool has not let go of them

	"recorder.received",  // a batch is in hand, not committed
	"recorder.committed", // a batch is committed, not acknowledged
	"recorder.acked",     // a batch is acknowledged
	"recorder.marking",   // a watermark is known, not put on the bus
	"recorder.marked",    // a watermark is put

	"analytics.received",       // as of the recorder
	"analytics.facts_inserted", // in the transaction, between the ledger and its sums
	"analytics.committed",
	"analytics.acked",
	"analytics.marking",
	"analytics.marked",
}

// Names lists all points, as part.name.
func Names() []string { return slices.Clone(names) }
