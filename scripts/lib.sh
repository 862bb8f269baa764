# shellcheck shell=bash disable=SC2034
# What the scripts share: where things are, how to speak, how to find Swift. Sourced, never run.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools=$root/.tools
venv_python=$tools/venv/bin/python
default_mongod_version=6.0.5

# A minimal PATH lacks the folders that dpkg needs.
PATH=${PATH:-/usr/bin:/bin}:/usr/local/sbin:/usr/sbin:/sbin
export PATH

say() { printf '%s\n' "$*" >&2; }

# die MESSAGE [HINT]
die() {
  say "${0##*/}: $1"
  [[ -z ${2:-} ]] || say "HINT: $2"
  exit 1
}

# with_lock FILE COMMAND…: one at a time on this machine. The command may delete FILE; whoever waited
# for it then holds a file that is no more, and tries again. A child that outlives the command must
# not inherit descriptor 9.
with_lock() {
  local file=$1
  shift
  mkdir -p "$(dirname "$file")"
  while :; do
    exec 9>"$file"
    flock -w 900 9 || die "another run has held $file for 15 minutes"
    [[ $file -ef /dev/fd/9 ]] && break
  done
  "$@"
  exec 9>&-
}

# retry COMMAND…: three attempts, for the network.
retry() {
  local attempt
  for attempt in 1 2 3; do
    "$@" && return 0
    say "attempt $attempt of 3 failed: $*"
    [[ $attempt == 3 ]] || sleep $((attempt * 3))
  done
  return 1
}

# mongod_path VERSION
mongod_path() { printf '%s\n' "$tools/mongod/$1/bin/mongod"; }

# Puts swift on PATH, or says how to get there.
require_swift() {
  local folder version
  if ! command -v swift >/dev/null; then
    for folder in /opt/swift/usr/bin "${SWIFTLY_BIN_DIR:-${HOME:-/root}/.local/share/swiftly/bin}"; do
      if [[ -x $folder/swift ]]; then
        PATH=$folder:$PATH
        break
      fi
    done
  fi
  command -v swift >/dev/null \
    || die "swift is missing" "install Swift 6.1 or newer (swift.org, or swiftly) and put it on PATH"
  version=$(swift --version 2>/dev/null | sed -nE 's/.*Swift version ([0-9]+\.[0-9]+).*/\1/p' | head -n 1)
  [[ -n $version ]] || die "swift --version does not work: $(command -v swift)"
  [[ $(printf '%s\n' 6.1 "$version" | sort -V | head -n 1) == 6.1 ]] \
    || die "Swift $version is too old" "Martlet needs Swift 6.1 or newer"
}
