// Package seed fills a Loom with the traffic of package traffic: through its broker, as
// a gateway would, or straight into its tables where there is to be very much of it.
//
//	traffic ──seal──▶ LOOM_TRACE, LOOM_BODIES ──▶ recorder, analytics ──▶ Postgres
//	traffic ──COPY──▶ traces, usage_facts, rollups, tag_rollups
package seed
