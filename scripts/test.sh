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
  start_s3

  release "$@"
  torture "$@"
  # Swift Testing runs in parallel by itself. Its summary is the last line, its exit code ours.
  swift test --skip-build --disable-xctest "$@" </dev/null
}

# release [argument…]: the program that users build, through a load and a dump; tests use the debug build.
# Swift's optimiser has broken these two before. Not when arguments ask for a part of the tests.
release() {
  local martlet folder
  [[ $# == 0 ]] || return 0
  swift build -c release --product martlet
  martlet=$(swift build -c release --show-bin-path)/martlet
  folder=$(mktemp -d)
  if ! { "$martlet" load --uri "$MARTLET_TEST_URI" --archive=Tests/Fixtures/golden/golden.archive \
    --nsInclude='golden.*' --nsFrom='golden.*' --nsTo='release.*' --drop \
    && "$martlet" dump --uri "$MARTLET_TEST_URI" --db release --archive="$folder/a.gz" --gzip \
    && "$martlet" inspect "$folder/a.gz" >/dev/null; } >&2; then
    rm -rf "$folder"
    die "the release build does not load or dump"
  fi
  rm -rf "$folder"
}

# torture [argument…]: a short slice of the long ones, with a fixed seed; half a minute, on a busy machine much
# more: each waits up to ten minutes for its capture, and the limit is for what hangs. Not when arguments ask
# for a part of the tests.
torture() {
  local folder status=0 kills
  [[ $# == 0 ]] || return 0
  folder=$(mktemp -d)
  MARTLET=$MARTLET_BINARY PYTHON=$venv_python timeout -k 60 1200 \
    "$root/scripts/torture.sh" 4 34 >"$folder/kills" 2>&1 &
  kills=$!
  timeout -k 60 1200 "$venv_python" "$root/scripts/torture_recovery.py" \
    "$MARTLET_TEST_URI" "$MARTLET_BINARY" 2 7 >"$folder/recovery" 2>&1 || status=$?
  wait "$kills" || status=$?
  if [[ $status != 0 ]]; then
    cat "$folder"/* >&2
    rm -rf "$folder"
    die "a torture failed" "scripts/torture.sh 4 34; scripts/torture_recovery.py URI MARTLET 2 7"
  fi
  tail -qn 1 "$folder"/* >&2
  rm -rf "$folder"
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
  MARTLET_TEST_URI=$(server start "test-$$-replset" --cache 1 --oplog 2048 -- \
    --setParameter enableTestCommands=1 --setParameter transactionLifetimeLimitSeconds=5)
  MARTLET_TEST_STANDALONE_URI=$(server start "test-$$-standalone" --standalone -- --setParameter enableTestCommands=1)
  export MARTLET_TEST_URI MARTLET_TEST_STANDALONE_URI
}

# An S3-compatible server for the store tests: in CI, or where `CI=1 scripts/test.sh` has installed it once.
start_s3() {
  local server=$tools/moto/bin/moto_server port
  if [[ ! -x $server ]]; then
    [[ -n ${CI:-} ]] || return 0
    python3 -m venv "$tools/moto"
    retry "$tools/moto/bin/python" -m pip install -q --disable-pip-version-check 'moto[server]==5.2.5' >&2 \
      || die "could not install moto" "is the network up?"
  fi
  # An AWS bundle is not for 127.0.0.1, and rclone cannot use it.
  unset AWS_CA_BUNDLE
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  "$server" -p "$port" >/dev/null 2>&1 &
  s3_pid=$!
  export RCLONE_CONFIG_MOTO_TYPE=s3 RCLONE_CONFIG_MOTO_PROVIDER=Other RCLONE_CONFIG_MOTO_REGION=us-east-1
  export RCLONE_CONFIG_MOTO_ENDPOINT=http://127.0.0.1:$port
  export RCLONE_CONFIG_MOTO_ACCESS_KEY_ID=x RCLONE_CONFIG_MOTO_SECRET_ACCESS_KEY=y
  export NO_PROXY=127.0.0.1,${NO_PROXY:-} no_proxy=127.0.0.1,${no_proxy:-}
  retry rclone --quiet mkdir moto:bucket || die "the S3 server does not answer"
  export MARTLET_TEST_S3=moto:bucket
}

stop_servers() {
  [[ -z ${s3_pid:-} ]] || kill "$s3_pid" 2>/dev/null || true
  server stop "test-$$-replset"
  server stop "test-$$-standalone"
}

# server COMMAND NAME [argument…]
server() { "$root/scripts/mongod.sh" "$1" --name "$2" "${@:3}"; }

main "$@"
