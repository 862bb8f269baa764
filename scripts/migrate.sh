#!/usr/bin/env bash
# Migrations by the names they always had.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: scripts/migrate.sh migrate | status | plan | create NAME | rollback [N] | seed | reset | fresh | health
TEXT
}

case ${1:-} in -h | --help)
  usage
  exit 0
  ;;
esac
# shellcheck source=operations.sh source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/operations.sh"

command=${1:-}
shift || true
case $command in
  migrate) run migrate up --yes "$@" ;;
  status) "$program" migrate status "$@" ;;
  plan) "$program" migrate plan "$@" ;;
  create) "$program" migrate create "${1:?a name}" ;;
  rollback) run migrate down --count "${1:-1}" --yes ;;
  seed) run dev seed "$@" ;;
  reset) run dev reset --yes "$@" ;;
  fresh) run dev fresh --yes "$@" ;;
  health) "$program" doctor "$@" ;;
  *)
    usage >&2
    exit 64
    ;;
esac
