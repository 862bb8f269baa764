#!/usr/bin/env bash
# Backups by the names they always had.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: scripts/backup.sh [backup | backup-db | backup-files | backup-redis | backup-es]
       scripts/backup.sh list | verify | cleanup [DAYS] | restore-db ID|PATH|latest

Without an argument: a full backup, read back, copied to S3_BUCKET when that is set, then a cleanup when
RETENTION_DAYS is; BACKUP_TYPE=database or files makes it smaller. Other services (PostgreSQL, Redis, …) are
part of a full backup when they stand under backup.commands in martlet.yaml; backup-files, backup-redis and
backup-es take the files and all of these, without the database.
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
    case ${BACKUP_TYPE:-full} in full | database | files) ;; *)
      printf 'backup.sh: BACKUP_TYPE is full, database or files, not %s\n' "$BACKUP_TYPE" >&2
      exit 64
      ;;
    esac
    back_up --kind "${BACKUP_TYPE:-full}"
    if [[ -n ${RETENTION_DAYS:-} ]]; then run backup prune; fi
    ;;
  backup-db)
    back_up --kind database
    ;;
  backup-files | backup-redis | backup-es) run backup run --kind files ;;
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
