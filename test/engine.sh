# For scripts to source: a Docker engine for as long as they need one.
#
#     engine_up DIR    takes the engine that answers, or installs and starts Debian's where
#                      it may; when none can be had it fails, and engine_lacks says why
#     engine_down      stops the one that engine_up has started, and no other
engine= engine_lacks=

engine_up() {
	! timeout 10 docker info >/dev/null 2>&1 || return 0
	engine_lacks="no Docker engine answers, and only root may start one"
	[ "$(id -u)" = 0 ] || return 1
	if ! command -v dockerd >/dev/null && command -v apt-get >/dev/null; then
		{ timeout 300 apt-get update -qq && DEBIAN_FRONTEND=noninteractive timeout 300 apt-get install -y -qq --no-install-recommends docker.io iptables; } >"$1/apt.log" 2>&1 || true
	fi
	engine_lacks="no Docker engine here, and none to be installed"
	command -v dockerd >/dev/null || return 1
	dockerd >"$1/dockerd.log" 2>&1 &
	engine=$!
	for _ in $(seq 60); do
		! timeout 3 docker info >/dev/null 2>&1 || return 0
		kill -0 "$engine" 2>/dev/null || break
		sleep 0.5
	done
	engine_lacks="the Docker engine does not start: $(tail -1 "$1/dockerd.log")"
	engine_down
	return 1
}

engine_down() {
	[ -n "$engine" ] || return 0
	kill "$engine" 2>/dev/null || true
	wait "$engine" 2>/dev/null || true
	engine=
}
