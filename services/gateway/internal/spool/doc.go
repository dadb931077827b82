// Package spool keeps every trace on disk until Postgres has it. It is a segmented
// append-only log with one owner.
//
//	Begin ─┐                                      ┌─▶ Next ──▶ publisher
//	End   ─┴▶ queue ─▶ Run: one write(2) a group ─┤
//	                   (power: and one fdatasync) └─◀ Confirm: whole segments go
//
// A request is begun before its provider is called and ended before the last byte of
// its answer is released. What was begun and never ended, because the process died,
// is ended as interrupted by the next one. Payloads are opaque: the caller seals them.
//
// # Order
//
// Each Open is a new epoch, larger than all before it in the directory, and than those of
// a directory that this one was copied from. Each end gets
// the next sequence number of the epoch, from 1 and without gaps, stored in its record.
// Next delivers by epoch, then by sequence number. A number whose record was damaged
// on disk is delivered as Lost, so that whoever counts can go on.
//
// # Files
//
//	lock             flock of the owner; its process id
//	state            format version, producer id, epoch of the last Open
//	0000000001.seg   segment: header, then records; one epoch each; numbers grow
//	quarantine/      bytes that were no intact record, beside a .txt with the reason
//
// A segment is removed when all its ends are confirmed, the oldest first. An open begin
// in it is first written again into the current segment, so that one long stream does
// not keep the rest; unless open begins are most of the segment: then it waits for them.
package spool
