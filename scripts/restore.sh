#!/usr/bin/env bash
# restore.sh ID|latest [OPTIONS of martlet restore]: what is replaced is backed up first.
# A path such as /backups/20260128T020000Z-full, or of a file in it, names its store and its backup.
set -euo pipefail
# shellcheck source=operations.sh source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/operations.sh"

backup=${1:?which backup? (an id of scripts/backup.sh list, or latest)}
shift
[[ ! -f $backup ]] || backup=$(dirname "$backup")
case $backup in
  latest) run restore --latest --yes "$@" ;;
  */*) run restore "$(basename "$backup")" --store "$(dirname "$backup")" --yes "$@" ;;
  *) run restore "$backup" --yes "$@" ;;
esac
