#!/usr/bin/env bash
# Sets up, builds and runs all tests against real servers. Arguments go to swift test: --filter NAME, …
set -euo pipefail
# shellcheck source=lib.sh source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

main() {
  "$root/scripts/setup.sh"
  require_swift
  cd "$root"
  swift format lint --strict --parallel --recursive Sources Tests Package.swift
  swift build --build-tests

  MARTLET_MONGOD=${MARTLET_MONGOD:-$(mongod_path "$default_mongod_version")}
  MARTLET_TEST_PYTHON=$venv_python
  MARTLET_BINARY=$(swift build --show-bin-path)/martlet
  export MARTLET_MONGOD MARTLET_TEST_PYTHON MARTLET_BINARY
  start_servers

  # Swift Testing runs in parallel by itself. Its summary is the last line, its exit code ours.
  swift test --skip-build --disable-xctest "$@" </dev/null
}

# Named after this process, so that runs can overlap; those of a run that was killed are removed.
start_servers() {
  local state name
  for state in "$tools"/run/test-*.state; do
    [[ -e $state ]] || continue
    name=$(basename "$state" .state)
    [[ -d /proc/$(cut -d - -f 2 <<<"$name") ]] || server stop "$name"
  done

  trap stop_servers EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  # All tests write into one oplog: none of it may roll over while one of them follows it.
  # A killed client's transaction holds its locks until it expires: not for a minute here.
  MARTLET_TEST_URI=$(server start "test-$$-replset" --oplog 2048 -- --setParameter enableTestCommands=1 \
    --setParameter transactionLifetimeLimitSeconds=5)
  MARTLET_TEST_STANDALONE_URI=$(server start "test-$$-standalone" --standalone -- --setParameter enableTestCommands=1)
  export MARTLET_TEST_URI MARTLET_TEST_STANDALONE_URI
}

stop_servers() {
  server stop "test-$$-replset"
  server stop "test-$$-standalone"
}

# server COMMAND NAME [argument…]
server() { "$root/scripts/mongod.sh" "$1" --name "$2" "${@:3}"; }

main "$@"
