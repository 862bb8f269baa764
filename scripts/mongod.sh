#!/usr/bin/env bash
# A throwaway real mongod for tests, demos and trying things out.
set -euo pipefail
# shellcheck source=lib.sh source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  cat <<'TEXT'
usage: scripts/mongod.sh start [options] [-- mongod arguments]
       scripts/mongod.sh stop [--name NAME | --all]
       scripts/mongod.sh uri|status [--name NAME]

start prints a connection string, and nothing else, on stdout. When NAME already runs, it prints that one's.
stop kills the server and removes its data.

  --name NAME      several can run side by side (default)
  --standalone     no replica set
  --members N      members of the replica set rs0 (1)
  --version V      a version that setup.sh fetched (6.0.5; or the mongod that MARTLET_MONGOD names)
  --auth           access control, with the user root, password secret
  --tls            requires TLS, with a throwaway certificate authority
  --cache GB       WiredTiger cache of each member (0.5)
  --oplog MB       size of the oplog (512)
TEXT
}

# One state file for each NAME holds: options, dir, uri. The data is under TMPDIR; it holds each member's pid file.
states=$tools/run

main() {
  local command=${1:-} name=default all=no
  local kind=replset members=1 version='' auth=no tls=no cache=0.5 oplog=512 extra=()
  [[ $# -gt 0 ]] && shift
  local options="$*"
  while [[ $# -gt 0 ]]; do
    case $1 in
      --name | --members | --version | --cache | --oplog)
        [[ $# -ge 2 ]] || die "$1 needs a value"
        printf -v "${1#--}" %s "$2"
        shift
        ;;
      --standalone) kind=standalone ;;
      --auth) auth=yes ;;
      --tls) tls=yes ;;
      --all) all=yes ;;
      --)
        shift
        extra=("$@")
        break
        ;;
      *) usage >&2 && exit 64 ;;
    esac
    shift
  done
  [[ $name =~ ^[A-Za-z0-9][A-Za-z0-9._-]*$ ]] || die "not a name: $name"
  [[ $members =~ ^[1-7]$ ]] || die "--members takes 1 to 7"
  [[ $kind == replset || $members == 1 ]] || die "--standalone has one member"

  case $command in
    start) with_lock "$states/$name.lock" start ;;
    stop) stop_each ;;
    uri) print_uri ;;
    status) status ;;
    -h | --help | help) usage ;;
    *) usage >&2 && exit 64 ;;
  esac
}

start() {
  if running "$name"; then
    load "$name"
    [[ $options == "${started_with:-}" ]] || die "$name already runs, with other options: $started_with" "stop it first"
    echo "$uri"
    return
  fi
  local mongod=${MARTLET_MONGOD:-$(mongod_path "$default_mongod_version")}
  [[ -z $version ]] || mongod=$(mongod_path "$version")
  [[ -x $mongod ]] || die "there is no $mongod" "run scripts/setup.sh${version:+ --versions}"

  remove "$name" # what a killed run left
  local dir
  dir=$(mktemp -d "${TMPDIR:-/tmp}/martlet-mongod-$name.XXXXXX")
  save ''
  trap 'remove "$name"' EXIT

  local arguments=(
    --bind_ip 127.0.0.1 --nounixsocket --quiet
    --wiredTigerCacheSizeGB "$cache" --setParameter diagnosticDataCollectionEnabled=false
  )
  local credentials='' query='' init=()
  if [[ $kind == replset ]]; then
    arguments+=(--replSet rs0 --oplogSize "$oplog")
    query+='&replicaSet=rs0'
  fi
  if [[ $auth == yes ]]; then
    openssl rand -base64 96 >"$dir/key"
    chmod 400 "$dir/key"
    arguments+=(--keyFile "$dir/key")
    credentials=root:secret@
    query+='&authSource=admin'
    init+=(root:secret)
  fi
  if [[ $tls == yes ]]; then
    make_certificates "$dir"
    arguments+=(--tlsMode requireTLS --tlsCertificateKeyFile "$dir/server.pem")
    arguments+=(--tlsCAFile "$dir/ca.pem" --tlsAllowConnectionsWithoutCertificates)
    query+="&tls=true&tlsCAFile=$dir/ca.pem"
    init+=("tls=$dir/ca.pem")
  fi

  local member port ports=()
  for ((member = 0; member < members; member++)); do
    launch "$dir/$member"
    ports+=("$port")
  done
  "$venv_python" "$root/scripts/mongod_init.py" "$kind" "$(IFS=,; echo "${ports[*]}")" "${init[@]}" >&2

  save "mongodb://$credentials$(printf ',127.0.0.1:%s' "${ports[@]}" | cut -c 2-)/${query:+?${query#&}}"
  trap - EXIT
  load "$name"
  echo "$uri"
}

