#!/usr/bin/env bash
# Brings the real compose files up, drives them with the official client for Node, and
# breaks them under load: replicas killed and made anew, every service rolled, Postgres and
# NATS away, the database brought back from a copy. Then judges what is left. It takes some
# six minutes, beyond building the images.
#
# It takes a Docker engine that is there, or installs and starts Debian's where it may.
# Base images that no registry gives it, it puts together (test/images.sh).
set -euo pipefail
cd "$(dirname "$0")/.."

left_out() {
	echo "LEFT OUT: the containers ($*)"
	exit 0
}
say() { printf '== %s (%ss, load %s)\n' "$*" "$((SECONDS - began))" "$(cut -d' ' -f1 /proc/loadavg)"; }
fail() {
	echo "FAILED: $*" >&2
	exit 1
}
began=$SECONDS
dir=$(mktemp -d)
engine=
load=
compose=
stop() {
	local code=$?
	set +e
	[ -z "$load" ] || kill "$load" 2>/dev/null
	if [ -n "$compose" ]; then
		[ "$code" = 0 ] || $compose logs --no-color --tail 30 >&2
		$compose down --volumes --timeout 10 >/dev/null 2>&1
	fi
	[ -z "$engine" ] || kill "$engine"
	rm -rf "$dir"
	exit "$code"
}
trap stop EXIT

command -v npm >/dev/null || fail "this needs node 20 or newer with npm"
if ! timeout 10 docker info >/dev/null 2>&1; then
	[ "$(id -u)" = 0 ] || left_out "no Docker engine answers, and only root may start one"
	if ! command -v dockerd >/dev/null && command -v apt-get >/dev/null; then
		{ timeout 300 apt-get update -qq && DEBIAN_FRONTEND=noninteractive timeout 300 apt-get install -y -qq --no-install-recommends docker.io iptables; } >"$dir/apt.log" 2>&1 || true
	fi
	command -v dockerd >/dev/null || left_out "no Docker engine here, and none to be installed"
	dockerd >"$dir/dockerd.log" 2>&1 &
	engine=$!
	for _ in $(seq 60); do
		! timeout 3 docker info >/dev/null 2>&1 || break
		kill -0 "$engine" 2>/dev/null || break
		sleep 0.5
	done
	timeout 10 docker info >/dev/null 2>&1 || { tail -3 "$dir/dockerd.log"; left_out "the Docker engine does not start"; }
fi
program='docker compose'
if ! docker compose version >/dev/null 2>&1; then
	make --no-print-directory compose-plugin >/dev/null
	program=$(ls "$PWD"/.cache/tools/docker-compose-v*)
fi
say "engine $(docker version -f '{{.Server.Version}}'), $($program version --short | sed 's/^/compose /') as $program"

for base in golang:1.26=golang node:20=node postgres:15=postgres nats:2.15-alpine=nats haproxy:2.6-alpine=haproxy; do
	image=${base%=*}
	docker image inspect "$image" >/dev/null 2>&1 || timeout 60 docker pull -q "$image" >/dev/null 2>&1 || test/images.sh "${base#*=}"
done

port() { node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close() })'; }
LOOM_PORT=$(port) LOOM_DASHBOARD_PORT=$(port) LOOM_SECRETS=$dir/secrets LOOM_VERSION=e2e
export LOOM_PORT LOOM_DASHBOARD_PORT LOOM_SECRETS LOOM_VERSION
mkdir "$LOOM_SECRETS"
compose="$program -p loom-e2e -f $PWD/deploy/compose/compose.yaml"
export COMPOSE=$compose
# Compose brings BuildKit's client along; buildx is for machines that have it.
docker buildx version >/dev/null 2>&1 || export DOCKER_BUILDKIT=1 COMPOSE_BAKE=false
$compose build >"$dir/build.log" 2>&1 || { tail -30 "$dir/build.log" >&2; fail "the images cannot be built"; }
say "images are built"
for image in gateway recorder analytics dashboard loom; do
	size=$(docker image inspect -f '{{.Size}}' "loom/$image:e2e")
	printf '   %-10s %5.1f MB\n' "$image" "$(awk "BEGIN {print $size / 1e6}")"
	[ "$size" -le 40000000 ] || fail "the image of $image is larger than 40 MB"
