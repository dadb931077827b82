#!/usr/bin/env bash
# Stand-ins for the base images of deploy/, under their real names, for a machine that has
# an engine but reaches no registry. They are put together from what this machine has: Go,
# node, Debian's packages. They show that the files of deploy/ fit together, not that they
# fit the official images; nothing of the product calls this.
#
#     test/images.sh [golang node nats postgres haproxy]
#     test/images.sh -n NAME      prints what the image is called, and makes none
#
# An image that is there already is left alone, whoever made it.
set -euo pipefail

golang=golang:1.26 node=node:20 nats=nats:2.15-alpine postgres=postgres:15 haproxy=haproxy:2.6-alpine
nats_version=v2.15.2
if [ "${1:-}" = -n ]; then
	echo "${!2}"
	exit
fi
work=${LOOM_IMAGES_DIR:-/var/tmp/loom-images}
mkdir -p "$work/debs"

# unpack PACKAGE...: Debian's files of them below $work/root, without installing.
unpack() {
	local package
	for package; do
		compgen -G "$work/debs/${package}_*.deb" >/dev/null ||
			(cd "$work/debs" && apt-get download -qq -o APT::Sandbox::User=root "$package")
		dpkg -x "$work/debs/${package}"_*.deb "$work/root"
	done
}

# tree NAME: an empty root with busybox, accounts and certificates; prints where it is.
tree() {
	local root=$work/$1 applet
	rm -rf "$root"
	mkdir -p "$root"/{bin,sbin,usr/bin,usr/local/bin,usr/share,etc/ssl/certs,tmp,var,run,proc,sys,dev,root}
	chmod 1777 "$root/tmp"
	cp "$work/root/bin/busybox" "$root/bin/"
	for applet in $("$root/bin/busybox" --list); do
		[ "$applet" = busybox ] || ln -sf busybox "$root/bin/$applet"
	done
	ln -sf /bin/env "$root/usr/bin/env"
	printf '%s\n' root:x:0:0::/root:/bin/sh nobody:x:65534:65534::/:/bin/false postgres:x:999:999::/var/lib/postgresql:/bin/sh \
		haproxy:x:99:99::/var/lib/haproxy:/bin/false >"$root/etc/passwd"
	printf '%s\n' root:x:0: nogroup:x:65534: postgres:x:999: haproxy:x:99: >"$root/etc/group"
	echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
	cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
	cp -a /usr/share/zoneinfo "$root/usr/share/"
	echo "$root"
}

