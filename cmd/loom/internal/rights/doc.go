// Package rights holds the tests of deploy/nats/permissions.conf, on a broker that is
// started from that very file: what each user of it may do, and that nobody may do more.
package rights
