#!/usr/bin/env bash
# The integration tests of the packages named, with Postgres and NATS in containers instead
# of local binaries and a server in the process. Nothing may be left of them on the engine.
#
# It takes a Docker engine that is there, or installs and starts Debian's where it may.
# Images that no registry gives it, it puts together (test/images.sh).
set -euo pipefail
cd "$(dirname "$0")/.."
source test/engine.sh

dir=$(mktemp -d)
left() { docker ps -aq --filter label=loom.testkit; }
stop() {
	local code=$?
	set +e
	[ "$code" = 0 ] || sleep 2 # what the engine was asked for when tests were broken off
	[ -z "$(left 2>/dev/null)" ] || { left | xargs docker rm -fv >/dev/null && echo "test containers were left, and are removed" >&2 && code=1; }
	engine_down
	rm -rf "$dir"
	exit "$code"
}
left_out() {
	echo "LEFT OUT: tests with engines in containers ($engine_lacks)"
	exit 0
}
trap stop EXIT
engine_up "$dir" || left_out
base_images "$dir" postgres nats || left_out

export LOOM_TEST_ENGINES=containers
test/engines.sh
go test -count=1 -timeout 10m "$@"
