#!/usr/bin/env bash
# The maintenance window: the whole migration runbook as one command.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: scripts/runbook.sh [run | resume | abandon | dry-run] [options of martlet window]

  run       tell the team, check, back up, read the backup back, validate, stop the services, show the plan and ask,
            migrate, validate, start the services, look whether they answer, report (this is the default)
  resume    go on where a window stopped or was killed
  abandon   forget a window that was not finished, and begin anew
  dry-run   print what would be done

Which commands stop and start the services, what makes them healthy, and what a failure does (down, restore or stop)
stands under `window:` in martlet.yaml. Each run leaves its report in REPORT_DIR/TIME (reports), the log is
LOG_DIR/runbook.log. Add --yes where nobody can be asked.

Environment: MONGO_HOST MONGO_PORT MONGO_USER MONGO_PASSWORD BACKUP_DIR S3_BUCKET BACKUP_NOTIFICATION_EMAIL DEBUG.
Exit code: that of martlet window; 0 is done and healthy, 75 is stopped on purpose, resume goes on.
TEXT
}

case ${1:-} in -h | --help)
  usage
  exit 0
  ;;
esac
# shellcheck source=operations.sh source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/operations.sh"
# shellcheck disable=SC2034 # read by log
log_file=${LOG_DIR:-logs}/runbook.log

# The window's own notification comes at its end.
tell_the_team() {
  [[ -n ${BACKUP_NOTIFICATION_EMAIL:-} ]] || return 0
  command -v mail >/dev/null || {
    log WARNING "there is no mail command: nobody was told"
    return 0
  }
  printf 'The maintenance window begins on %s.\n' "$(hostname)" \
    | mail -s 'maintenance window begins' "$BACKUP_NOTIFICATION_EMAIL" \
    || log WARNING "the team could not be told"
}

# copy_backup REPORT WORDS…: the backup that the window has made, as its report names it, goes to S3. A window
# without a backup has none to copy. Of the window's options the copy needs the configuration.
copy_backup() {
  local report=$1/martlet-window.json id config=()
  shift
  [[ -n ${S3_BUCKET:-} ]] || return 0
  while [[ $# -gt 0 ]]; do
    case $1 in
      --config) config=(--config "${2:-}") ;;
      --config=*) config=("$1") ;;
    esac
    shift
  done
  [[ -r $report ]] || return 1
  id=$(sed -n 's/^ *"backup": "\(.*\)",*$/\1/p' "$report" | head -n 1)
  [[ -z $id ]] || copy_to_s3 "${config[@]}" <<<"\"id\": \"$id\""
}

# window WORDS…: asks on the terminal, so its messages are not piped; what it did is in the report.
window() {
  local status=0 report
  report=${REPORT_DIR:-reports}/$(date -u +%Y%m%dT%H%M%SZ)
  [[ -z ${DEBUG:-} ]] || set -- "$@" --verbose
  log INFO "martlet window $*"
  "$program" window --report "$report" "$@" || status=$?
  if [[ $status == 0 ]]; then
    log INFO "done; the report is $report"
    copy_backup "$report" "$@" || log WARNING "the backup was not copied to S3"
  else
    log ERROR "martlet window ended with $status"
    if [[ -d $report ]]; then log ERROR "the report is $report"; fi
  fi
  return "$status"
}

command=run
case ${1:-} in run | resume | abandon | dry-run)
  command=$1
  shift
  ;;
esac
case ${1:-} in -* | '') ;; *)
  usage >&2
  exit 64
  ;;
esac
case $command in
  run)
    tell_the_team
    window "$@"
    ;;
  resume) window --resume "$@" ;;
  abandon)
    tell_the_team
    window --abandon "$@"
    ;;
  dry-run) exec "$program" window --dry-run "$@" ;;
esac
