#!/usr/bin/env bash
# Fuzzes every target of every module for the given time each (go test -fuzz takes one at a time).
set -euo pipefail
cd "$(dirname "$0")/.."
for_each=${1:-30s}

git grep -lE '^func Fuzz' -- '*_test.go' | xargs -n1 dirname | sort -u | while read -r package; do
	grep -hoE '^func Fuzz[A-Za-z0-9_]+' "$package"/*_test.go | sed 's/^func //' | while read -r target; do
		echo "== $package $target"
		go test "./$package" -run '^$' -fuzz "^$target\$" -fuzztime "$for_each" -fuzzminimizetime 10x
	done
done
