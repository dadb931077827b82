// Package envelope seals bodies and secrets so that only a holder of the master key
// can read them.
//
//	master key v ─HKDF(purpose, owner)─▶ wrapping key ─AES-256-GCM─▶ wrapped data key, pepper, credential
//	data key (tenant, epoch), random ─HKDF(trace)─▶ trace key ─AES-256-GCM─▶ request body, response body
//
// Wrapping keys are derived: the same master key and owner always give the same one.
// Data keys are random, and exist only wrapped outside of a process: when all copies
// of one are gone, so is what it sealed. Every field that enters a derivation or the
// associated data is length-prefixed.
//
// The gateway and the dashboard use it. Nothing between them can: the recorder,
// analytics, the broker and Postgres carry what is sealed as bytes.
package envelope
