#!/usr/bin/env bash
# Tries the program against other releases of the server, with one of everything in the data: docs/versions.md.
set -euo pipefail
# shellcheck source=lib.sh source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  cat <<'TEXT'
usage: scripts/versions.sh [VERSION… [SCENARIO…]]

VERSION is 4.2.6, 4.4.2, 5.0.4, 6.0.5 or 6.0.27, all of them without; SCENARIO is the beginning of a name in
docs/versions.md. MARTLET names the program, which is built without. SHOW=1 prints what it is asked and says.
TEXT
}

main() {
  local versions=() version status=0
  while [[ ${1:-} =~ ^[0-9.]+$ ]]; do
    versions+=("$1")
    shift
  done
  [[ ${1:-} != -* ]] || { usage && exit; }
  [[ ${#versions[@]} -gt 0 ]] || versions=(4.2.6 4.4.2 5.0.4 6.0.5 6.0.27)

  "$root/scripts/setup.sh" --versions
  if [[ -z ${MARTLET:-} ]]; then
    require_swift
    (cd "$root" && swift build --product martlet >&2)
    MARTLET=$(cd "$root" && swift build --show-bin-path)/martlet
  fi
  for version in "${versions[@]}"; do
    [[ -x $(mongod_path "$version") ]] || die "there is no mongod $version" "scripts/setup.sh --versions fetches some"
    "$venv_python" "$root/scripts/versions.py" "$MARTLET" "$version" "$@" || status=1
  done
  exit "$status"
}

main "$@"
