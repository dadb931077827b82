#!/bin/sh
# Replaces the containers of services one by one with new ones, of the images and settings
# that compose.yaml names now, while the others go on: each new one must be ready before an
# old one is asked to stop.
#
#     roll.sh gateway dashboard recorder analytics
#
# COMPOSE is the command to use, with its -f and -p.
set -eu
cd "$(dirname "$0")"
compose=${COMPOSE:-docker compose -f compose.yaml}
patience=${ROLL_PATIENCE:-180}

[ $# -gt 0 ] || { echo "usage: roll.sh SERVICE..." >&2; exit 2; }
for service; do
	old=$($compose ps -q "$service")
	[ -n "$old" ] || { echo "roll: $service does not run: docker compose up starts it" >&2; exit 1; }
	count=$(echo "$old" | wc -l)
	for container in $old; do
		$compose up -d --no-deps --no-recreate --scale "$service=$((count + 1))" "$service" >/dev/null 2>&1 ||
			{ echo "roll: no further $service can be started; the old ones go on" >&2; exit 1; }
		waited=0
		for new in $($compose ps -q "$service"); do
			until [ "$(docker inspect -f '{{.State.Health.Status}}' "$new")" = healthy ]; do
				waited=$((waited + 1))
				if [ "$waited" -gt "$patience" ]; then
					echo "roll: $service $(echo "$new" | cut -c1-12) is not ready after $patience s, the old ones go on; see docker logs $new" >&2
					exit 1
				fi
				sleep 1
			done
		done
		# By its own grace period: what it has begun it ends.
		grace=$(docker inspect -f '{{.Config.StopTimeout}}' "$container")
		docker stop -t "$grace" "$container" >/dev/null
		docker rm "$container" >/dev/null
	done
	echo "roll: $service, $count replaced"
done
