#!/usr/bin/env bash
# Starts bin/loom on free ports with a directory of its own, drives it, and stops it:
#
#     e2e.sh sdk        with the official OpenAI client for Node
#     e2e.sh ui         the dashboard's pages with a real browser
#     e2e.sh pictures   the same, for the pictures of docs/dashboard.md
set -euo pipefail
cd "$(dirname "$0")/.."

command -v npm >/dev/null || { echo "the end-to-end run needs node 20 or newer with npm" >&2; exit 1; }
dir=$(mktemp -d)
chmod 711 "$dir"
loom=
stop() {
	[ -z "$loom" ] || { kill -INT "$loom" 2>/dev/null && wait "$loom"; } || true
	rm -rf "$dir"
}
trap stop EXIT

port() { node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close() })'; }
bin/loom up --data-dir "$dir/data" --gateway-addr "127.0.0.1:$(port)" --dashboard-addr "127.0.0.1:$(port)" >"$dir/log" 2>&1 &
loom=$!
for _ in $(seq 150); do
	! grep -q "^Loom is ready" "$dir/log" || break
	kill -0 "$loom" 2>/dev/null || { cat "$dir/log"; exit 1; }
	sleep 0.2
done
set -a
# shellcheck disable=SC1091
. "$dir/data/dev.env"
set +a

sdk() {
	npm --prefix test/e2e ci --no-audit --no-fund --loglevel=error
	npm --prefix test/e2e test --silent
}

# The pages, with a month of traffic of several tenants.
ui() {
	local chromium
	if ! chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome); then
		[ -z "${LOOM_REQUIRE_UI:-}" ] || { echo "no Chromium here: the dashboard's pages cannot be driven" >&2; return 1; }
		echo "LEFT OUT: the dashboard's pages (no Chromium on this machine)"
		return 0
	fi
	bin/seed -data "$dir/data"
	LOOM_CHROMIUM=$chromium LOOM_API_KEY=$(login northwind) LOOM_OTHER_KEY=$(login acme) \
		npm --prefix services/dashboard/web/app run e2e --silent
}
pictures() {
	bin/seed -data "$dir/data" -n 60000 -days 10
	LOOM_SCREENSHOTS=$PWD/docs/pictures LOOM_API_KEY=$(login northwind) node services/dashboard/web/e2e/pictures.mjs
}
login() { sed -n "s/^$1=//p" "$dir/data/seed.env"; }

for part; do
	"$part" || { cat "$dir/log"; exit 1; }
done
