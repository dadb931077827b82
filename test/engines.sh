#!/usr/bin/env bash
# Says which Postgres and which NATS the tests run on; of packages that pass, go test shows
# no output.
set -euo pipefail
cd "$(dirname "$0")/.."
go test -count=1 -v -run '^TestEngines$' ./pkg/testkit >"${log:=$(mktemp)}" 2>&1 && code=0 || code=$?
grep '^testkit: ' "$log" || true
[ "$code" = 0 ] || cat "$log"
rm "$log"
exit "$code"
