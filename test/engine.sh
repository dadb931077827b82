# For scripts to source: a Docker engine for as long as they need one.
#
#     engine_up DIR    takes the engine that answers, or installs and starts Debian's where
#                      it may; when none can be had it fails, and engine_lacks says why
#     base_images DIR NAME...   sees to it that it has these images of deploy/, from a registry
#                      or else put together (test/images.sh); fails as engine_up does
#     engine_down      stops the one that engine_up has started, and no other
engine= engine_lacks=

engine_up() {
	! timeout 10 docker info >/dev/null 2>&1 || return 0
	engine_lacks="no Docker engine answers, and only root may start one"
	[ "$(id -u)" = 0 ] || return 1
	if ! command -v dockerd >/dev/null && command -v apt-get >/dev/null; then
		{ timeout 120 apt-get update -qq && DEBIAN_FRONTEND=noninteractive timeout 120 apt-get install -y -qq --no-install-recommends docker.io iptables; } >"$1/apt.log" 2>&1 || true
	fi
	engine_lacks="no Docker engine here, and none to be installed"
	command -v dockerd >/dev/null || return 1
	dockerd >"$1/dockerd.log" 2>&1 &
	engine=$!
	local deadline=$((SECONDS + 60))
	while [ "$SECONDS" -lt "$deadline" ] && kill -0 "$engine" 2>/dev/null; do
		! timeout 3 docker info >/dev/null 2>&1 || return 0
		sleep 0.5
	done
	engine_lacks="the Docker engine does not start: $(tail -1 "$1/dockerd.log")"
	engine_down
	return 1
}

base_images() {
	local dir=$1 name image registry=yes
	shift
	for name; do
		image=$(test/images.sh -n "$name")
		! docker image inspect "$image" >/dev/null 2>&1 || continue
		# One that cannot be reached would take as long for each.
		[ -z "$registry" ] || ! timeout 60 docker pull -q "$image" >/dev/null 2>&1 || continue
		registry=
		test/images.sh "$name" 2>"$dir/images.log" || { engine_lacks="no image $image from a registry, and none to be put together: $(tail -1 "$dir/images.log")"; return 1; }
		grep '^made' "$dir/images.log"
	done
}

engine_down() {
	[ -n "$engine" ] || return 0
	kill "$engine" 2>/dev/null || true
	wait "$engine" 2>/dev/null || true
	engine=
}
