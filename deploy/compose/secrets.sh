#!/bin/sh
# Makes the passwords and keys of Loom in a directory, once: what is there stays as it is.
# compose.yaml runs it as a job at each start; `make secrets` runs it before the first.
#
#     secrets.sh DIRECTORY
#
# Each service is given the folder of its name and no other. The directory itself is for
# its owner alone; files in it can be read by whoever gets there, since what runs in a
# container is another user than yours.
set -eu
umask 022
dir=${1:?usage: secrets.sh DIRECTORY}
faults=0

fault() {
	echo "secrets: $*" >&2
	faults=$((faults + 1))
}

random() { od -An -v -N "$1" -tx1 /dev/urandom | tr -d ' \n'; }

# keep FILE TEXT: the text in a file of its own, if there is none yet.
keep() {
	if [ -e "$dir/$1" ]; then
		[ -s "$dir/$1" ] || fault "$1 is empty: bring back what it held, or, if nothing was ever stored under it, remove it and a new one is made"
		return 0
	fi
	printf '%s\n' "$2" >"$dir/$1.new"
	chmod 0444 "$dir/$1.new"
	mv "$dir/$1.new" "$dir/$1"
	made="$made $1"
}

# password FILE: one that no one chose.
password() {
	keep "$1" "k$(random 24)" # a letter first: NATS would take digits for a number
	[ -s "$dir/$1" ] || return 0
	text=$(cat "$dir/$1")
	case $text in
	*[!A-Za-z0-9_-]*) fault "$1 has other characters than letters, digits, - and _, which addresses cannot hold: choose another" ;;
	[!A-Za-z]*) fault "$1 does not begin with a letter, and NATS might take it for a number: choose another" ;;
	????????????????????*) ;;
	*) fault "$1 is shorter than 20 characters, or someone's choice: remove it before the first start and a strong one is made" ;;
	esac
}

read_file() { cat "$dir/$1" 2>/dev/null || true; }

made=
for folder in master postgres nats migrate gateway recorder analytics dashboard replay operator; do
	mkdir -p "$dir/$folder"
done

keep master/key "$(random 32)"
[ "$(wc -c <"$dir/master/key")" -ge 43 ] || fault "master/key must be 32 random bytes as hex or base64: bring back the key that this Loom was started with, or, before the first start, remove the file and one is made"
password postgres/password
for user in gateway recorder analytics dashboard migrate replay cluster; do password "nats/$user"; done
for role in recorder analytics dashboard admin; do password "migrate/${role}_password"; done

# Addresses with the passwords in them. Edit one to use a database or a broker of your own.
postgres() { echo "postgres://$1:$(read_file "$2")@postgres:5432/loom?sslmode=disable"; }
nats() { echo "nats://$1:$(read_file "nats/$1")@nats:4222"; }
for user in gateway recorder analytics dashboard migrate replay; do keep "$user/nats_url" "$(nats "$user")"; done
for owner in migrate replay; do keep "$owner/database_url" "$(postgres loom postgres/password)"; done
for role in recorder analytics dashboard; do keep "$role/database_url" "$(postgres "loom_$role" "migrate/${role}_password")"; done
keep dashboard/admin_database_url "$(postgres loom_admin migrate/admin_password)"

chmod 0700 "$dir"
if [ "$(id -u)" = 0 ]; then
	owner=$(stat -c %u:%g "$dir")
	for folder in master postgres nats migrate gateway recorder analytics dashboard replay; do chown -R "$owner" "$dir/$folder"; done
	chown -R 65532:65532 "$dir/operator" # the job that writes the first key there
	chmod 0700 "$dir/operator"
fi

if [ "$faults" -gt 0 ]; then
	echo "secrets: nothing was started. Look at the lines above; docs/operations.md says what each file is." >&2
	exit 1
fi
[ -z "$made" ] || echo "secrets: made$made. Keep a copy elsewhere: without master/key no recorded body can be read."
