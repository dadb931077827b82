#!/usr/bin/env bash
# Brings the real compose files up, drives them with the official client for Node, breaks
# them under load and judges what is left.
#
#     e2e-compose.sh           replicas killed and made anew, every service rolled, Postgres and
#                              NATS away, the database brought back from a copy: four minutes
#     e2e-compose.sh long      three gateways; for minutes kill -9 of every process at random,
#                              gateways that go for good, Postgres and NATS away for a minute
#                              each, then all of it restarted in turn
#     e2e-compose.sh cluster   three NATS servers; the leader of the traces' stream killed ten times
#
# A request may fail only if a gateway had it in hand when that was killed, or while the
# balancer, of which there is one, is away. SEED draws the same kills again.
#
# It takes a Docker engine that is there, or installs and starts Debian's where it may.
# Base images that no registry gives it, it puts together (test/images.sh).
set -euo pipefail
cd "$(dirname "$0")/.."
source test/engine.sh

mode=${1:-quick}
seed=${SEED:-$RANDOM}
RANDOM=$seed
began=$SECONDS
dir=$(mktemp -d)
load=
compose=
sent=0
say() { printf '== %s (%ss, load %s)\n' "$*" "$((SECONDS - began))" "$(cut -d' ' -f1 /proc/loadavg)"; }
fail() {
	echo "FAILED: $*" >&2
	exit 1
}
left_out() {
	echo "LEFT OUT: the containers ($engine_lacks)"
	exit 0
}
stop() {
	local code=$?
	set +e
	[ -z "$load" ] || kill "$load" 2>/dev/null
	if [ -n "$compose" ]; then
		[ "$code" = 0 ] || $compose logs --no-color --tail 30 >&2
		$compose down --volumes --timeout 10 >/dev/null 2>&1
	fi
	engine_down
	rm -rf "$dir"
	exit "$code"
}
trap stop EXIT

case $mode in
quick | long) files="-f $PWD/deploy/compose/compose.yaml" brokers=nats ;;
cluster) files="-f $PWD/deploy/compose/compose.yaml -f $PWD/deploy/compose/cluster.yaml" brokers='nats nats-2 nats-3' ;;
*) fail "usage: e2e-compose.sh [long|cluster]" ;;
esac
command -v npm >/dev/null || fail "this needs node 20 or newer with npm"
engine_up "$dir" || left_out
base_images "$dir" golang node postgres nats haproxy || left_out
program='docker compose'
if ! docker compose version >/dev/null 2>&1; then
	make --no-print-directory compose-plugin >/dev/null
	program=$(ls "$PWD"/.cache/tools/docker-compose-v*)
fi
say "$mode, seed $seed, engine $(docker version -f '{{.Server.Version}}'), $($program version --short | sed 's/^/compose /') as $program"

port() { node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close() })'; }
LOOM_PORT=$(port) LOOM_DASHBOARD_PORT=$(port) LOOM_SECRETS=$dir/secrets LOOM_VERSION=e2e
export LOOM_PORT LOOM_DASHBOARD_PORT LOOM_SECRETS LOOM_VERSION
mkdir "$LOOM_SECRETS"
compose="$program -p loom-e2e-$$ $files"
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
$compose up -d --wait >"$dir/up.log" 2>&1 || { cat "$dir/up.log" >&2; fail "docker compose up"; }
$compose logs --no-log-prefix welcome
export LOOM_BASE_URL=http://127.0.0.1:$LOOM_PORT/v1 LOOM_DASHBOARD_URL=http://127.0.0.1:$LOOM_DASHBOARD_PORT
LOOM_API_KEY=$(cat "$LOOM_SECRETS/operator/demo_key")
export LOOM_API_KEY
say "up in $((SECONDS - from)) s"

npm --prefix test/e2e ci --no-audit --no-fund --loglevel=error
npm --prefix test/e2e test --silent || fail "the official client"
say "first completions, their traces seen $((SECONDS - from)) s after up"

