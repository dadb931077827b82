#!/bin/sh
# Copies the database to a file, and back.
#
#     backup.sh save FILE       while everything runs
#     backup.sh restore FILE    stops the services, brings the database back, starts them
#
# The file holds traces, sealed bodies, costs and configuration, the wrapped data keys of
# tenants (table tenant_keys) among it, and is of no use for reading bodies without
# secrets/master, which is not in it: keep that apart.
# What was recorded after the copy is taken from the broker's stream once more, as far back
# as that goes. COMPOSE is the command to use, with its -f and -p.
set -eu
case "${2:-}" in
"") file= ;;
/*) file=$2 ;;
*) file=$PWD/$2 ;;
esac
cd "$(dirname "$0")"
compose=${COMPOSE:-docker compose -f compose.yaml}
services="gateway dashboard recorder analytics"

usage() {
	echo "usage: backup.sh save|restore FILE" >&2
	exit 2
}

sql() { $compose exec -T postgres psql -qAtX -v ON_ERROR_STOP=1 -U loom -d "$1" -c "$2"; }

[ -n "$file" ] || usage
case ${1:-} in
save)
	umask 077
	# Roles are the server's and in no dump of a database; loom migrate gives them passwords.
	$compose exec -T postgres pg_dump -U loom -Fc loom >"$file.part"
	$compose exec -T postgres pg_dumpall -U loom --roles-only --no-role-passwords |
		grep -E '^(CREATE|ALTER) ROLE loom_' >"$file.roles"
	mv "$file.part" "$file"
	echo "backup: $file and $file.roles, $(wc -c <"$file") bytes. They open nothing without secrets/master."
	;;
restore)
	[ -s "$file" ] && [ -s "$file.roles" ] || { echo "backup: $file or $file.roles is missing or empty" >&2; exit 1; }
	$compose exec -T postgres pg_restore -l <"$file" >/dev/null || { echo "backup: $file is not a whole backup; nothing was changed" >&2; exit 1; }
	# How many of each, for the start.
	for service in $services; do eval "count_$service=$($compose ps -q "$service" | wc -l)"; done
	$compose stop $services
	sql postgres 'DROP DATABASE IF EXISTS loom WITH (FORCE)'
	sql postgres 'CREATE DATABASE loom'
	$compose exec -T postgres psql -qX -U loom -d loom <"$file.roles" 2>&1 | grep -v 'already exists' || true
	$compose exec -T postgres pg_restore -U loom -d loom --exit-on-error <"$file"
	# The broker has the configuration of after the copy, and the higher number would win:
	# without its bucket, the dashboard fills one from the database.
	nodes=$($compose config --services | grep -E '^nats(-[0-9]+)?$')
	$compose stop $nodes
	for node in $nodes; do
		$compose run --rm --no-deps -T --entrypoint rm "$node" -rf /data/jetstream/LOOM/streams/KV_LOOM_CONFIG
	done
	$compose up -d --no-deps $nodes
	$compose run --rm -T migrate
	for service in $services; do
		eval "count=\$count_$service"
		[ "$count" -gt 0 ] || count=1
		$compose up -d --no-deps --no-recreate --scale "$service=$count" "$service"
	done
	echo "backup: restored. What came after the copy is being taken from the stream; docker compose run --rm loom verify says when all is there."
	;;
*) usage ;;
esac
