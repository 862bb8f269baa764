#!/usr/bin/env bash
# Backups by the names they always had.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: scripts/backup.sh [backup | backup-db | backup-files | list | verify | cleanup [DAYS] | restore-db ID|latest]

Without an argument: a full backup, read back, copied to S3_BUCKET when that is set, then a cleanup when
RETENTION_DAYS is. Other services (PostgreSQL, Redis, …) are part of a full backup when they stand under
backup.commands in martlet.yaml.
TEXT
}

case ${1:-} in -h | --help)
  usage
  exit 0
  ;;
esac
# shellcheck source=operations.sh source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/operations.sh"

case ${1:-backup} in
  backup)
    run backup run --kind full
    copy_to_s3
    if [[ -n ${RETENTION_DAYS:-} ]]; then run backup prune; fi
    ;;
  backup-db)
    run backup run --kind database
    copy_to_s3
    ;;
  backup-files) run backup run --kind files ;;
  list) "$program" backup list ;;
  verify) run backup verify --depth documents ;;
  cleanup)
    if [[ -n ${2:-} ]]; then export RETENTION_DAYS=$2; fi
    export RETENTION_DAYS=${RETENTION_DAYS:-30}
    run backup prune
    ;;
  restore-db) exec "$here/restore.sh" "${2:?which backup? (an id of scripts/backup.sh list, or latest)}" ;;
  *)
    usage >&2
    exit 64
    ;;
esac
