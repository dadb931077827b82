// Package simulation holds no code but a test: the whole way of a trace, from a request to
// the rows of both consumers, in one process and in a time that is made up, while
// everything on the way fails.
//
//	clients ──▶ record ──▶ spool ──▶ publish ──▶ [broker] ──▶ bus.Projection ──▶ [store]
//	                        [disk]                  ▲  └──────── bus.Board ◀────────┘
//
// There are one or two gateways, on spools in one place. They come and go, one of them for
// good at times, and adopt what is left.
//
// What is in brackets is simulated, once for each schedule; the rest is what runs in
// production. A schedule is a number: the same one makes the same things fail at the
// same time.
package simulation
