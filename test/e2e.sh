#!/usr/bin/env bash
# Starts bin/loom on free ports with a directory of its own, drives it with the official
# OpenAI client for Node and the dashboard's pages with a real browser, and stops it.
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

npm --prefix test/e2e ci --no-audit --no-fund --loglevel=error
npm --prefix test/e2e test --silent || { cat "$dir/log"; exit 1; }

if chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome); then
	LOOM_CHROMIUM=$chromium npm --prefix services/dashboard/web/app run e2e --silent || { cat "$dir/log"; exit 1; }
elif [ -n "${LOOM_REQUIRE_UI:-}" ]; then
	echo "no Chromium here: the dashboard's pages cannot be driven" >&2
	exit 1
else
	echo "LEFT OUT: the dashboard's pages (no Chromium on this machine)"
fi
