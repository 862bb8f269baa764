#!/usr/bin/env bash
# Puts martlet's jobs into this user's crontab and takes them out again.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: scripts/cron-setup.sh daily [HOUR [MINUTE [EMAIL]]]           full backup (2 0)
       scripts/cron-setup.sh hourly-db [MINUTE [EMAIL]]              database backup (0)
       scripts/cron-setup.sh weekly [DAY [HOUR [MINUTE [EMAIL]]]]    full backup, all read back (0 1 0; 0 is Sunday)
       scripts/cron-setup.sh cleanup [HOUR [MINUTE]]                 retention (3 0)
       scripts/cron-setup.sh logrotate                               prints a configuration for logrotate
       scripts/cron-setup.sh test                                    makes and reads back a backup now
       scripts/cron-setup.sh list | remove [JOB]

Each job has one line, marked at its end; setting it up again replaces that line and nothing else.
TEXT
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
crontab=${CRONTAB:-crontab}
jobs='daily|hourly-db|weekly|cleanup'

number() { # number VALUE MOST NAME
  if ! [[ $1 =~ ^[0-9]{1,2}$ ]] || ((10#$1 > $2)); then
    printf 'cron-setup.sh: %s is 0 to %s, not %s\n' "$3" "$2" "$1" >&2
    exit 64
  fi
}

# An address goes into a line that a shell runs.
address() {
  if ! [[ $1 =~ ^[A-Za-z0-9._%+@-]*$ ]]; then
    printf 'cron-setup.sh: this is no mail address\n' >&2
    exit 64
  fi
}

# lines: the crontab as it is. One that cannot be read is not the same as none: it would be lost.
lines() {
  local text said
  said=$(mktemp)
  if text=$(LC_ALL=C "$crontab" -l 2>"$said"); then
    [[ -z $text ]] || printf '%s\n' "$text"
  elif ! grep -qi '^no crontab\|: no crontab for' "$said"; then
    printf 'cron-setup.sh: the crontab cannot be read: %s\n' "$(head -n 1 "$said")" >&2
    rm -f "$said"
    return 1
  fi
  rm -f "$said"
}

# replace PATTERN LINE: installs the crontab without the lines whose mark has this pattern, and with LINE.
replace() {
  local before after
  before=$(lines)
  after=$(grep -v -- "# martlet:$1\$" <<<"$before") || true
  [[ -z $2 ]] || after+=${after:+$'\n'}$2
  printf '%s' "${after:+$after$'\n'}" | "$crontab" -
}

install_job() { # install_job JOB SCHEDULE COMMAND EMAIL
  local mail='' line folder
  address "$4"
  [[ -z $4 ]] || mail="BACKUP_NOTIFICATION_EMAIL=$4 "
  printf -v folder %q "$root"
  # In a crontab a bare % is a line break.
  line="$2 cd $folder && ${mail}$3 >/dev/null 2>&1 # martlet:$1"
  line=${line//%/\\%}
  replace "$1" "$line"
  printf 'installed: %s\n' "$line"
}

job=${1:-}
shift || true
case $job in
  daily)
    number "${1:-2}" 23 hour && number "${2:-0}" 59 minute
    install_job daily "${2:-0} ${1:-2} * * *" 'scripts/backup.sh backup' "${3:-}"
    ;;
  hourly-db)
    number "${1:-0}" 59 minute
    install_job hourly-db "${1:-0} * * * *" 'scripts/backup.sh backup-db' "${2:-}"
    ;;
  weekly)
    number "${1:-0}" 7 day && number "${2:-1}" 23 hour && number "${3:-0}" 59 minute
    install_job weekly "${3:-0} ${2:-1} * * ${1:-0}" 'scripts/backup-full.sh' "${4:-}"
    ;;
  cleanup)
    number "${1:-3}" 23 hour && number "${2:-0}" 59 minute
    install_job cleanup "${2:-0} ${1:-3} * * *" 'scripts/backup.sh cleanup' ''
    ;;
  logrotate)
    printf '%s/logs/*.log {\n  weekly\n  rotate 12\n  compress\n  missingok\n  notifempty\n  copytruncate\n}\n' "$root"
    ;;
  test) cd "$root" && scripts/backup.sh backup && scripts/verify-backups.sh ;;
  list) lines | { grep -E "# martlet:($jobs)\$" || true; } ;;
  remove)
    if [[ -n ${1:-} && "|$jobs|" != *"|$1|"* ]]; then
      printf 'cron-setup.sh: there is no job %s\n' "$1" >&2
      exit 64
    fi
    replace "${1:-\\(${jobs//|/\\|}\\)}" ''
    printf 'removed: %s\n' "${1:-all of them}"
    ;;
  *)
    usage >&2
    exit 64
    ;;
esac
