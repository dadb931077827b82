#!/bin/sh
# Starts nats-server with the passwords of its users, which are in files, in its
# environment, where permissions.conf looks for them. One that were empty would let
# everybody in, so none may be.
set -eu
read_password() { cat "/run/loom/$1" 2>/dev/null || true; }
NATS_GATEWAY_PASSWORD=$(read_password gateway)
NATS_RECORDER_PASSWORD=$(read_password recorder)
NATS_ANALYTICS_PASSWORD=$(read_password analytics)
NATS_DASHBOARD_PASSWORD=$(read_password dashboard)
NATS_MIGRATE_PASSWORD=$(read_password migrate)
NATS_REPLAY_PASSWORD=$(read_password replay)
NATS_CLUSTER_PASSWORD=$(read_password cluster)
export NATS_GATEWAY_PASSWORD="${NATS_GATEWAY_PASSWORD:?secrets/nats/gateway is missing or empty: run make secrets}"
export NATS_RECORDER_PASSWORD="${NATS_RECORDER_PASSWORD:?secrets/nats/recorder is missing or empty: run make secrets}"
export NATS_ANALYTICS_PASSWORD="${NATS_ANALYTICS_PASSWORD:?secrets/nats/analytics is missing or empty: run make secrets}"
export NATS_DASHBOARD_PASSWORD="${NATS_DASHBOARD_PASSWORD:?secrets/nats/dashboard is missing or empty: run make secrets}"
export NATS_MIGRATE_PASSWORD="${NATS_MIGRATE_PASSWORD:?secrets/nats/migrate is missing or empty: run make secrets}"
export NATS_REPLAY_PASSWORD="${NATS_REPLAY_PASSWORD:?secrets/nats/replay is missing or empty: run make secrets}"
export NATS_CLUSTER_PASSWORD="${NATS_CLUSTER_PASSWORD:?secrets/nats/cluster is missing or empty: run make secrets}"
for node in 1 2 3; do
	export "NATS_ROUTE_$node=nats://cluster:$NATS_CLUSTER_PASSWORD@nats-$node:6222"
done
exec nats-server -c "$1"
