#!/bin/sh
# A completion, whole and streamed. Start Loom first (make run), then:
#   sh examples/curl.sh
set -eu
env_file=${LOOM_DATA_DIR:-.loom}/dev.env
if [ -z "${LOOM_API_KEY:-}" ]; then . "$env_file"; fi

ask() {
  curl --fail-with-body -sS -N "$LOOM_BASE_URL/chat/completions" \
    -H "Authorization: Bearer $LOOM_API_KEY" \
    -H "Content-Type: application/json" \
    -d "$1"
  echo
}

ask '{"model":"loom-demo","messages":[{"role":"user","content":"Hello, Loom!"}]}'
ask '{"model":"loom-demo","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"Hello, Loom!"}]}'
