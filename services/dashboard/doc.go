// Package dashboard is Loom's read API, admin API and web UI.
//
//	browser, loom CLI ──HTTP──▶ httpapi ──┬─ traces, stats ──▶ Postgres as loom_dashboard, row-level security by tenant
//	                                      ├─ tail ───────────▶ the same, once a second while somebody watches
//	                                      ├─ playground ─────▶ a gateway
//	                                      ├─ auth, admin ────▶ Postgres as loom_admin
//	                                      └─ web (UI)               │
//	gateways ◀── NATS KV LOOM_CONFIG ◀── push ◀─────────────────────┘ at once, and every 5 s
//
// Reads run in transactions of one tenant. Bodies are decrypted only after the view is
// in the access log. Providers' secrets are sealed on the way in and never come out.
package dashboard