done

# An empty password would let everybody into NATS.
mkdir -p "$dir/bad/nats"
: >"$dir/bad/nats/gateway"
! LOOM_SECRETS=$dir/bad $compose up -d >"$dir/up.log" 2>&1 || fail "it starts with an empty password"
grep -q '^secrets: nats/gateway is empty' <<<"$($compose logs --no-log-prefix secrets)" || fail "nobody says that a password is empty"
$compose down --volumes >/dev/null 2>&1

from=$SECONDS
$compose up -d >"$dir/up.log" 2>&1 || { cat "$dir/up.log" >&2; fail "docker compose up"; }
for _ in $(seq 120); do
	! grep -q '^Loom is ready' <<<"$($compose logs --no-log-prefix welcome 2>/dev/null)" || break
	sleep 0.5
done
$compose logs --no-log-prefix welcome
export LOOM_BASE_URL=http://127.0.0.1:$LOOM_PORT/v1 LOOM_DASHBOARD_URL=http://127.0.0.1:$LOOM_DASHBOARD_PORT
LOOM_API_KEY=$(cat "$LOOM_SECRETS/operator/demo_key")
export LOOM_API_KEY
say "up in $((SECONDS - from)) s"

npm --prefix test/e2e ci --no-audit --no-fund --loglevel=error
npm --prefix test/e2e test --silent || fail "the official client"
say "first completions, their traces seen $((SECONDS - from)) s after up"

