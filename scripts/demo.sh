#!/usr/bin/env bash
# The main job on a real throwaway replica set, as a tour: plan, apply, look, take back. Leaves nothing.
set -euo pipefail
# shellcheck source=lib.sh source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

main() {
  "$root/scripts/setup.sh"
  require_swift
  cd "$root"
  chapter "Building martlet (only the first time takes long)"
  swift build --product martlet
  PATH=$(swift build --show-bin-path):$PATH

  chapter "A real MongoDB replica set, thrown away at the end"
  trap stop EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  MARTLET_URI=$("$root/scripts/mongod.sh" start --name "demo-$$")
  MARTLET_DB=kiranast
  export MARTLET_URI MARTLET_DB
  say "$MARTLET_URI"

  chapter "Sample shop data"
  run martlet dev seed
  chapter "Is everything ready?"
  run martlet doctor
  chapter "Where do we stand?"
  run martlet migrate status
  chapter "What would happen? Planning only reads."
  run martlet migrate plan
  chapter "Apply the five reference migrations"
  run martlet migrate up --yes
  chapter "The ledger"
  run martlet migrate status
  run martlet migrate history
  chapter "Take the last one back, and apply it again"
  run martlet migrate down --yes
  run martlet migrate up --yes
  chapter "Take everything back: the data are as they were"
  run martlet migrate down --all --yes
  run martlet migrate status
  say ""
  say "That was the tour. Your own project begins with: martlet init"
}

stop() { "$root/scripts/mongod.sh" stop --name "demo-$$"; }

chapter() { printf '\n== %s\n' "$*" >&2; }

run() {
  printf '\n$ %s\n' "$*" >&2
  "$@"
}

main "$@"
