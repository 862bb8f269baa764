# shellcheck shell=bash
# What the scripts that operators run share. Sourced, never run. They are thin: everything is done by martlet.
#
# Environment, as it always was: MONGO_HOST MONGO_PORT MONGO_USER MONGO_PASSWORD BACKUP_DIR
# RETENTION_DAYS S3_BUCKET BACKUP_NOTIFICATION_EMAIL DEBUG. martlet reads all but S3_BUCKET and DEBUG
# by itself. MARTLET names the program; logs go to LOG_DIR (logs).

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# cron's PATH lacks where martlet is installed, and sendmail.
PATH=${PATH:-/usr/bin:/bin}:/usr/local/bin:/usr/local/sbin:/usr/sbin:/sbin
export PATH
log_file=${LOG_DIR:-logs}/backup.log

find_martlet() {
  if [[ -n ${MARTLET:-} ]]; then
    printf '%s\n' "$MARTLET"
    return
  fi
  command -v martlet && return
  local build
  for build in release debug; do
    if [[ -x $here/../.build/$build/martlet ]]; then
      printf '%s\n' "$here/../.build/$build/martlet"
      return
    fi
  done
  printf 'there is no martlet on PATH\nHINT: swift build -c release, or set MARTLET\n' >&2
  return 1
}

# log LEVEL MESSAGE: one line an event, in the log and on standard error.
log() {
  local line
  printf -v line '%s %-7s %s' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$1" "$2"
  printf '%s\n' "$line" >&2
  # A log that cannot be written ends no backup.
  { mkdir -p "$(dirname "$log_file")" && printf '%s\n' "$line" >>"$log_file"; } 2>/dev/null || true
}

# From cron nobody sees more than the log.
program=$(find_martlet) || {
  log ERROR "there is no martlet on PATH"
  exit 1
}

# Messages of martlet, one line each, into the log with their level.
log_lines() {
  local line
  while IFS= read -r line; do
    case $line in
      error:*) log ERROR "$line" ;;
      warning:*) log WARNING "$line" ;;
      *) log INFO "$line" ;;
    esac
  done
}

# run WORDS…: martlet with them; its messages go to the log too, its exit code comes back (pipefail).
run() {
  local extra=() status=0
  [[ -z ${DEBUG:-} ]] || extra+=(--verbose)
  log INFO "martlet $*"
  { "$program" "$@" "${extra[@]}" 2>&1 >&3 | log_lines; } 3>&1 || status=$?
  [[ $status == 0 ]] || log ERROR "martlet $1 ended with $status"
  return "$status"
}

# copy_to_s3 WORDS…: what a backup that was made now says of itself (standard input, JSON) is copied to S3 when a bucket
# is named. Credentials are those of AWS_*. Not the newest of the store: that may be another's, or one that a
# wrong clock has dated in the future.
# shellcheck disable=SC2120 # only the runbook has options for it
copy_to_s3() {
  [[ -n ${S3_BUCKET:-} ]] || return 0
  local id
  id=$(sed -n 's/^ *"id": "\(.*\)",*$/\1/p' | head -n 1)
  [[ -n $id ]] || return 1
  run backup copy "$id" "rclone::s3,env_auth:$S3_BUCKET/backups" "$@"
}

# back_up WORDS…: a backup, and its copy.
back_up() {
  if [[ -z ${S3_BUCKET:-} ]]; then
    run backup run "$@"
    return
  fi
  local made
  made=$(run backup run "$@" --json) || return
  printf '%s\n' "$made"
  # shellcheck disable=SC2119
  copy_to_s3 <<<"$made"
}