now() { date +%s%3N; }
replicas() { $compose ps -q "$1"; }
# Once a container is killed, the engine starts it again; until then it is in nobody's list.
any_of() {
	local all
	mapfile -t all < <(replicas "$1")
	[ -n "${all[*]}" ] || return 0
	echo "${all[$(($2 % ${#all[@]}))]}"
}
address() { docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$1"; }
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
all_healthy() {
	local service
	for service in postgres=1 gateway=3 recorder=1 analytics=1 dashboard=1 lb=1; do healthy "${service%=*}" "${service#*=}"; done
	for service in $brokers; do healthy "$service" 1; done
}
scale() { $compose up -d --no-deps --no-recreate --scale gateway=3 gateway >/dev/null 2>&1; }
# A metric of a container's process, all its labels in one sum.
metric() { curl -sf "http://$(address "$1"):9100/metrics" | awk -v name="$2" '$1 ~ "^" name "({|$)" {n += $NF} END {print n + 0}'; }
each_serves() {
	local container n deadline=$((SECONDS + 20))
	for container in $(replicas gateway); do
		until n=$(metric "$container" loom_gateway_requests_total) && [ "$n" -gt 0 ]; do
			[ "$SECONDS" -lt "$deadline" ] || fail "a replica gets no requests"
			sleep 0.5
		done
		echo "   gateway $(docker inspect -f '{{.Name}}' "$container"): $n requests since its start"
	done
}
# What was done from a time on until now, for which requests of then may fail.
excuse() { echo "$1 $(now) $2" >>"$dir/excuses"; }
# Kills the process of a container as a fault would: `docker kill` counts as wanted.
kill9() { # SERVICE CONTAINER
	local pid at
	pid=$(docker inspect -f '{{.State.Pid}}' "$2" 2>/dev/null || echo 0)
	[ "$pid" -gt 1 ] || return 0 # not back yet from the last time; 0 would be this script
	at=$(now)
	kill -9 "$pid"
	while kill -0 "$pid" 2>/dev/null; do sleep 0.01; done # on a busy machine it takes requests until it is gone
	kills=$((kills + 1))
	case $1 in
	gateway) excuse $at "a gateway killed" ;;
	lb)
		while case $(docker inspect -f '{{.State.Pid}}' "$2") in 0 | "$pid") ;; *) false ;; esac do sleep 0.1; done
		healthy lb 1
		excuse $at "the balancer killed"
		;;
	esac
}
removed() { # CONTAINER: a gateway goes for good
	local at
	at=$(now)
	docker rm -f "$1" >/dev/null
	excuse $at "a gateway removed"
	scale
}
start_load() { # CONCURRENCY
	load_from=$(now)
	node test/e2e/load.mjs "$dir/answered" "$1" >"$dir/load" &
	load=$!
}
halt_load() {
	kill -TERM "$load" && wait "$load" || fail "the load: $(cat "$dir/load")"
	load=
	load_to=$(now)
	echo "   $(tail -1 "$dir/load")"
	sent=$(sed 's/.*"sent":\([0-9]*\).*/\1/' "$dir/load")
	awk 'FILENAME == ARGV[1] {from[NR] = $1; to[NR] = $2; n = NR; next}
		{for (i = 1; i <= n; i++) if ($1 <= to[i] && $2 >= from[i]) next; print}' "$dir/excuses" "$dir/answered.failed" >"$dir/unexcused"
	[ ! -s "$dir/unexcused" ] || { head -20 "$dir/unexcused"; cat "$dir/excuses"; fail "$(wc -l <"$dir/unexcused") requests failed that nobody had in hand who was killed"; }
}
# p99 of the milliseconds that answers took: of those that overlap a window of $1 ms after
# a line of excuses or elections in FILE $2, and of the others.
p99() {
	awk -v after="$1" 'FILENAME == ARGV[1] {at[NR] = $1; n = NR; next}
		{hit = 0; for (i = 1; i <= n; i++) if ($4 <= at[i] + after && $5 >= at[i]) hit = 1; print hit, $5 - $4}' "$2" "$dir/answered" |
		sort -k1,1n -k2,2n | awk '{n[$1]++; took[$1, n[$1]] = $2}
		function p(g, q) {return n[g] ? took[g, int(n[g] * q) + 1] : "-"}
		END {printf "   quiet: %d answers, p50 %s ms, p99 %s ms; within the window: %d answers, p50 %s ms, p99 %s ms, longest %s ms\n", n[0], p(0, .5), p(0, .99), n[1], p(1, .5), p(1, .99), n[1] ? took[1, n[1]] : "-"}'
}

