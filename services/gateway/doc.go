// Package gateway is the service that applications talk to instead of a provider. It
// speaks OpenAI's API, holds no database connection, and records every completion.
//
//	client ──▶ routes ──▶ proxy ──────────────▶ provider ──▶ upstream
//	             │          │ ◀── relay, bytes as they come ──┘
//	             │          ├─ tee ─▶ capture.Stream ─▶ seal ─▶ trace event
//	             │          └─ Recorder: Begin before the call, End before the last byte
//	             │                          │
//	             │                          ▼
//	             │                       publish ──▶ JetStream LOOM_TRACE ──▶ recorder, analytics
//	             └─▶ directory ◀── watch ── KV LOOM_CONFIG: keys, tenants, catalogue
//
// Folders: internal/directory (who and where), internal/proxy (the path of a request),
// internal/openai, anthropic, form and sse (the wire), internal/provider (who answers), internal/publish (where
// traces wait for the broker), internal/pool (which spool is whose).
package gateway
