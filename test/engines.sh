#!/usr/bin/env bash
# Says which Postgres and which NATS the tests run on; of packages that pass, go test shows
# no output.
set -euo pipefail
cd "$(dirname "$0")/.."
code=0
said=$(go test -count=1 -v -run '^TestEngines$' ./pkg/testkit 2>&1) || code=$?
if [ "$code" = 0 ]; then grep '^testkit: ' <<<"$said"; else echo "$said"; fi
exit "$code"