# launch DIR: one member, on a port below the range from which the system takes its own. Sets port.
launch() {
  local attempt status
  mkdir "$1"
  for attempt in {1..10}; do
    port=$((20000 + RANDOM % 12000))
    status=0
    "$mongod" --fork --pidfilepath "$1/pid" --logpath "$1/log" --dbpath "$1" --port "$port" \
      "${arguments[@]}" "${extra[@]}" >"$1/out" 2>&1 9>&- </dev/null || status=$?
    [[ $status != 0 ]] || return 0
    [[ $status == 48 ]] || break # 48: the port is taken
  done
  cat "$1/out" >&2
  [[ ! -e $1/log ]] || tail -n 5 "$1/log" >&2
  die "mongod does not start (attempt $attempt, exit $status)"
}

make_certificates() {
  local new=(openssl req -x509 -newkey rsa:2048 -nodes -days 30)
  "${new[@]}" -subj '/CN=martlet test authority' -keyout "$1/ca.key" -out "$1/ca.pem" 2>"$1/openssl"
  "${new[@]}" -subj '/O=martlet/CN=127.0.0.1' -keyout "$1/server.key" -out "$1/server.crt" \
    -CA "$1/ca.pem" -CAkey "$1/ca.key" -addext basicConstraints=CA:FALSE \
    -addext 'subjectAltName=IP:127.0.0.1,DNS:localhost' 2>>"$1/openssl"
  cat "$1/server.crt" "$1/server.key" >"$1/server.pem"
}

# save URI: an empty one means that the start is not done.
save() {
  printf 'started_with=%q\ndir=%q\nuri=%q\n' "$options" "$dir" "$1" >"$states/$name.new"
  mv "$states/$name.new" "$states/$name.state"
}

# load NAME: sets started_with, dir, uri.
load() {
  # shellcheck disable=SC1090
  [[ -e $states/$1.state ]] && source "$states/$1.state"
}

# running NAME: started to the end, and every member is alive.
running() (
  load "$1" && [[ -n $uri ]] || return 1
  for member in "$dir"/[0-9]; do
    alive "$member" || return 1
  done
)

# alive DIR: the pid may be another process's by now, or a zombie's (which has no command line).
alive() {
  local pid
  pid=$(cat "$1/pid" 2>/dev/null) && [[ -n $pid ]] && grep -qaF -- "$1/log" "/proc/$pid/cmdline" 2>/dev/null
}

stop_each() {
  local state
  if [[ $all == no ]]; then
    with_lock "$states/$name.lock" stop "$name"
    return
  fi
  for state in "$states"/*.state; do
    [[ -e $state ]] || continue
    state=${state##*/}
    with_lock "$states/${state%.state}.lock" stop "${state%.state}"
  done
}

stop() {
  remove "$1"
  rm -f "$states/$1.lock"
}

# remove NAME. Its data goes too, so there is no reason for a slow, clean shutdown.
remove() (
  load "$1" || return 0
  [[ $dir == */martlet-mongod-"$1".?????? ]] || die "not a folder of ours: $dir"
  for member in "$dir"/[0-9]; do
    while alive "$member"; do
      kill -KILL "$(cat "$member/pid")" 2>/dev/null || true
      sleep 0.05
    done
  done
  rm -rf "$dir"
  rm -f "$states/$1.state"
)

print_uri() {
  running "$name" || die "$name is not running" "scripts/mongod.sh start --name $name"
  load "$name"
  echo "$uri"
}

status() {
  load "$name" || die "$name is not running"
  local member state=running
  for member in "$dir"/[0-9]; do
    alive "$member" || state='down, or partly down'
  done
  printf '%s: %s\nuri: %s\ndata: %s\npids: %s\n' "$name" "$state" "$uri" "$dir" "$(cat "$dir"/[0-9]/pid | xargs)"
  [[ $state == running ]]
}

main "$@"
