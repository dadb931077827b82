#!/usr/bin/env bash
# Sees to it that the tests find a Postgres: a server named by LOOM_TEST_DATABASE_URL,
# local binaries, or a container engine. Installs Debian's package when root.
set -euo pipefail

[ -z "${LOOM_TEST_DATABASE_URL:-}" ] || exit 0
command -v postgres >/dev/null && exit 0
compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null && exit 0
compgen -G '/opt/homebrew/opt/postgresql*/bin/postgres' >/dev/null && exit 0
compgen -G '/usr/local/opt/postgresql*/bin/postgres' >/dev/null && exit 0
[ -z "${LOOM_PG_BIN:-}" ] || exit 0
if command -v docker >/dev/null && docker info >/dev/null 2>&1; then exit 0; fi

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	echo "installing Debian's postgresql for the tests"
	mkdir -p /etc/postgresql-common
	# Only the binaries are wanted, not a running cluster.
	[ -e /etc/postgresql-common/createcluster.conf ] || echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq postgresql >/dev/null
	exit 0
fi
cat >&2 <<'MSG'
The tests need PostgreSQL 14 or newer. Any one of these will do:
  Debian, Ubuntu   apt-get install postgresql
  macOS            brew install postgresql@17
  a server         LOOM_TEST_DATABASE_URL=postgres://user:password@host/postgres (a role that may create databases and roles)
  its programs     LOOM_PG_BIN=/path/to/postgresql/bin
  containers       a running Docker engine
MSG
exit 1
