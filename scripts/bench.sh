#!/usr/bin/env bash
# Measures each speed that matters as a ratio in one run, on a throwaway server, with the release build.
# Usage: scripts/bench.sh [SECTION…]   sections are the files in scripts/bench; all by default
set -euo pipefail
# shellcheck source=lib.sh source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

main() {
  "$root/scripts/setup.sh"
  require_swift
  cd "$root"
  swift build -c release --product martlet >&2
  MARTLET_BINARY=$(swift build -c release --show-bin-path)/martlet
  export MARTLET_BINARY

  trap stop EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  MARTLET_BENCH_URI=$("$root/scripts/mongod.sh" start --name "bench-$$" --cache 2 --oplog 4096)
  export MARTLET_BENCH_URI

  local section
  if [[ $# == 0 ]]; then
    for section in "$root"/scripts/bench/*.py; do set -- "$@" "$(basename "$section" .py)"; done
  fi
  for section in "$@"; do
    [[ -e $root/scripts/bench/$section.py ]] || die "no section $section" "see scripts/bench"
    printf '== %s\n' "$section"
    PYTHONPATH=$root/scripts/bench "$venv_python" "$root/scripts/bench/$section.py"
  done
}

stop() { "$root/scripts/mongod.sh" stop --name "bench-$$"; }

main "$@"
