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
	[ -z "$(left)" ] || { left | xargs docker rm -fv >/dev/null && echo "test containers were left, and are removed" >&2 && code=1; }
	engine_down
	rm -rf "$dir"
	exit "$code"
}
engine_up "$dir" || { echo "LEFT OUT: tests with engines in containers ($engine_lacks)"; rm -rf "$dir"; exit 0; }
trap stop EXIT

for base in postgres:15=postgres nats:2.15-alpine=nats; do
	image=${base%=*}
	docker image inspect "$image" >/dev/null 2>&1 || timeout 60 docker pull -q "$image" >/dev/null 2>&1 || test/images.sh "${base#*=}"
done

export LOOM_TEST_ENGINES=containers
test/engines.sh
go test -count=1 -timeout 10m "$@"