# libraries ROOT FILE...: the shared libraries that the files need, and the parts of libc
# that are loaded without being named: the resolver's, and what native modules ask for.
libraries() {
	local root=$1 library
	shift
	{
		ldd "$@" 2>/dev/null | awk '$2 == "=>" && $3 ~ /^\// {print $3} $1 ~ /^\// && $2 ~ /^\(/ {print $1}'
		printf '%s\n' /lib/x86_64-linux-gnu/{libnss_dns.so.2,libnss_files.so.2,libresolv.so.2,librt.so.1,libpthread.so.0,libdl.so.2}
	} | sort -u | while read -r library; do
		local dir=$root$(dirname "$library")
		case $library in "$work"/*) dir=$root/usr/lib/x86_64-linux-gnu ;; esac
		mkdir -p "$dir"
		cp -L "$library" "$dir/"
	done
}

# image ROOT NAME: the tree as an image; further lines of its Dockerfile come from stdin.
image() {
	tar -C "$1" -c . | docker import - "$2" >/dev/null
	{ echo "FROM $2"; cat; } | DOCKER_BUILDKIT=0 docker build -q -t "$2" - >/dev/null
	rm -rf "$1"
}

make_golang() {
	local root
	root=$(tree golang)
	mkdir -p "$root/go"
	tar -C "$(go env GOROOT)" --exclude=./test --exclude=./doc --exclude=./api -c . |
		{ mkdir -p "$root/usr/local/go" && tar -C "$root/usr/local/go" -x; }
	image "$root" "$golang" <<-'E'
		ENV PATH=/go/bin:/usr/local/go/bin:/usr/local/bin:/usr/bin:/bin GOPATH=/go GOTOOLCHAIN=local
		WORKDIR /go
	E
}

make_node() {
	local root
	root=$(tree node)
	mkdir -p "$root/usr/lib/node_modules"
	cp -L "$(command -v node)" "$root/usr/bin/node"
	cp -a "$(dirname "$(readlink -f "$(command -v npm)")")/.." "$root/usr/lib/node_modules/npm"
	ln -s ../lib/node_modules/npm/bin/npm-cli.js "$root/usr/bin/npm"
	libraries "$root" "$root/usr/bin/node"
	image "$root" "$node" <<-'E'
		ENV PATH=/usr/local/bin:/usr/bin:/bin NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
		CMD ["node"]
	E
}

make_nats() {
	local root
	[ -x "$work/bin/nats-server" ] ||
		GOBIN=$work/bin GOFLAGS= GOWORK=off CGO_ENABLED=0 go install -trimpath -ldflags '-s -w' github.com/nats-io/nats-server/v2@$nats_version
	root=$(tree nats)
	cp "$work/bin/nats-server" "$root/usr/local/bin/"
	cat >"$root/usr/local/bin/docker-entrypoint.sh" <<-'E'
		#!/bin/sh
		case "$1" in -*) set -- nats-server "$@" ;; esac
		exec "$@"
	E
	chmod +x "$root/usr/local/bin/docker-entrypoint.sh"
	image "$root" "$nats" <<-'E'
		ENV PATH=/usr/local/bin:/usr/bin:/bin
		EXPOSE 4222 6222 8222
		ENTRYPOINT ["docker-entrypoint.sh"]
		CMD ["nats-server"]
	E
}

# The official entry point in short: a cluster in an empty directory, made over a socket
# that nobody can take for the real server, then the server.
make_postgres() {
	local root major=${postgres#*:} bin
	bin=/usr/lib/postgresql/$major
	[ -x "$bin/bin/initdb" ] || { echo "no PostgreSQL $major here: apt-get install postgresql-$major" >&2; return 1; }
	root=$(tree postgres)
	mkdir -p "$root$bin" "$root/usr/share/postgresql" "$root/var/lib/postgresql/data" "$root/var/run/postgresql" "$root/usr/lib/locale"
	cp -a "$bin/." "$root$bin/"
	rm -rf "$root$bin"/lib/{bitcode,llvmjit.so}
	cp -aL "/usr/share/postgresql/$major" "$root/usr/share/postgresql/"
	cp -a /usr/lib/locale/C.utf8 "$root/usr/lib/locale/" 2>/dev/null || true
	cp /usr/bin/setpriv "$root/usr/bin/"
	libraries "$root" "$root$bin"/bin/* "$root$bin"/lib/*.so /usr/bin/setpriv
	chown -R 999:999 "$root/var/lib/postgresql" "$root/var/run/postgresql"
	chmod 0700 "$root/var/lib/postgresql/data"
	cat >"$root/usr/local/bin/docker-entrypoint.sh" <<-'E'
		#!/bin/sh
		set -e
		case "$1" in -*) set -- postgres "$@" ;; esac
		[ "$1" = postgres ] || exec "$@"
		if [ "$(id -u)" = 0 ]; then
			mkdir -p "$PGDATA"
			chown -R postgres:postgres "$PGDATA" /var/run/postgresql
			chmod 700 "$PGDATA"
			exec /usr/bin/setpriv --reuid=postgres --regid=postgres --clear-groups "$0" "$@"
		fi
		if [ ! -s "$PGDATA/PG_VERSION" ]; then
			password=${POSTGRES_PASSWORD:-$(cat "${POSTGRES_PASSWORD_FILE:-/dev/null}")}
			[ -n "$password" ] || { echo "Error: Database is uninitialized and superuser password is not specified." >&2; exit 1; }
			umask 077
			printf '%s' "$password" >/tmp/password
			initdb -U "$POSTGRES_USER" --pwfile=/tmp/password --encoding=UTF8 --locale=C.UTF-8 -D "$PGDATA"
			rm /tmp/password
			printf "\nlisten_addresses = '*'\nunix_socket_directories = '/var/run/postgresql'\n" >>"$PGDATA/postgresql.conf"
			printf '\nhost all all all scram-sha-256\n' >>"$PGDATA/pg_hba.conf"
			pg_ctl -D "$PGDATA" -o "-c listen_addresses=''" -w start
			echo "CREATE DATABASE \"$POSTGRES_DB\"" | PGPASSWORD=$password psql -h /var/run/postgresql -U "$POSTGRES_USER" -d postgres
			pg_ctl -D "$PGDATA" -m fast -w stop
		fi
		exec "$@"
	E
	chmod +x "$root/usr/local/bin/docker-entrypoint.sh"
	image "$root" "$postgres" <<-E
		ENV PATH=$bin/bin:/usr/local/bin:/usr/bin:/bin PGDATA=/var/lib/postgresql/data LANG=C.UTF-8
		STOPSIGNAL SIGINT
		VOLUME /var/lib/postgresql/data
		EXPOSE 5432
		ENTRYPOINT ["docker-entrypoint.sh"]
		CMD ["postgres"]
	E
}

make_haproxy() {
	local root
	unpack haproxy liblua5.3-0 libopentracing-c-wrapper0 libopentracing1
	root=$(tree haproxy)
	mkdir -p "$root/usr/local/sbin" "$root/usr/local/etc/haproxy" "$root/var/lib/haproxy"
	cp "$work/root/usr/sbin/haproxy" "$root/usr/local/sbin/"
	LD_LIBRARY_PATH=$work/root/usr/lib/x86_64-linux-gnu libraries "$root" "$work/root/usr/sbin/haproxy"
	cat >"$root/usr/local/bin/docker-entrypoint.sh" <<-'E'
		#!/bin/sh
		case "$1" in -*) set -- haproxy "$@" ;; esac
		if [ "$1" = haproxy ]; then shift; set -- haproxy -W -db "$@"; fi
		exec "$@"
	E
	chmod +x "$root/usr/local/bin/docker-entrypoint.sh"
	image "$root" "$haproxy" <<-'E'
		ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
		USER haproxy
		STOPSIGNAL SIGUSR1
		ENTRYPOINT ["docker-entrypoint.sh"]
		CMD ["haproxy", "-f", "/usr/local/etc/haproxy/haproxy.cfg"]
	E
}

wanted=("$@")
[ $# -gt 0 ] || wanted=(golang node nats postgres haproxy)
for name in "${wanted[@]}"; do
	if docker image inspect "${!name}" >/dev/null 2>&1; then continue; fi
	[ -x "$work/root/bin/busybox" ] || unpack busybox-static
	since=$SECONDS
	"make_$name"
	docker image inspect -f '{{.Size}}' "${!name}" |
		awk -v name="${!name}" -v took=$((SECONDS - since)) '{printf "made a stand-in for %s, %d MB (%d s)\n", name, $1 / 1e6, took}' >&2
done