# Every answer has one trace and one fact, which costs what the client was told; what
# failed has one at most. The demo model costs $0.15 and $0.60 a million tokens, in
# picodollars 150,000 and 600,000 a token.
judge() {
	local deadline=$((SECONDS + 240)) verdict container answered traces facts wrong twice others failed
	while :; do
		verdict=$($compose run --rm -T loom verify 2>"$dir/verify.err") || { echo "$verdict"; cat "$dir/verify.err"; fail "loom verify: exit $?"; }
		! grep -q '^Complete' <<<"$verdict" || break
		[ "$SECONDS" -lt "$deadline" ] || { echo "$verdict"; fail "not everything has arrived"; }
		sleep 3
	done
	for container in $(replicas gateway); do
		for name in spool_events spools_orphaned_events spools_adopting_events; do
			# A gateway looks for what others have left from time to time.
			until [ "$(metric "$container" loom_gateway_$name)" = 0 ]; do
				[ "$SECONDS" -lt "$deadline" ] || fail "$name of a gateway is not 0"
				sleep 1
			done
		done
	done
	{
		echo 'CREATE TEMP TABLE answered (trace_id uuid PRIMARY KEY, tokens_in bigint, tokens_out bigint); COPY answered FROM STDIN (DELIMITER '"' '"');'
		cut -d' ' -f1-3 "$dir/answered"
		echo '\.'
		echo "SELECT (SELECT count(*) FROM answered), (SELECT count(*) FROM traces JOIN answered USING (trace_id)),
			(SELECT count(*) FROM usage_facts JOIN answered USING (trace_id)),
			(SELECT count(*) FROM usage_facts JOIN answered a USING (trace_id) WHERE cost IS DISTINCT FROM a.tokens_in * 150000 + a.tokens_out * 600000),
			(SELECT count(*) FROM (SELECT FROM traces GROUP BY trace_id HAVING count(*) > 1 UNION ALL SELECT FROM usage_facts GROUP BY trace_id HAVING count(*) > 1) d),
			(SELECT count(*) FROM traces WHERE started_at BETWEEN to_timestamp($load_from / 1e3) AND to_timestamp($load_to / 1e3) AND trace_id NOT IN (SELECT trace_id FROM answered));"
	} | $compose exec -T postgres psql -qAtX -v ON_ERROR_STOP=1 -F ' ' -U loom -d loom >"$dir/judged"
	read -r answered traces facts wrong twice others <"$dir/judged"
	failed=$((sent - answered))
	echo "   sent $sent, answered $answered, failed $failed; of the answered: traces $traces, facts $facts, of another cost $wrong; recorded twice $twice; traces of the failed: $others"
	[ "$answered" -gt 0 ] && [ "$answered" = "$traces" ] && [ "$answered" = "$facts" ] && [ "$wrong" = 0 ] && [ "$twice" = 0 ] && [ "$others" -le "$failed" ] ||
		fail "what was answered is not what was recorded"
}

roll() { deploy/compose/roll.sh gateway dashboard recorder analytics; }
outage() { # SERVICE SECONDS
	$compose stop "$1" >/dev/null 2>&1
	sleep "$2"
	$compose start "$1" >/dev/null 2>&1
	healthy "$1" 1
}

quick() {
	local service
	for service in gateway recorder analytics dashboard gateway; do
		kill9 $service "$(any_of $service 0)"
		sleep 3
	done
	removed "$(replicas gateway | tail -1)"
	all_healthy
	say "$kills processes killed, a gateway made anew"
	roll
	say "every service rolled"
	for service in postgres nats; do outage $service 8; done
	sleep 3
	deploy/compose/backup.sh save "$dir/loom.dump"
	sleep 3
	halt_load
	say "Postgres and NATS were away, the load has ended"
	judge
	say "one trace for each answer, costs exact"

	deploy/compose/backup.sh restore "$dir/loom.dump" >"$dir/restore.log" 2>&1 || { cat "$dir/restore.log"; fail "the copy cannot be brought back"; }
	all_healthy
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
}

