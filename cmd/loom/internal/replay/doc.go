// Package replay builds the projections anew from the stream, beside the live ones and
// under live traffic, compares the two and puts the new ones in their place.
//
//	LOOM_TRACE ──slot "replay"──▶ Decode, Check ──▶ recorder's Apply ──▶ loom_replay.traces, trace_bodies
//	                                          └──▶ analytics' Fill ───▶ loom_replay.usage_facts ──Sum──▶ rollups, tag_rollups
//	live tables ──── what the stream no longer holds, what is out of scope ──▶ ┘
//
// The floor is the place in the stream up to which both live consumers had settled all
// events when the run began: what they made of those is in the live tables. Of the events
// up to the floor those in scope are applied, of those after it all: what is in the live
// tables at the swap is then in the shadow too, from the stream or carried over.
//
// A run is a row in the schema of its shadow tables. It goes on where it was after any
// end of its process, since applying an event twice changes nothing:
//
//	apply ──up to the end of the stream, compare──▶ carry ──▶ sum ──▶ tail ──▶ swap
//	                                                  ▲                 │
//	                                                  └── the stream let go of what was not read
package replay