replicas() { $compose ps -q "$1"; }
healthy() { # SERVICE COUNT
	local deadline=$((SECONDS + 90)) ready container
	while :; do
		ready=0
		for container in $(replicas "$1"); do
			[ "$(docker inspect -f '{{.State.Health.Status}}' "$container" 2>/dev/null)" != healthy ] || ready=$((ready + 1))
		done
		[ "$ready" -lt "$2" ] || return 0
		[ "$SECONDS" -lt "$deadline" ] || fail "$ready of $2 $1 are ready"
		sleep 0.5
	done
}
# What a replica has served, by its own count.
served() {
	local address
	address=$(docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$1")
	curl -sf "http://$address:9100/metrics" | awk '/^loom_gateway_requests_total/ {n += $NF} END {print n + 0}'
}
# Kills the process of a container as a fault would: `docker kill` counts as wanted.
kill9() {
	local victims pid
	mapfile -t victims <<<"$(replicas "$1")"
	pid=$(docker inspect -f '{{.State.Pid}}' "${victims[0]}")
	[ "$pid" -gt 1 ] || fail "no $1 runs" # 0 would be this script and all it has started
	kill -9 "$pid"
}

$compose up -d --no-deps --no-recreate --scale gateway=3 gateway >/dev/null 2>&1
healthy gateway 3
sleep 3 # the balancer looks every second
node test/e2e/load.mjs "$dir/answered" 6 >"$dir/load" &
load=$!
sleep 8
for container in $(replicas gateway); do
	n=$(served "$container")
	echo "   gateway $(docker inspect -f '{{.Name}}' "$container"): $n requests"
	[ "$n" -gt 0 ] || fail "a replica gets no requests"
done
say "three gateways share the load"

for service in gateway recorder analytics dashboard gateway; do
	kill9 "$service"
	sleep 3
done
docker rm -f "$(replicas gateway | tail -1)" >/dev/null
$compose up -d --no-deps --no-recreate --scale gateway=3 gateway >/dev/null 2>&1
for service in gateway=3 recorder=1 analytics=1 dashboard=1; do healthy "${service%=*}" "${service#*=}"; done
sleep 3
say "five processes killed, a gateway made anew"

# Nobody may notice a rolling restart: other files for what is answered from here on.
halt_load() {
	kill -TERM "$load" && wait "$load" || fail "the load: $(cat "$dir/load")"
	load=
	echo "   $(tail -1 "$dir/load")"
}
halt_load
node test/e2e/load.mjs "$dir/answered" 4 >"$dir/load" &
load=$!
deploy/compose/roll.sh gateway dashboard recorder analytics
halt_load
grep -q '"failed":0' "$dir/load" || fail "requests failed while services were rolled"
say "every service rolled, no request lost"

node test/e2e/load.mjs "$dir/answered" 4 >"$dir/load" &
load=$!
sleep 2
for engine_away in postgres nats; do
	$compose stop $engine_away >/dev/null 2>&1
	sleep 8
	$compose start $engine_away >/dev/null 2>&1
	healthy $engine_away 1
done
sleep 3
deploy/compose/backup.sh save "$dir/loom.dump"
sleep 3
halt_load
grep -q '"failed":0' "$dir/load" || fail "requests failed while Postgres and NATS were away"
say "Postgres and NATS were away, no request lost"

# Every answer has one trace, and the ledger has what they come to. The demo model costs
# $0.15 and $0.60 a million tokens, in picodollars 150,000 and 600,000 a token.
judge() {
	local deadline=$((SECONDS + 150)) verdict
	while :; do
		verdict=$($compose run --rm -T loom verify 2>"$dir/verify.err") || { echo "$verdict"; cat "$dir/verify.err"; fail "loom verify: exit $?"; }
		! grep -q '^Complete' <<<"$verdict" || break
		[ "$SECONDS" -lt "$deadline" ] || { echo "$verdict"; fail "not everything has arrived"; }
		sleep 3
	done
	awk '{print $1}' "$dir/answered" | sort -u >"$dir/ids"
	{
		echo 'CREATE TEMP TABLE answered (trace_id uuid PRIMARY KEY, tokens_in bigint, tokens_out bigint); COPY answered FROM STDIN (DELIMITER '"' '"');'
		cat "$dir/answered"
		echo '\.'
		echo "SELECT (SELECT count(*) FROM answered), (SELECT count(*) FROM traces JOIN answered USING (trace_id)),
			(SELECT count(*) FROM usage_facts JOIN answered USING (trace_id)),
			(SELECT sum(cost) FROM usage_facts JOIN answered USING (trace_id)) = (SELECT sum(tokens_in * 150000 + tokens_out * 600000) FROM answered);"
	} | $compose exec -T postgres psql -qAtX -v ON_ERROR_STOP=1 -F ' ' -U loom -d loom >"$dir/judged"
	read -r answered traces facts exact <"$dir/judged"
	echo "   answered $answered, traces $traces, facts $facts, costs exact: $exact"
	[ "$answered" -gt 0 ] && [ "$answered" = "$traces" ] && [ "$answered" = "$facts" ] && [ "$exact" = t ] || fail "what was answered is not what was recorded"
}
judge
say "one trace for each answer, costs exact"

deploy/compose/backup.sh restore "$dir/loom.dump" >"$dir/restore.log" 2>&1 || { cat "$dir/restore.log"; fail "the copy cannot be brought back"; }
for service in gateway=3 recorder=1 analytics=1 dashboard=1; do healthy "${service%=*}" "${service#*=}"; done
sleep 3
npm --prefix test/e2e test --silent || fail "the official client, after the copy was brought back"
judge
say "the database brought back from a copy, what came after it from the stream"

# A port that someone has is named, and what runs goes on.
$compose rm -sf lb >/dev/null 2>&1
node -e 'require("net").createServer().listen(process.env.LOOM_PORT, "127.0.0.1")' &
load=$!
sleep 1
! $compose up -d --no-deps lb >"$dir/up.log" 2>&1 || fail "it starts on a port that is taken"
grep -q "$LOOM_PORT.*already" "$dir/up.log" || { cat "$dir/up.log"; fail "nobody names the port that is taken"; }
kill "$load"
load=
$compose up -d --no-deps lb >/dev/null 2>&1 && healthy lb 1
say "an empty password and a port that is taken are refused by name"