long() {
	local service round n at until=$((SECONDS + 150))
	for ((round = 1; SECONDS < until; round++)); do
		for service in gateway recorder postgres gateway analytics lb gateway nats dashboard gone; do
			n=$RANDOM
			case $service in
			gone) removed "$(any_of gateway $n)" ;;
			nats) # a gateway asks it for a key that it has not seen since its start
				all_healthy
				each_serves >/dev/null
				kill9 nats "$(replicas nats)"
				;;
			*) kill9 $service "$(any_of $service $n)" ;;
			esac
			sleep $((RANDOM % 4 + 1)).$((RANDOM % 10))
		done
		all_healthy
		each_serves
		say "round $round, $kills processes killed, $round gateways gone for good and made anew"
	done
	for service in postgres nats; do
		each_serves >/dev/null
		outage $service 60 &
		sleep 20
		n=$RANDOM
		kill9 gateway "$(any_of gateway $n)"
		wait $! || fail "$service does not come back"
		all_healthy
		say "$service was away for a minute, a gateway was killed meanwhile"
	done
	roll
	for service in nats postgres; do
		$compose restart $service >/dev/null 2>&1
		healthy $service 1
	done
	at=$(now)
	$compose kill -s USR2 lb >/dev/null 2>&1 # how haproxy takes a new configuration
	sleep 1
	excuse $at "the balancer reloaded: idle connections are closed, as a client takes one"
	sleep 4
	say "every service rolled, NATS and Postgres restarted, the balancer reloaded"
	at=$(now)
	$compose restart lb >/dev/null 2>&1
	healthy lb 1
	excuse $at "the balancer restarted"
	sleep 5
	each_serves
	say "the balancer restarted"
	halt_load
	p99 10000 "$dir/excuses"
	judge
	say "one trace for each answer, costs exact; $kills processes killed"
}

monitor() { curl -sf "http://$(address "$(replicas "$1")"):8222/$2"; }
# The server that leads the stream of traces; nothing while the servers do not agree, or a copy lags.
leader() {
	local server
	for server in $brokers; do monitor $server healthz >/dev/null || return 0; done
	for server in $brokers; do monitor $server 'jsz?accounts=true&streams=true' && echo || return 0; done | node -e '
		const streams = require("fs").readFileSync(0, "utf8").split(/^}$/m).filter((s) => s.trim()).map((s) => JSON.parse(s + "}"))
			.flatMap((s) => (s.account_details ?? []).flatMap((a) => a.stream_detail ?? []))
		const whole = (name) => {
			const copies = streams.filter((s) => s.name === name)
			const leaders = new Set(copies.map((s) => s.cluster?.leader))
			const led = copies.find((s) => s.cluster?.leader_since) // only the leader knows of its followers
			return copies.length === 3 && leaders.size === 1 && led?.cluster.replicas.every((r) => r.current && !r.offline) && led.cluster.leader
		}
		if ([...new Set(streams.map((s) => s.name))].every(whole)) console.log(whole("LOOM_TRACE") || "")'
}
cluster() {
	local n led deadline
	declare -A of=([nats-1]=nats [nats-2]=nats-2 [nats-3]=nats-3)
	for n in $(seq 10); do
		deadline=$((SECONDS + 120))
		until led=$(leader) && [ -n "$led" ]; do
			[ "$SECONDS" -lt "$deadline" ] || fail "the cluster is not whole"
			sleep 1
		done
		sleep 12 # quiet, to compare with
		now >>"$dir/elections"
		kill9 "${of[$led]}" "$(replicas "${of[$led]}")"
		echo "   $n: $led led the stream and was killed"
		sleep 10
	done
	halt_load
	say "the leader of the stream killed $kills times"
	[ "$kills" = 10 ] || fail "$kills of 10 leaders were killed"
	p99 10000 "$dir/elections"
	judge
	say "one trace for each answer, costs exact"
}

scale
all_healthy
sleep 3 # the balancer looks every second
kills=0
: >"$dir/excuses"
start_load 8
sleep 8
each_serves
say "three gateways share the load"
$mode
